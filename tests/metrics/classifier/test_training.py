"""The classifier's training: it learns real digits, repeats itself, and refuses bad input."""

import re

import jax
import numpy as np
import pytest

from nsn_jax import metrics
from nsn_jax.metrics.classifier import training
from tests.metrics.classifier.helpers import TINY


def test_learns_digits(trained, digits):
  _, test = digits
  assert metrics.accuracy(trained, *test) >= 0.97
  assert trained.num_classes == 10
  assert trained.image_shape == (28, 28, 1)


def test_training_compiles_one_step(noise):
  before = training._step._cache_size()
  for seed in range(2):
    metrics.train_classifier(jax.random.key(seed), *noise, **TINY, batch_size=7, flip=True)
  assert training._step._cache_size() == before + 1


def test_same_key_same_weights_other_key_others(noise):
  def weights(seed):
    trained = metrics.train_classifier(jax.random.key(seed), *noise, **TINY)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)])

  np.testing.assert_array_equal(weights(1), weights(1))
  assert np.abs(weights(1) - weights(2)).max() > 0.01


def test_progress_reports_a_falling_loss(noise):
  reports = []
  metrics.train_classifier(
    jax.random.key(0),
    *noise,
    num_epochs=30,
    learning_rate=0.01,
    max_shift=0,
    batch_size=20,
    architecture=metrics.Architecture(channels=(8,), kernels=(3,), num_features=16, dropout=0.0),
    progress=lambda *report: reports.append(report),
  )
  assert [report[:2] for report in reports] == [(epoch + 1, 30) for epoch in range(30)]
  losses = [report[2] for report in reports]
  assert losses[-1] < 0.1 * losses[0]  # 40 images are learnt by heart.


@pytest.mark.parametrize("max_shift", [0, 1, 2])
def test_augmentation_shifts_and_mirrors(max_shift):
  image = np.zeros((9, 9, 1), np.uint8)
  image[4, 2] = 255  # Left of the middle, so a mirrored one shows.
  batch = np.tile(image, (200, 1, 1, 1))
  moved = np.asarray(training._augment(jax.random.key(0), batch, max_shift, True))
  assert (moved.sum(axis=(1, 2, 3)) == 255).all()
  _, rows, columns, _ = np.nonzero(moved)
  span = set(range(-max_shift, max_shift + 1))
  assert set(rows - 4) == span
  assert set(columns) == {2 + shift for shift in span} | {6 + shift for shift in span}
  plain = np.asarray(training._augment(jax.random.key(0), batch, max_shift, False))
  assert set(np.nonzero(plain)[2] - 2) == span


def test_divergence_is_an_error(noise):
  with pytest.raises(FloatingPointError, match="learning_rate below 1e\\+30"):
    metrics.train_classifier(
      jax.random.key(0), *noise, **TINY | {"num_epochs": 5}, learning_rate=1e30
    )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      {"images": np.zeros((40, 6, 7), np.uint8)},
      "images: expected images of shape [N, H, W, C], got (40, 6, 7)",
    ),
    ({"images": np.zeros((40, 6, 7, 3))}, "images: expected uint8 in 0-255, got float64"),
    ({"images": "a.png"}, "images: expected an array [N, H, W, C], got str"),
    ({"images": np.zeros((0, 6, 7, 3), np.uint8), "labels": np.zeros(0, int)}, "got none"),
    ({"labels": np.zeros(39, int)}, "labels: expected one for each image, shape (40,), got (39,)"),
    ({"labels": np.zeros(40)}, "labels: expected integers, got float64"),
    ({"labels": np.full(40, -1)}, "labels: expected labels from 0, got -1 to -1"),
    ({"labels": np.zeros(40, int)}, "labels: expected at least two classes"),
    ({"num_classes": 2}, "labels: expected labels from 0 and below 2, got 0 to 2"),
    ({"num_classes": 1}, "num_classes: expected an integer of at least 2, got 1"),
    ({"num_epochs": 0}, "num_epochs: expected an integer of at least 1, got 0"),
    ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
    ({"max_shift": -1}, "max_shift: expected an integer of at least 0, got -1"),
    ({"learning_rate": 0.0}, "learning_rate: expected a finite number above 0.0"),
    ({"learning_rate": float("nan")}, "learning_rate: expected a finite number above 0.0"),
    ({"key": 0}, "key: expected one PRNG key"),
  ],
)
def test_bad_training_input(noise, change, message):
  images, labels = noise
  arguments = {"key": jax.random.key(0), "images": images, "labels": labels, **TINY, **change}
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.train_classifier(**arguments)
