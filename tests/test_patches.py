"""Patches: numpy loops as the oracle, sums of small integers, which float32 holds exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.patches import (
  covered_size,
  extract_patches,
  num_positions,
  overlap_count,
  stitch_patches,
  sum_patches,
)
from tests import oracles

# The last two: cut in two steps, and a single window.
WINDOWS = [(4, 2), (3, 2), (6, 1), (3, 1), (5, 3), (9, 2), (11, 4)]
HEIGHT, WIDTH, CHANNELS = 14, 11, 2  # Not square: a swap of the sides would show.

_sum = jax.jit(sum_patches, static_argnums=1)


def _images(kernel: int = 0, stride: int = 1) -> np.ndarray:
  """Distinct whole numbers; cut to what the windows cover where a kernel is given."""
  shape = (2, HEIGHT, WIDTH, CHANNELS)
  images = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
  if not kernel:
    return images
  h, w = num_positions(HEIGHT, kernel, stride), num_positions(WIDTH, kernel, stride)
  return images[:, : covered_size(h, kernel, stride), : covered_size(w, kernel, stride)]


def _patches(kernel: int, stride: int) -> np.ndarray:
  """Small whole numbers, as no image gives them where windows overlap."""
  h, w = num_positions(HEIGHT, kernel, stride), num_positions(WIDTH, kernel, stride)
  shape = (2, h, w, kernel, kernel, CHANNELS)
  return np.random.default_rng(1).integers(-9, 10, shape).astype(np.float32)


# extract


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_extract_equals_numpys_windows(kernel, stride):
  images = _images()
  windows = np.lib.stride_tricks.sliding_window_view(images, (kernel, kernel), axis=(1, 2))
  expected = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
  np.testing.assert_array_equal(extract_patches(images, kernel, stride), expected)


def test_extract_equals_loops():
  images, kernel, stride = _images(), 3, 2
  found = np.asarray(extract_patches(images, kernel, stride))
  assert found.shape == (2, 6, 5, 3, 3, CHANNELS)
  for y in range(6):
    for x in range(5):
      np.testing.assert_array_equal(found[:, y, x], images[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3])


def test_extract_by_hand():
  image = jnp.arange(6.0).reshape(1, 2, 3, 1)
  found = extract_patches(image, 2, 1)
  assert found.shape == (1, 1, 2, 2, 2, 1)
  assert found[0, 0, 0, :, :, 0].tolist() == [[0, 1], [3, 4]]
  assert found[0, 0, 1, :, :, 0].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize(
  ("size", "kernel", "stride", "positions"),
  [
    (28, 4, 2, 13),
    (13, 3, 2, 6),
    (6, 6, 1, 1),  # the paper's MNIST
    (64, 4, 2, 31),
    (31, 3, 2, 15),
    (15, 3, 2, 7),
    (7, 3, 2, 3),
    (3, 3, 1, 1),  # the paper's LFW
  ],
)
def test_extract_has_the_papers_sizes(size, kernel, stride, positions):
  images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
  found = jax.eval_shape(lambda x: extract_patches(x, kernel, stride), images)
  assert found.shape == (2, positions, positions, kernel, kernel, 3)
  assert num_positions(size, kernel, stride) == positions


def test_extract_leaves_out_what_no_window_covers():
  images = _images()
  changed = images.copy()
  changed[:, 13:], changed[:, :, 10:] = -1, -1  # 14 = 2 * 5 + 3 + 1 and 11 = 2 * 4 + 3 + 0.
  found, moved = extract_patches(images, 3, 2), extract_patches(changed, 3, 2)
  np.testing.assert_array_equal(found[:, :, :4], moved[:, :, :4])
  assert not np.array_equal(found[:, :, 4], moved[:, :, 4])


def test_extract_moves_with_the_image():
  images = _images()
  found = np.asarray(extract_patches(images, 4, 2))
  moved = np.asarray(extract_patches(np.roll(images, 2, axis=1), 4, 2))  # by one stride
  np.testing.assert_array_equal(moved[:, 1:], found[:, :-1])


def test_extract_keeps_the_dtype():
  found = extract_patches(_images().astype(np.uint8), 4, 2)
  assert found.dtype == jnp.uint8


def test_extract_of_the_whole_map_and_of_single_pixels():
  images = _images()
  square = images[:, :11]
  np.testing.assert_array_equal(extract_patches(square, 11, 1)[:, 0, 0], square)
  np.testing.assert_array_equal(extract_patches(images, 1, 1)[:, :, :, 0, 0], images)


# sum and count


@pytest.mark.parametrize(("kernel", "stride"), [*WINDOWS, (1, 1), (2, 3)])
def test_sum_equals_loops(kernel, stride):
  patches = _patches(kernel, stride)
  expected, _ = oracles.sum_by_loops(patches, stride)
  np.testing.assert_array_equal(_sum(patches, stride), expected)


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_sum_is_the_adjoint_of_extract(kernel, stride):
  # <extract(x), p> = <x, sum(p)>, whole numbers: exact in float64.
  images, patches = _images(kernel, stride).astype(np.float64), _patches(kernel, stride)
  left = np.vdot(np.asarray(extract_patches(images, kernel, stride), np.float64), patches)
  assert left == np.vdot(images, np.asarray(_sum(patches, stride), np.float64))
  assert left != 0


@pytest.mark.parametrize(("kernel", "stride"), [*WINDOWS, (2, 3)])
def test_overlap_count_equals_loops(kernel, stride):
  h, w = num_positions(HEIGHT, kernel, stride), num_positions(WIDTH, kernel, stride)
  _, expected = oracles.sum_by_loops(np.ones((1, h, w, kernel, kernel, 1)), stride)
  np.testing.assert_array_equal(overlap_count(h, w, (kernel, kernel), stride), expected)


def test_overlap_count_by_hand():
  # Windows of 3 at 0 and 2: the pixel at 2 is in both.
  row = np.array([1.0, 1.0, 2.0, 1.0, 1.0])
  np.testing.assert_array_equal(overlap_count(2, 2, (3, 3), 2)[0, :, :, 0], np.outer(row, row))


# stitch


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_stitch_is_the_inverse_of_extract(kernel, stride):
  images = _images(kernel, stride)
  found = stitch_patches(extract_patches(images, kernel, stride), stride)
  # Exact but for one rounding: a sum of up to 36 equal whole numbers below 2**10 is exact, and XLA
  # may divide by multiplying with a rounded reciprocal.
  np.testing.assert_allclose(found, images, rtol=2**-22)


@pytest.mark.parametrize(("kernel", "stride"), WINDOWS)
def test_stitch_averages_as_loops_do(kernel, stride):
  patches = _patches(kernel, stride)
  # One rounding of the quotient, as above.
  expected = oracles.stitch_by_loops(patches, stride)
  np.testing.assert_allclose(stitch_patches(patches, stride), expected, rtol=2**-22)


def test_stitch_by_hand():
  patches = jnp.stack([jnp.full([2, 2, 1], 1.0), jnp.full([2, 2, 1], 3.0)])[None, None]
  assert stitch_patches(patches, 1)[0, :, :, 0].tolist() == [[1, 2, 3], [1, 2, 3]]


def test_stitch_leaves_0_between_windows():
  patches = jnp.full([1, 1, 2, 1, 1, 1], 5.0)
  assert stitch_patches(patches, 3)[0, :, :, 0].tolist() == [[5, 0, 0, 5]]


def test_stitch_of_one_window_is_the_window():
  patches = jnp.asarray(_patches(5, 3)[:, :1, :1])
  np.testing.assert_array_equal(stitch_patches(patches, 3), patches[:, 0, 0])


# errors


@pytest.mark.parametrize(
  ("shape", "kernel", "stride", "message"),
  [
    ((8, 8, 1), 4, 2, r"^images: expected \[N, H, W, C\], got shape \(8, 8, 1\)"),
    ((1, 2, 8, 8, 1), 4, 2, r"^images: expected \[N, H, W, C\]"),
    ((2, 8, 3, 1), 4, 2, r"^images: expected at least kernel=4 .* got 8 x 3"),
    ((2, 8, 8, 1), 0, 2, r"kernel.*got kernel=0, stride=2"),
    ((2, 8, 8, 1), 4, 0, r"stride.*got kernel=4, stride=0"),
    ((2, 8, 8, 1), 4, -1, r"stride.*stride=-1"),
  ],
)
def test_extract_errors(shape, kernel, stride, message):
  with pytest.raises(ValueError, match=message):
    extract_patches(jnp.zeros(shape), kernel, stride)


def test_stitch_errors():
  with pytest.raises(ValueError, match=r"^patches: expected \[N, h, w, kh, kw, C\], got shape"):
    stitch_patches(jnp.zeros([1, 1, 2, 2, 1]), 1)
  with pytest.raises(ValueError, match=r"stride.*got.*stride=0"):
    stitch_patches(jnp.zeros([1, 1, 1, 2, 2, 1]), 0)
