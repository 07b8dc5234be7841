"""Two digits an image: put together again by a loop, each used twice, the same each time."""

import functools

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import digits, loading, two_digits
from nsn_jax.data.dataset import Progress, Stream


@pytest.fixture(autouse=True)
def _of_scikit_learns(monkeypatch, tmp_path):
  """Pairs of the digits that are always there, and a cache of their own."""
  of_digits = functools.partial(two_digits.source, digits.source)
  monkeypatch.setitem(loading.SOURCES, "two_digits", of_digits)
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path))


def _box(image: np.ndarray) -> tuple[slice, slice]:
  """Rows and columns that have ink."""
  rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
  return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _pair(image: np.ndarray, first: np.ndarray, singles: np.ndarray) -> int | None:
  """Position of the digit that an image has beside the first one, by trial; None without one.

  Where the first may lie, the rest is its neighbour, whose box is found unless they overlap.
  """
  windows = np.lib.stride_tricks.sliding_window_view(image, (28, 28))
  for row, column in np.argwhere((windows >= first).all(axis=(2, 3))):
    alone = np.zeros_like(image)
    alone[row : row + 28, column : column + 28] = first
    rest = np.where(alone == image, 0, image)
    rest = rest[_box(rest)]
    for other, single in enumerate(singles):
      if np.array_equal(single[_box(single)], rest):
        return other
  return None


def test_each_image_is_its_own_digit_and_another():
  singles = data.load("digits", split="test").images[..., 0]
  images, labels = data.load("two_digits", split="test")
  assert images.shape == (359, 60, 60, 1) and images.dtype == np.uint8 and labels is None
  pairs = zip(images[:20, ..., 0], singles[:20], strict=True)
  found = [_pair(image, first, singles) for image, first in pairs]
  # Boxes of 20 pixels within 60 are apart in 0.31 of the images, those of slender digits in more.
  assert sum(other is not None for other in found) >= 5
  assert all(other != position for position, other in enumerate(found))
  # No ink but theirs: each is there twice, and the lighter of two that overlap.
  share = images.sum(dtype=np.int64) / (2 * singles.sum(dtype=np.int64))
  assert 0.85 < share < 1.0


def test_places_are_even_and_independent():
  images = data.load("two_digits").images
  # The means of two places each: every part of the middle has as much ink as any other.
  ink = images.mean(axis=0)[..., 0]
  middle = ink[20:40, 20:40]
  # Of 1,438 images: a pixel is inked in a tenth of them or more, to 0.08 of itself; four of these.
  assert middle.std() < 0.1 * middle.mean()
  assert ink[0].max() == ink[-1].max() == 0  # A digit's frame is 4 pixels wide.
  assert ink[4:8, 4:8].max() > 0 and ink[-8:-4, -8:-4].max() > 0


def test_they_are_the_same_each_time_and_splits_differ(tmp_path):
  first = data.load("two_digits", split="test").images
  second = data.load("two_digits", split="test", cache_dir=tmp_path / "other").images
  np.testing.assert_array_equal(first, second)
  few = data.load("two_digits", split="test", limit=7).images
  np.testing.assert_array_equal(few, first[:7])
  assert not np.array_equal(data.load("two_digits", limit=7).images, few)
  small = data.load("two_digits", split="test", limit=2, image_size=30).images
  assert small.shape == (2, 30, 30, 1)


def test_what_was_begun_is_gone_on_with():
  request = loading.Request("two_digits", None, "train", None, None, None, lambda line: None)
  stream = two_digits.source(digits.source, request)
  assert isinstance(stream, Stream)
  first, second = stream.pieces(Progress())
  assert (first.seen, second.seen) == (1_000, 438)
  (again,) = stream.pieces(Progress().after(first))
  np.testing.assert_array_equal(again.images, second.images)


def test_pairs_of_mnist(fake_tfds, monkeypatch):
  monkeypatch.setitem(
    loading.SOURCES,
    "two_digits",
    functools.partial(two_digits.source, loading.SOURCES["mnist"]),
  )
  images, labels = data.load("two_digits", data_dir=fake_tfds[0])
  assert images.shape == (25, 60, 60, 1) and labels is None
  # Each of the fake records is of one grey, its position.
  partners = images.reshape(25, -1).max(axis=1)
  assert (partners >= np.arange(25)).all() and partners.max() == 24
