"""Checks of what users give, on the host, at the public boundary.

Every error names the argument, what was expected and what came.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
  "MOST",
  "RANGE_SLACK",
  "concrete",
  "extent",
  "feature_maps",
  "floats",
  "function",
  "image_shape",
  "images",
  "instance",
  "integer",
  "key",
  "native",
  "number",
  "path",
  "same_shape",
  "scalar",
  "window",
]

_LARGEST = float(np.finfo(np.float32).max)
#: Float images may leave [0, 1] by rounding, no more.
RANGE_SLACK = 1e-3


#: Largest count: JAX indexes by 32 bits.
MOST = 2**31 - 1


def concrete(value: Any) -> bool:
  """Whether values can be looked at: not so inside jit, where shapes and dtypes alone are known."""
  return not isinstance(value, jax.core.Tracer)


def instance(name: str, value: Any, kind: type) -> None:
  """Raises ValueError unless `value` is of this class."""
  if not isinstance(value, kind):
    raise ValueError(f"{name}: expected a {kind.__name__}, got {type(value).__name__}")


def path(name: str, value: Any) -> pathlib.Path:
  """The path of a string or path.

  Raises:
    ValueError: for anything else, and for an empty one.
  """
  if not isinstance(value, str | os.PathLike) or not os.fspath(value):
    raise ValueError(f"{name}: expected a path, got {value!r}")
  return pathlib.Path(value)


def function(name: str, value: Any) -> None:
  """Raises ValueError unless `value` can be called, or is None."""
  if value is not None and not callable(value):
    raise ValueError(f"{name}: expected a function or None, got {type(value).__name__}")


def native(value: Any) -> Any:
  """A numpy array of the other byte order in this machine's, which alone JAX takes."""
  if isinstance(value, np.ndarray) and not value.dtype.isnative:
    return value.astype(value.dtype.newbyteorder("="))
  return value


def floats(name: str, value: Any, layout: str) -> Any:
  """The array, in native byte order. Of tracers, too: shape and dtype are looked at, not values.

  Args:
    name: the argument's.
    value: what was given.
    layout: as "N, H, W, C"; one that begins with "..." leaves open what comes before.

  Raises:
    ValueError: for what is no float array of this layout.
  """
  shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
  if shape is None or dtype is None:
    raise ValueError(f"{name}: expected an array [{layout}], got {type(value).__name__}")
  axes = [axis.strip() for axis in layout.split(",")]
  is_open = axes[0] == "..."
  rank = len(axes) - is_open
  if len(shape) < rank or (not is_open and len(shape) != rank):
    raise ValueError(f"{name}: expected [{layout}], got shape {tuple(shape)}")
  if not jnp.issubdtype(dtype, jnp.floating):
    raise ValueError(f"{name}: expected a float array, got dtype {dtype}")
  return native(value)


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


def images(name: str, value: Any, slack: float = RANGE_SLACK) -> Any:
  """The images, in native byte order.

  Args:
    name: the argument's.
    value: what was given.
    slack: how far floats may leave [0, 1].

  Raises:
    ValueError: unless they are [N, H, W, C], uint8 or float in [0, 1], not empty.
  """
  _array(name, value, "N, H, W, C")
  if value.dtype == np.uint8:
    return value
  if value.dtype.kind != "f":
    raise ValueError(f"{name}: expected uint8, or float in [0, 1], got dtype {value.dtype}")
  low, high = extent(name, value)
  if low < -slack or high > 1 + slack:
    raise ValueError(
      f"{name}: expected uint8, or float in [0, 1], got floats in [{low:.4g}, {high:.4g}]"
    )
  return native(value)


def feature_maps(name: str, value: Any, num_channels: int | None = None) -> Any:
  """The maps, in native byte order.

  Raises:
    ValueError: unless they are [N, h, w, C], float, finite, of so many channels.
  """
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
  return native(value)


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
  most = MOST if high is None else high
  whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
  if not whole or not low <= value <= most:
    is_open = high is None and not (whole and value > most)
    bound = f"of at least {low}" if is_open else f"from {low} to {most}"
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


def scalar(name: str, value: Any, low: float = -np.inf) -> None:
  """Raises ValueError unless `value` is one number above `low`, Python's or an array of no axes.

  Where nothing bounds it, -inf is one, too. Of a tracer the shape alone is looked at.
  """
  if concrete(value) and np.shape(value) == () and getattr(value, "dtype", None) is not None:
    value = np.asarray(value).item()
  if concrete(value):
    if not (isinstance(value, float) and value == low == -np.inf):
      number(name, value, low, above=low > -np.inf)
  elif np.shape(value) != ():
    raise ValueError(f"{name}: expected one number, got shape {np.shape(value)}")


#: Generators of raw keys, by their number of words.
_GENERATORS = {(2,): "threefry2x32", (4,): "rbg"}


def key(name: str, value: Any) -> jax.Array:
  """One PRNG key, of the new kind: a raw one is wrapped, and draws the same.

  Raises:
    ValueError: for anything else, several keys among it.
  """
  dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
  if isinstance(value, jax.Array) and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
    if shape == ():
      return value
  elif dtype == np.uint32 and shape in _GENERATORS:
    return jax.random.wrap_key_data(jnp.asarray(value), impl=_GENERATORS[shape])
  raise ValueError(f"{name}: expected one PRNG key, as jax.random.key(0), got {value!r}")
