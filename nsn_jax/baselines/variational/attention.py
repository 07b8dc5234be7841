"""DRAW's window: a grid of Gaussian filters that reads and writes (arXiv:1502.04623, 3.2).

Pixels are counted from 1, as the paper's initial window, centred and as large as the image, is
then: its formulas place its centre at (A + 1) / 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["NUM_PARAMETERS", "Window", "filters", "read", "window", "write"]

#: Of a window.
NUM_PARAMETERS = 5


class Window(NamedTuple):
  """Where filters lie, an image each: float32 [N] each.

  Attributes:
    x: the grid's centre, in pixels from 1, g_X.
    y: likewise, g_Y.
    log_variance: of the filters, log sigma^2.
    stride: pixels between two filters, delta.
    log_intensity: of what is read; what is written is divided by it, log gamma.
  """

  x: jax.Array
  y: jax.Array
  log_variance: jax.Array
  stride: jax.Array
  log_intensity: jax.Array


def window(parameters: jax.Array, height: int, width: int, size: int) -> Window:
  """Windows from a network's outputs (Eq 21 to 24): zeros are one that covers the image.

  Args:
    parameters: float32 [N, 5]: centre x and y, logarithms of variance, stride and intensity.
    height: of the images, B.
    width: of the images, A.
    size: filters along a side, N in the paper.
  """
  x, y, log_variance, log_stride, log_intensity = jnp.moveaxis(parameters, -1, 0)
  # One filter has no neighbours; its stride moves nothing.
  stride = (max(width, height) - 1) / max(size - 1, 1) * jnp.exp(log_stride)
  return Window(
    (width + 1) / 2 * (x + 1), (height + 1) / 2 * (y + 1), log_variance, stride, log_intensity
  )


def filters(
  centre: jax.Array, stride: jax.Array, log_variance: jax.Array, size: int, length: int
) -> jax.Array:
  """Filters along one axis (Eq 19, 20, 25, 26); each sums to 1.

  By a softmax: the paper's sums are 0 in float32 of windows far outside of the image. Of those each
  filter lies on the nearest edge.

  Args:
    centre: of the grid, float32 [N].
    stride: float32 [N].
    log_variance: float32 [N].
    size: filters.
    length: pixels of the axis.

  Returns:
    float32 [N, size, length].
  """
  offsets = jnp.arange(1, size + 1, dtype=jnp.float32) - (size / 2 + 0.5)
  means = centre[:, None] + offsets * stride[:, None]
  pixels = jnp.arange(1, length + 1, dtype=jnp.float32)
  distances = (pixels - means[..., None]) ** 2
  return jax.nn.softmax(-distances / 2 * jnp.exp(-log_variance)[:, None, None])


def _both(where: Window, size: int, height: int, width: int) -> tuple[jax.Array, jax.Array]:
  """F_Y and F_X."""
  return (
    filters(where.y, where.stride, where.log_variance, size, height),
    filters(where.x, where.stride, where.log_variance, size, width),
  )


def read(images: jax.Array, where: Window, size: int) -> jax.Array:
  """What windows see: gamma F_Y x F_X^T of each channel (Eq 27).

  Args:
    images: float32 [N, H, W, C].
    where: a window an image.
    size: filters along a side.

  Returns:
    float32 [N, size, size, C].
  """
  rows, columns = _both(where, size, *images.shape[1:3])
  seen = jnp.einsum("nyh,nhwc->nywc", rows, images)
  seen = jnp.einsum("nxw,nywc->nyxc", columns, seen)
  return jnp.exp(where.log_intensity)[:, None, None, None] * seen


def write(patches: jax.Array, where: Window, height: int, width: int) -> jax.Array:
  """Patches where windows lie: F_Y^T w F_X / gamma of each channel (Eq 29).

  Args:
    patches: float32 [N, size, size, C].
    where: a window a patch.
    height: of the images.
    width: of the images.

  Returns:
    float32 [N, height, width, C].
  """
  rows, columns = _both(where, patches.shape[1], height, width)
  wide = jnp.einsum("nxw,nyxc->nywc", columns, patches)
  written = jnp.einsum("nyh,nywc->nhwc", rows, wide)
  return jnp.exp(-where.log_intensity)[:, None, None, None] * written
