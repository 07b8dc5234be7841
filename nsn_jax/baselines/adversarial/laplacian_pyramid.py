"""The Laplacian pyramid (Burt and Adelson 1983): an image as what each halving of it loses.

With d, which blurs and keeps every second pixel, and u, which brings its image back to the size
before, a pyramid is I_0 = I, I_k+1 = d(I_k) and h_k = I_k - u(I_k+1). Differences h_0, h_1 ... and
the last image say all: I_k = u(I_k+1) + h_k. Both are Burt and Adelson's, of the weights
(1, 4, 6, 4, 1) / 16 along each axis; beyond its edges an image goes on as its edge is. Sides may be
odd, and are halved rounding up.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks

__all__ = ["build", "collapse", "down", "halved", "up"]

_WEIGHTS = np.array([1, 4, 6, 4, 1]) / 16


def halved(side: int) -> int:
  """The side of the image below, half of it rounded up."""
  return -(-side // 2)


@functools.cache
def _down(side: int) -> npt.NDArray[np.float32]:
  """Weights [halved(side), side]: each pixel below is a mean of five, two apart from the next."""
  matrix = np.zeros((halved(side), side), np.float32)
  for row in range(len(matrix)):
    for tap, weight in enumerate(_WEIGHTS):
      matrix[row, np.clip(2 * row + tap - 2, 0, side - 1)] += weight
  return matrix


@functools.cache
def _up(side: int) -> npt.NDArray[np.float32]:
  """Weights [side, halved(side)]: pixels are two apart, zeros between them, and twice the blur."""
  matrix = np.zeros((side, halved(side)), np.float32)
  for row in range(side):
    for tap, weight in enumerate(_WEIGHTS):
      place = row + tap - 2
      if place % 2 == 0:
        matrix[row, np.clip(place // 2, 0, halved(side) - 1)] += 2 * weight
  return matrix


def _apart(
  rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32], images: jax.Array
) -> jax.Array:
  """Rows, then columns, of weights [out, in]."""
  # What a pyramid lost must be what is added again, to float32's rounding on every device.
  product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
  found: jax.Array = product("yh,nhwc->nywc", rows, images)
  return product("xw,nywc->nyxc", columns, found)


def down(images: jax.Array) -> jax.Array:
  """d: blurs, and keeps every second pixel, the first one of each axis among them.

  Args:
    images: float32 [N, H, W, C].

  Returns:
    float32 [N, ceil(H / 2), ceil(W / 2), C], within the range of the images.
  """
  return _apart(_down(images.shape[1]), _down(images.shape[2]), images)


def up(images: jax.Array, height: int, width: int) -> jax.Array:
  """u: brings images that were halved back to their size, blurred.

  Args:
    images: float32 [N, ceil(height / 2), ceil(width / 2), C].
    height: H.
    width: W.

  Returns:
    float32 [N, H, W, C], within the range of the images.

  Raises:
    ValueError: for images of another size.
  """
  expected = halved(height), halved(width)
  if images.shape[1:3] != expected:
    raise ValueError(
      f"images: expected {expected[0]} x {expected[1]} pixels for {height} x {width} above, "
      f"got shape {tuple(images.shape)}"
    )
  return _apart(_up(height), _up(width), images)


def build(images: jax.Array, num_halvings: int) -> list[jax.Array]:
  """The pyramid of images. Pure.

  Args:
    images: float32 [N, H, W, C], in any range.
    num_halvings: K, at least 0.

  Returns:
    The differences h_0 ... h_K-1, each of half the sides of the one before, and the image I_K.

  Raises:
    ValueError: for arguments that are not as above.
  """
  images = checks.floats("images", images, "N, H, W, C")
  checks.integer("num_halvings", num_halvings, 0)
  found = []
  for _ in range(num_halvings):
    below = down(images)
    found.append(images - up(below, *images.shape[1:3]))
    images = below
  return [*found, images]


def collapse(pyramid: Sequence[jax.Array]) -> jax.Array:
  """The images of a pyramid, from the last upwards: the inverse of `build`. Pure.

  Args:
    pyramid: as `build` returns it.

  Returns:
    float32 [N, H, W, C].

  Raises:
    ValueError: where a difference has not twice the sides of the image below.
  """
  *differences, images = pyramid
  for difference in reversed(differences):
    images = up(images, *difference.shape[1:3]) + difference
  return images
