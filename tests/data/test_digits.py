"""scikit-learn's digits as a data set: MNIST's layout, a stratified split, golden labels."""

import numpy as np

from nsn_jax import data


def test_digits_have_mnists_layout():
  images, labels = data.load("digits")
  assert images.shape[1:] == (28, 28, 1) and images.dtype == np.uint8
  assert images.min() == 0 and images.max() == 255
  assert labels.shape == (len(images),) and labels.dtype == np.int32
  assert set(labels) == set(range(10))
  frame = np.ones((28, 28), bool)
  frame[4:24, 4:24] = False
  assert not images[:, frame].any()
  # Inked to the rim of the box, which fixes its 20 pixels.
  assert images[:, [4, 23]].any(axis=(0, 2, 3)).all()
  assert images[:, :, [4, 23]].any(axis=(0, 1, 3)).all()


def test_digits_split_is_a_stratified_fifth():
  train, test = data.load("digits"), data.load("digits", split="test")
  assert len(train.images) + len(test.images) == 1797
  share = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
  np.testing.assert_allclose(share, 0.2, atol=0.5 / 174)  # Rounded; the rarest label has 174.
  # No image of one is in the other; the set itself has no equal images at 28x28.
  rows = np.concatenate([train.images, test.images]).reshape(1797, -1)
  assert len(np.unique(rows, axis=0)) == 1797


def test_digits_are_the_same_each_time():
  first, second = data.load("digits", split="test"), data.load("digits", split="test")
  np.testing.assert_array_equal(first.images, second.images)
  # Golden: computed once here, so that the split can never move unnoticed.
  assert first.labels[:12].tolist() == [3, 7, 3, 9, 0, 8, 7, 0, 8, 0, 3, 3]


def test_digits_image_size_and_limit():
  whole = data.load("digits")
  part = data.load("digits", image_size=14, limit=5)
  assert part.images.shape == (5, 14, 14, 1)
  np.testing.assert_array_equal(part.labels, whole.labels[:5])
  np.testing.assert_array_equal(data.load("digits", limit=10**6).images, whole.images)
