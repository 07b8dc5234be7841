"""Checks of what users give, on the host, at the public boundary.

Every error names the argument, what was expected and what came.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
  "extent",
  "feature_maps",
  "image_shape",
  "images",
  "integer",
  "key",
  "number",
  "same_shape",
  "window",
]

_LARGEST = float(np.finfo(np.float32).max)
#: Float images may leave [0, 1] by rounding, no more.
_RANGE_SLACK = 1e-3


def same_shape(name: str, given: Sequence[int], expected: Sequence[int]) -> None:
  """Raises ValueError where two shapes differ. Works on tracers."""
  if tuple(given) != tuple(expected):
    raise ValueError(
      f"{name}: expected shape [N, {', '.join(map(str, expected))}] "
      f"as the whitening was fitted, got [N, {', '.join(map(str, given))}]"
    )


def _array(name: str, value: Any, layout: str) -> None:
  rank = layout.count(",") + 1
  shape = getattr(value, "shape", None)
  if shape is None:
    raise ValueError(f"{name}: expected an array [{layout}], got {type(value).__name__}")
  if len(shape) != rank:
    raise ValueError(f"{name}: expected an array [{layout}], got shape {tuple(shape)}")
  if 0 in shape:
    raise ValueError(
      f"{name}: expected at least one value along every axis of [{layout}], "
      f"got shape {tuple(shape)}"
    )


@jax.jit
def _reduced(value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  return jnp.isfinite(value).all(), value.min(), value.max()


def extent(name: str, value: Any) -> tuple[float, float]:
  """Least and largest value of an array that is not empty.

  Raises:
    ValueError: for NaN and infinity.
  """
  if isinstance(value, jax.Array):
    # XLA's minimum may drop a NaN; numpy's lets it through, and needs no array beside the given.
    finite, low, high = jax.device_get(_reduced(value))
  else:
    low, high = value.min(), value.max()
    finite = np.isfinite(low) and np.isfinite(high)
  if not finite:
    raise ValueError(f"{name}: expected finite values, got NaN or infinity")
  return float(low), float(high)


def images(name: str, value: Any) -> None:
  """Raises ValueError unless `value` is [N, H, W, C], uint8 or float in [0, 1], not empty."""
  _array(name, value, "N, H, W, C")
  if value.dtype == np.uint8:
    return
  if value.dtype.kind != "f":
    raise ValueError(f"{name}: expected uint8, or float in [0, 1], got dtype {value.dtype}")
  low, high = extent(name, value)
  if low < -_RANGE_SLACK or high > 1 + _RANGE_SLACK:
    raise ValueError(
      f"{name}: expected uint8, or float in [0, 1], got floats in [{low:.4g}, {high:.4g}]"
    )


def feature_maps(name: str, value: Any, num_channels: int | None = None) -> None:
  """Raises ValueError unless `value` is [N, h, w, C], float, finite, of so many channels."""
  _array(name, value, "N, h, w, C")
  if not np.issubdtype(value.dtype, np.floating):
    raise ValueError(f"{name}: expected a float array, got dtype {value.dtype}")
  if num_channels is not None and value.shape[-1] != num_channels:
    raise ValueError(
      f"{name}: expected {num_channels} channels, one a filter of its layer, "
      f"got shape {tuple(value.shape)}"
    )
  if max(map(abs, extent(name, value))) > _LARGEST:
    raise ValueError(f"{name}: expected values within float32, got larger ones")


def window(size: Sequence[int], kernel: int, stride: int, layer: int | None = None) -> None:
  """Raises ValueError unless the windows cover a map of this size, every row and column."""
  where = "" if layer is None else f" of layer {layer}"
  if kernel > min(size):
    raise ValueError(
      f"kernel{where}: expected at most {min(size)}, as the map below is "
      f"{size[0]} x {size[1]}, got {kernel}"
    )
  for side in size:
    left = (side - kernel) % stride
    if left:
      raise ValueError(
        f"kernel, stride{where}: expected windows that cover all {side} values of a side, "
        f"got kernel={kernel}, stride={stride}, which leave {left} uncovered"
      )


def integer(name: str, value: Any, low: int, high: int | None = None) -> None:
  """Raises ValueError unless `value` is an integer in [low, high]."""
  whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
  if not whole or value < low or (high is not None and value > high):
    bound = f"of at least {low}" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name}: expected an integer {bound}, got {value!r}")


def image_shape(name: str, value: Any) -> None:
  """Raises ValueError unless `value` is a tuple of three integers of at least 1, (H, W, C)."""
  sides = value if isinstance(value, tuple) else ()
  if len(sides) != 3 or not all(isinstance(n, int | np.integer) and n >= 1 for n in sides):
    raise ValueError(f"{name}: expected a tuple (H, W, C) of integers of at least 1, got {value!r}")


def number(name: str, value: Any, low: float, *, above: bool = False) -> float:
  """The number as Python's float.

  Raises:
    ValueError: unless it is finite, also as float32, and at least `low`, or above it.
  """
  real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
  # Written so that NaN fails, and a Python integer too large for any float.
  if not real or not abs(value) <= _LARGEST or value < low or (above and value == low):
    bound = "" if low == -np.inf else f" above {low}" if above else f" of at least {low}"
    raise ValueError(f"{name}: expected a finite number{bound}, within float32, got {value!r}")
  return float(value)


def key(name: str, value: Any) -> None:
  """Raises ValueError unless `value` is one PRNG key."""
  typed = isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)
  # Raw keys are of 2 words, or 4 for the rbg generators.
  raw = getattr(value, "dtype", None) == np.uint32 and value.shape in ((2,), (4,))
  if not ((typed and value.ndim == 0) or raw):
    raise ValueError(f"{name}: expected one PRNG key, as jax.random.key(0), got {value!r}")
