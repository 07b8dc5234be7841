"""The classifier's network: its outputs on real digits and noise, its pooling against numpy."""

import re

import jax
import numpy as np
import pytest

from nsn_jax import metrics
from nsn_jax.metrics import outputs
from nsn_jax.metrics.classifier import layout


def test_real_digits_score_near_ten(trained, digits):
  _, test = digits
  score = metrics.inception_score(trained.outputs(test.images).probabilities, num_splits=1)
  assert 9 < score.mean <= 10


def test_outputs(trained, digits):
  images = digits[1].images[:7]
  logits = trained.outputs(images).logits
  assert logits.shape == (7, 10) and logits.dtype == np.float32
  values = trained.outputs(images).features
  assert values.shape == (7, 64) and values.dtype == np.float32 and values.min() >= 0
  rows = trained.outputs(images).probabilities
  assert rows.shape == (7, 10) and rows.dtype == np.float64
  np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
  np.testing.assert_allclose(rows, jax.nn.softmax(logits), atol=1e-6)  # float32 there
  # The logits are the last dense layer on the features.
  last = trained.params["params"]["Dense_1"]
  np.testing.assert_allclose(
    values @ last["kernel"] + last["bias"],
    logits,
    rtol=1e-4,
    atol=1e-4,  # float32 sums of 64
  )


def test_accuracy_is_the_share_of_right_labels(tiny, noise):
  images, _ = noise
  guesses = tiny.outputs(images).logits.argmax(axis=1)
  assert metrics.accuracy(tiny, images, guesses) == 1
  wrong = guesses.copy()
  wrong[:10] = (wrong[:10] + 1) % 3
  assert metrics.accuracy(tiny, images, wrong) == 0.75


@pytest.mark.parametrize("batch_size", [1, 7, 39, 40, 41])
def test_batch_size_does_not_matter(tiny, noise, batch_size):
  images, _ = noise
  whole = tiny.outputs(images).logits
  # Equal but for the order of float32 sums.
  np.testing.assert_allclose(
    tiny.outputs(images, batch_size=batch_size).logits, whole, rtol=1e-5, atol=1e-5
  )


def test_no_images_no_rows(tiny, noise):
  images, _ = noise
  assert tiny.outputs(images[:0]).logits.shape == (0, 3)
  assert tiny.outputs(images[:0]).features.shape == (0, 4)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_max_pool_of_odd_sizes(side):
  x = np.random.default_rng(0).normal(size=(2, side, 4, 3))
  expected = [
    [x[:, row : row + 2, column : column + 2].max(axis=(1, 2)) for column in (0, 2)]
    for row in range(0, side, 2)
  ]
  np.testing.assert_allclose(
    layout.max_pool(x),
    np.moveaxis(expected, 2, 0),
    rtol=1e-6,  # float32 there
  )


def test_outputs_compile_once(tiny, noise):
  images, _ = noise
  before = outputs._forward._cache_size()
  for num_images in (40, 23, 13, 1):
    tiny.outputs(images[:num_images], batch_size=13)
  tiny.outputs(images, batch_size=13)
  assert outputs._forward._cache_size() == before + 1


def test_classifier_is_a_pytree(tiny, noise):
  images, _ = noise
  doubled = jax.tree.map(lambda leaf: 2 * leaf, tiny)
  assert doubled.architecture == tiny.architecture
  assert not np.allclose(doubled.outputs(images).logits, tiny.outputs(images).logits)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"channels": (8, 8)}, "kernels: expected one for each of channels (8, 8), got (5, 5, 3)"),
    ({"channels": (), "kernels": ()}, "kernels: expected one for each of channels ()"),
    ({"channels": [8, 8, 8]}, "channels: expected a tuple, as it is hashed, got [8, 8, 8]"),
    ({"channels": (8, 0, 8)}, "channels: expected an integer of at least 1, got 0"),
    ({"kernels": (5, 4, 3)}, "kernels: expected odd sizes, got (5, 4, 3)"),
    ({"num_features": 0}, "num_features: expected an integer of at least 1, got 0"),
    ({"dropout": 1.0}, "dropout: expected a number in [0, 1), got 1.0"),
  ],
)
def test_bad_architecture(change, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.Architecture(**change)


def test_bad_prediction_input(tiny, noise):
  images, labels = noise
  with pytest.raises(
    ValueError, match=re.escape("images: expected shape [N, 6, 7, 3], got (40, 6, 6, 3)")
  ):
    tiny.outputs(images[:, :, :6])
  with pytest.raises(ValueError, match="images: expected uint8 in 0-255, got float32"):
    tiny.outputs(images / np.float32(255))
  with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
    tiny.outputs(images, batch_size=0)
  with pytest.raises(ValueError, match="labels: expected labels from 0 and below 3, got 1 to 3"):
    metrics.accuracy(tiny, images, labels + 1)
  with pytest.raises(ValueError, match="images: expected at least one image, got none"):
    metrics.accuracy(tiny, images[:0], labels[:0])
