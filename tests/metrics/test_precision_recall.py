"""Precision and recall against all pairs by scipy, and on models whose faults are known."""

import numpy as np
import pytest
from scipy.spatial import distance

from nsn_jax import metrics
from tests.metrics.helpers import random_features


def _precision_recall_by_hand(real: np.ndarray, generated: np.ndarray, k: int) -> tuple:
  def share(points: np.ndarray, manifold: np.ndarray) -> float:
    radii = np.sort(distance.cdist(manifold, manifold), axis=1)[:, k]  # Column 0 is itself.
    return float((distance.cdist(points, manifold) <= radii).any(axis=1).mean())

  return share(generated, real), share(real, generated)


@pytest.mark.parametrize("num_neighbours", [1, 3, 5])
def test_precision_recall_equals_all_pairs(num_neighbours):
  every = random_features(1, 500, 3)
  real, generated = every[:200], every[200:] + np.float32(0.7)
  found = metrics.precision_recall(real, generated, num_neighbours=num_neighbours)
  expected = _precision_recall_by_hand(real, generated, num_neighbours)
  assert found == pytest.approx(expected, abs=1e-12)
  assert 0.05 < found.recall < 1 and 0.05 < found.precision < 1
  assert found.precision != found.recall


def test_precision_recall_of_a_collapsed_model():
  # All samples in one dense spot of the real images: realistic, and nearly nothing is reached.
  real = np.random.default_rng(0).normal(size=(400, 2))
  generated = np.random.default_rng(1).normal(size=(400, 2)) * 0.05
  found = metrics.precision_recall(real, generated)
  assert found.precision == 1 and found.recall < 0.05
  # A swap of real and generated is another question.
  swapped = metrics.precision_recall(generated, real)
  assert swapped == (found.recall, found.precision)


def test_precision_recall_of_sets_apart_and_of_equal_sets():
  real = random_features(1, 100)
  assert metrics.precision_recall(real, real + np.float32(1e3)) == (0, 0)
  assert metrics.precision_recall(real, real) == (1, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_rows_that_occur_more_often_than_the_neighbours_counted(dtype, offset):
  # Every ball is a point: equal rows are in it, others are not.
  rows = np.random.default_rng(0).normal(size=(60, 128)).astype(dtype) + dtype(offset)
  real, generated = np.repeat(rows[:40], 8, axis=0), np.repeat(rows[20:], 7, axis=0)[::-1]
  assert metrics.precision_recall(real, generated) == (0.5, 0.5)
  assert metrics.precision_recall(real, real) == (1, 1)


def test_precision_recall_errors():
  real = random_features(1, 5)
  with pytest.raises(ValueError, match="num_neighbours: expected an integer from 1 to 4, got 5"):
    metrics.precision_recall(real, random_features(2))
