"""Images saved by `numpy.savez`."""

import pathlib

import numpy as np
import numpy.typing as npt

from nsn_jax import checks, pixel_range
from nsn_jax.data import archive, decoding
from nsn_jax.data.dataset import DataError, Dataset, MissingSplitError, Request, Source

__all__ = ["source"]

#: Sizes of a last axis that may be one of channels, and those that a first one has in PyTorch.
_CHANNELS = (1, 2, 3, 4)
_FIRST_CHANNELS = (1, 3)


def source(request: Request) -> Source:
  """Arrays `images` and, optionally, `labels`; `test_images` and `test_labels` for "test".

  Images are uint8 [N, H, W] or [N, H, W, C], or floating point in [0, 1], which is rounded to
  0-255. Labels are integers [N]. Any byte order and any order of axes in memory is read. Nothing
  is ever unpickled.

  Raises:
    DataError: no such file; when read: a file or array that is not as above, is damaged, or is
      packed so tightly that it would fill the memory.
  """
  path = request.path
  assert path is not None  # `load` gives every `NAME:PATH` its path.
  if not path.is_file():
    raise DataError(f"name: expected an .npz file after 'npz:', got {str(path)!r}, which is none")
  return Source(lambda: _read(request, path))


def _read(request: Request, path: pathlib.Path) -> Dataset:
  prefix, other = ("test_", "") if request.split == "test" else ("", "test_")
  keys = f"{prefix}images", f"{prefix}labels"
  with archive.opened(path) as arrays:
    headers = arrays.headers(keys)
    if keys[0] not in headers:
      # Without either it is no file of images.
      kind = MissingSplitError if f"{other}images" in arrays.names else DataError
      raise kind(
        f"{path}: expected an array {keys[0]!r} for split {request.split!r}, got {arrays.listed()}"
      )
    # Before anything is unpacked.
    _check_images(headers[keys[0]], f"{path}: {keys[0]}")
    if keys[1] in headers:
      _check_labels(headers[keys[1]], headers[keys[0]].shape[0], f"{path}: {keys[1]}")
    found = arrays.read(headers)
  images = found[keys[0]]
  if images.dtype != np.uint8:
    _check_range(images, f"{path}: {keys[0]}")
  # Clips what has left [0, 1] by rounding; 8-bit images come back as they are.
  chosen = pixel_range.to_uint8(images[: request.limit])
  chosen = np.ascontiguousarray(chosen[..., None] if chosen.ndim == 3 else chosen)
  labels = None
  if keys[1] in found:
    labels = _int32(found[keys[1]], f"{path}: {keys[1]}")[: request.limit]
  return Dataset(decoding.resize(chosen, request.image_size), labels)


def _check_images(header: archive.Header, title: str) -> None:
  """Raises DataError unless this is uint8 or floating point, [N, H, W] or [N, H, W, C]."""
  dtype, shape = header
  if dtype != np.uint8 and not np.issubdtype(dtype, np.floating):
    raise DataError(f"{title}: expected uint8, or floats in [0, 1], got {dtype}")
  if len(shape) not in (3, 4) or 0 in shape:
    raise DataError(f"{title}: expected [N, H, W] or [N, H, W, C], N >= 1, got {shape}")
  if len(shape) == 4 and shape[1] in _FIRST_CHANNELS and shape[3] not in _CHANNELS:
    raise DataError(
      f"{title}: expected [N, H, W, C], got {shape}, which looks like PyTorch's [N, C, H, W]: "
      "save images.transpose(0, 2, 3, 1)"
    )


def _check_labels(header: archive.Header, count: int, title: str) -> None:
  if not np.issubdtype(header.dtype, np.integer) or header.shape != (count,):
    raise DataError(
      f"{title}: expected integers [{count}], one an image, got {header.dtype} {header.shape}"
    )


def _check_range(images: npt.NDArray, title: str) -> None:
  """Raises DataError for floats outside [0, 1] by more than rounding."""
  low, high = images.min(), images.max()
  # Written so that NaN fails.
  if not (low >= -checks.RANGE_SLACK and high <= 1 + checks.RANGE_SLACK):
    raise DataError(f"{title}: expected floats in [0, 1], got {low} to {high}")


def _int32(labels: npt.NDArray, title: str) -> npt.NDArray[np.int32]:
  info = np.iinfo(np.int32)
  if labels.min() < info.min or labels.max() > info.max:
    raise DataError(f"{title}: expected int32 values, got {labels.min()} to {labels.max()}")
  return labels.astype(np.int32)
