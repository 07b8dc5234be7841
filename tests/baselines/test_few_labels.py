"""Data sets of few labels: which rows are chosen, and how often each is there."""

import jax
import numpy as np
import pytest

from nsn_jax import baselines
from tests.baselines.helpers import KEY


def test_as_many_of_each_class_are_chosen():
  labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [5, 50, 9]))
  rows = baselines.choose_few(KEY, labels, 12)
  assert (np.diff(rows) > 0).all()
  np.testing.assert_array_equal(np.bincount(labels[rows]), [4, 4, 4])
  np.testing.assert_array_equal(rows, baselines.choose_few(KEY, labels, 12))
  assert set(rows) != set(baselines.choose_few(jax.random.key(1), labels, 12))
  # All of the least class.
  rows = baselines.choose_few(KEY, labels, 15)
  assert set(np.flatnonzero(labels == 0)) <= set(rows)


def test_each_image_is_equally_likely_chosen():
  labels = np.repeat([0, 1], 6)
  counts = sum(
    np.bincount(baselines.choose_few(key, labels, 4), minlength=12)
    for key in jax.random.split(KEY, 200)
  )
  # A third of 200; five standard errors are 5 * sqrt(200 * 2 / 9).
  assert (np.abs(counts - 200 / 3) < 34).all()


def test_half_of_the_set_is_labelled_by_hand():
  images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
  found, labels = baselines.repeat_few(images, [7, 8, 9, 8, 7], [1, 4])
  assert found.ravel().tolist() == [0, 1, 2, 3, 4, 1, 4, 1, 4, 1] and found.shape == (10, 1, 1, 1)
  assert labels.tolist() == [-1] * 5 + [8, 7, 8, 7, 8] and labels.dtype == np.int32


def test_what_is_refused():
  for labels in ([], [0.5], [-1, 0], [[0]]):
    with pytest.raises(ValueError, match="labels: expected integers"):
      baselines.choose_few(KEY, labels, 2)
  for number in (1, 3, 6):
    with pytest.raises(
      ValueError, match=r"num_labels: expected a multiple of 2, .* of at most 2 a"
    ):
      baselines.choose_few(KEY, [0, 0, 1, 1, 1], number)
  with pytest.raises(ValueError, match=r"rows: expected integers \[n\], n above 0, got shape"):
    baselines.repeat_few(np.zeros((2, 1, 1, 1), np.uint8), [0, 1], [])
