"""The Laplacian pyramid: against SciPy's filters, by hand, and that nothing is lost."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from nsn_jax.baselines.adversarial import laplacian_pyramid
from nsn_jax.pixel_range import from_signed, to_signed
from tests.baselines.helpers import KEY

_WEIGHTS = np.array([1, 4, 6, 4, 1]) / 16
#: Height and width: even, odd, of one pixel.
SIZES = [(28, 28), (7, 7), (9, 6), (5, 1), (2, 3), (1, 1)]


def _down(x: np.ndarray) -> np.ndarray:
  """Blurred by SciPy, every second pixel kept."""
  for axis in (1, 2):
    x = ndimage.correlate1d(x, _WEIGHTS, axis, mode="nearest")
  return x[:, ::2, ::2]


def _up(x: np.ndarray, height: int, width: int) -> np.ndarray:
  """A pixel more at each edge, zeros between all, and twice the blur of each axis by NumPy."""
  for axis, side in ((1, height), (2, width)):
    x = np.pad(x, [(1, 1) if at == axis else (0, 0) for at in range(4)], "edge")
    x = np.insert(x, np.arange(1, x.shape[axis] + 1), 0.0, axis)
    x = np.apply_along_axis(np.convolve, axis, x, 2 * _WEIGHTS, "same")
    x = x.take(np.arange(2, 2 + side), axis)
  return x


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_both_ways_equal_scipys(height, width):
  images = np.random.default_rng(0).uniform(-1, 1, (2, height, width, 3)).astype(np.float32)
  below = _down(images.astype(np.float64))
  # float32 sums of 25 values within [-1, 1].
  np.testing.assert_allclose(laplacian_pyramid.down(images), below, atol=1e-6)
  back = laplacian_pyramid.up(jnp.asarray(below, jnp.float32), height, width)
  np.testing.assert_allclose(back, _up(below, height, width), atol=1e-6)


def test_a_row_by_hand():
  # Edges go on: (0 | 0 0 16 16 | 16); five weights a pixel below, pixels 0 and 2.
  row = jnp.tile(jnp.array([0.0, 0.0, 16.0, 16.0]), (4, 1)).reshape(1, 4, 4, 1)
  difference, below = laplacian_pyramid.build(row, 1)
  np.testing.assert_allclose(below[0, :, :, 0], [[1, 11]] * 2, rtol=1e-6)
  # (6 + 1) / 8 and 1 / 8 of them, then halves, then 1 / 8 and (6 + 1) / 8, then the edge.
  blurred = np.array([2.25, 6, 9.75, 11])
  np.testing.assert_allclose(
    difference[0, :, :, 0], [[0, 0, 16, 16] - blurred] * 4, rtol=1e-6, atol=1e-6
  )
  # Two pixels: (6 + 4 + 1) / 16 of the first and (4 + 1) / 16 of the second, twice.
  difference, below = laplacian_pyramid.build(jnp.array([0.0, 16.0]).reshape(1, 2, 1, 1), 1)
  assert below.item() == 5 and difference.ravel().tolist() == [-5, 11]


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("num_halvings", [0, 1, 3])
def test_nothing_is_lost(height, width, num_halvings):
  pixels = np.random.default_rng(0).integers(0, 256, (3, height, width, 2)).astype(np.uint8)
  images = to_signed(pixels)

  @jax.jit
  def there(images: jax.Array) -> list[jax.Array]:
    return laplacian_pyramid.build(images, num_halvings)

  pyramid = there(images)
  assert len(pyramid) == num_halvings + 1
  for above, below in itertools.pairwise(pyramid):
    assert below.shape == (3, -(-above.shape[1] // 2), -(-above.shape[2] // 2), 2)
  back = jax.jit(laplacian_pyramid.collapse)(pyramid)
  # A difference below 2 is rounded by 2^-24, the sum of at most 1 by 2^-25; what two programs blur
  # differs by a few of these, and comes up from each level.
  np.testing.assert_allclose(back, images, atol=1e-6, rtol=0)
  np.testing.assert_array_equal(from_signed(back), pixels)


def test_what_is_smooth_has_no_details():
  *differences, last = laplacian_pyramid.build(jnp.full((1, 9, 12, 1), 0.3), 2)
  for difference in differences:
    np.testing.assert_allclose(difference, 0.0, atol=1e-7)
  np.testing.assert_allclose(last, 0.3, rtol=1e-6)
  # Of a slope nothing either, but near the edges, which go on flat.
  slope = jnp.arange(33.0).reshape(1, 1, 33, 1)
  (difference, _) = laplacian_pyramid.build(slope, 1)
  np.testing.assert_allclose(difference[0, 0, 4:-4, 0], 0.0, atol=1e-5)
  assert jnp.abs(difference[0, 0, 0]) > 0.1


def test_it_follows_images_that_are_turned():
  images = jax.random.normal(KEY, (2, 9, 9, 1))
  whole = laplacian_pyramid.build(images, 2)
  for turned in (lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x.swapaxes(1, 2)):
    for found, expected in zip(laplacian_pyramid.build(turned(images), 2), whole, strict=True):
      # Sums of the same values in another order.
      np.testing.assert_allclose(found, turned(expected), atol=1e-6)


def test_what_is_no_pyramid():
  with pytest.raises(ValueError, match=r"images: expected \[N, H, W, C\], got shape \(4, 4\)"):
    laplacian_pyramid.build(jnp.zeros((4, 4)), 1)
  with pytest.raises(ValueError, match="num_halvings: expected an integer of at least 0, got -1"):
    laplacian_pyramid.build(jnp.zeros((1, 4, 4, 1)), -1)
  with pytest.raises(ValueError, match="images: expected 3 x 2 pixels for 5 x 4 above, got shape"):
    laplacian_pyramid.collapse([jnp.zeros((1, 5, 4, 1)), jnp.zeros((1, 2, 2, 1))])
