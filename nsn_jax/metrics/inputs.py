"""Checks of labelled images, with errors that name the argument, what was expected and given."""

from typing import Any

import jax
import numpy as np
import numpy.typing as npt

__all__ = ["Array", "features", "images", "labels", "same_width"]

#: Images or labels, on the device or on the host.
Array = jax.Array | npt.NDArray[Any]


def images(name: str, value: Any, image_shape: tuple[int, int, int] | None = None) -> None:
  """Raises ValueError unless `value` is uint8 [N, H, W, C], with [H, W, C] as given if it is.

  N may be 0. Floats are refused because their range cannot be told from a few dark images.
  """
  shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
  if shape is None or dtype is None:
    raise ValueError(f"{name}: expected an array [N, H, W, C], got {type(value).__name__}")
  if len(shape) != 4 or 0 in shape[1:]:
    raise ValueError(f"{name}: expected images of shape [N, H, W, C], got {tuple(shape)}")
  if dtype != np.uint8:
    raise ValueError(f"{name}: expected uint8 in 0-255, got {dtype}")
  if image_shape is not None and tuple(shape[1:]) != image_shape:
    expected = ", ".join(map(str, image_shape))
    raise ValueError(f"{name}: expected shape [N, {expected}], got {tuple(shape)}")


def labels(name: str, value: Any, num_images: int, num_classes: int | None = None) -> None:
  """Raises ValueError unless `value` is integer [num_images] in [0, num_classes)."""
  given = np.asarray(value)
  if given.shape != (num_images,):
    raise ValueError(
      f"{name}: expected one for each image, shape ({num_images},), got {given.shape}"
    )
  if not np.issubdtype(given.dtype, np.integer):
    raise ValueError(f"{name}: expected integers, got {given.dtype}")
  if not given.size:
    return
  low, high = int(given.min()), int(given.max())
  if low < 0 or (num_classes is not None and high >= num_classes):
    end = "" if num_classes is None else f" and below {num_classes}"
    raise ValueError(f"{name}: expected labels from 0{end}, got {low} to {high}")


def features(name: str, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
  """The features as an array of float32 or float64.

  Raises:
    ValueError: unless `value` is real, finite, [N, D] with neither of them 0.
  """
  given = np.asarray(value)
  if given.ndim != 2 or 0 in given.shape:
    raise ValueError(f"{name}: expected features [N, D], neither 0, got shape {given.shape}")
  if given.dtype.kind not in "fiub":
    raise ValueError(f"{name}: expected real numbers, got dtype {given.dtype}")
  wide = given.dtype == np.float64 or (given.dtype.kind in "iu" and given.dtype.itemsize > 2)
  rows: npt.NDArray[np.floating] = given.astype(np.float64 if wide else np.float32, copy=False)
  if not np.isfinite(rows).all():
    bad = int((~np.isfinite(rows)).any(axis=1).sum())
    raise ValueError(f"{name}: expected finite values, got NaN or infinity in {bad} rows")
  return rows


def same_width(
  left: npt.NDArray[Any],
  right: npt.NDArray[Any],
  left_name: str = "real",
  right_name: str = "generated",
) -> None:
  """Raises ValueError unless both sets have as many features."""
  if left.shape[1] != right.shape[1]:
    raise ValueError(
      f"{right_name}: expected {left.shape[1]} features, as {left_name} has, got {right.shape[1]}"
    )
