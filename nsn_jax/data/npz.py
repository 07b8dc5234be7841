"""Images saved by `numpy.savez`."""

import pathlib
import zipfile
import zlib

import numpy as np
import numpy.typing as npt

from nsn_jax import pixel_range
from nsn_jax.data import decoding
from nsn_jax.data.dataset import DataError, Dataset, Request, Source

__all__ = ["source"]


def source(request: Request) -> Source:
  """Arrays `images` and, optionally, `labels`; `test_images` and `test_labels` for "test".

  Images are uint8 [N, H, W] or [N, H, W, C], or floating point in [0, 1], which is rounded to
  0-255. Labels are integers [N]. Nothing is ever unpickled.

  Raises:
    DataError: no such file; when read: a file or array that is not as above.
  """
  path = request.path
  assert path is not None  # `load` gives every `NAME:PATH` its path.
  if not path.is_file():
    raise DataError(f"name: expected an .npz file after 'npz:', got {str(path)!r}, which is none")
  return Source(lambda: _read(request, path))


def _read(request: Request, path: pathlib.Path) -> Dataset:
  prefix = "test_" if request.split == "test" else ""
  images = _array(path, f"{prefix}images")
  labels = _array(path, f"{prefix}labels")
  if images is None:
    raise DataError(
      f"{path}: expected an array '{prefix}images' for split {request.split!r}, got {_keys(path)}"
    )
  images = _check_images(images, f"{path}: {prefix}images")
  if labels is not None:
    labels = _check_labels(labels, len(images), f"{path}: {prefix}labels")[: request.limit]
  chosen = images[: request.limit]
  if chosen.dtype != np.uint8:
    # In float32, so that float16 is not rounded twice.
    chosen = pixel_range.to_uint8(chosen.astype(np.float32))
  resized = decoding.resize(np.ascontiguousarray(chosen), request.image_size)
  return Dataset(resized, labels)


def _keys(path: pathlib.Path) -> str:
  with np.load(path, allow_pickle=False) as arrays:
    return ", ".join(map(repr, arrays)) or "no array"


def _array(path: pathlib.Path, key: str) -> npt.NDArray | None:
  """The array under this key, or None where the file has none."""
  try:
    file = np.load(path, allow_pickle=False)
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise DataError(f"{path}: expected arrays saved by numpy.savez, got another file") from error
  if not isinstance(file, np.lib.npyio.NpzFile):
    raise DataError(f"{path}: expected several arrays saved by numpy.savez, got a single array")
  with file:
    if key not in file:
      return None
    try:
      array = file[key]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
      raise DataError(
        f"{path}: expected plain numbers in {key!r}, got pickled objects or damage: {error}"
      ) from error
  if not isinstance(array, np.ndarray):
    raise DataError(f"{path}: expected an array in {key!r}, got other content")
  return array


def _check_images(images: npt.NDArray, title: str) -> npt.NDArray:
  """Returns uint8 or floating point [N, H, W, C] with at least one value and in range."""
  is_float = np.issubdtype(images.dtype, np.floating)
  if images.dtype != np.uint8 and not is_float:
    raise DataError(f"{title}: expected uint8, or floats in [0, 1], got {images.dtype}")
  if images.ndim not in (3, 4) or images.size == 0:
    raise DataError(f"{title}: expected [N, H, W] or [N, H, W, C], N >= 1, got {images.shape}")
  # Written so that NaN fails.
  if is_float and not (images.min() >= 0 and images.max() <= 1):
    raise DataError(f"{title}: expected floats in [0, 1], got {images.min()} to {images.max()}")
  return images[..., None] if images.ndim == 3 else images


def _check_labels(labels: npt.NDArray, count: int, title: str) -> npt.NDArray[np.int32]:
  if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (count,):
    raise DataError(
      f"{title}: expected integers [{count}], one an image, got {labels.dtype} {labels.shape}"
    )
  info = np.iinfo(np.int32)
  if labels.min() < info.min or labels.max() > info.max:
    raise DataError(f"{title}: expected int32 values, got {labels.min()} to {labels.max()}")
  return labels.astype(np.int32)
