"""Pixel values from one range to another: 8 bits, [0, 1], and the [-1, 1] of the baselines."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

__all__ = ["from_signed", "to_signed", "to_uint8", "to_unit"]

#: Images that are converted at a time: 50,000 in colour are gigabytes, on the way several times.
_CONVERTED = 1_000


def to_unit(images: jax.Array) -> jax.Array:
  """8-bit images to float32 in [0, 1]; float images as they are, in float32."""
  if images.dtype == jnp.uint8:
    return images.astype(jnp.float32) / 255.0
  return images.astype(jnp.float32)


def to_signed(images: npt.NDArray[np.uint8] | jax.Array) -> jax.Array:
  """8-bit images to float32 in [-1, 1]."""
  return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def from_signed(images: jax.Array) -> jax.Array:
  """Images in [-1, 1] to 8 bits, clipped and rounded."""
  return jnp.round(jnp.clip((images + 1.0) * 127.5, 0.0, 255.0)).astype(jnp.uint8)


def to_uint8(
  images: npt.NDArray | jax.Array, limits: tuple[float, float] = (0.0, 1.0)
) -> npt.NDArray[np.uint8]:
  """Pixel values to 8 bits on the host, clipped to `limits`, black and white, and rounded.

  Args:
    images: [N, ...], float; 8-bit images are returned as they are.
    limits: the values that become 0 and 255.
  """
  array = np.asarray(images)
  if array.dtype == np.uint8:
    return array
  low, high = limits
  found = np.empty(array.shape, np.uint8)
  for i in range(0, len(array), _CONVERTED):
    unit = (array[i : i + _CONVERTED] - np.float32(low)) / np.float32(max(high - low, 1e-6))
    found[i : i + _CONVERTED] = np.rint(np.clip(unit, 0.0, 1.0) * 255.0)
  return found
