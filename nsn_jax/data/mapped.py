"""Arrays in `.npy` files that are mapped: no more of one is in memory than is looked at."""

import hashlib
import io
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["digest", "header", "opened"]

#: Arrays of at most so many bytes are checked whole: a second of reading, at most.
_WHOLE_BYTES = 2**30
#: Of larger ones so many blocks, the first and the last among them, of so many bytes.
_NUM_BLOCKS = 256
_BLOCK_BYTES = 2**18


def header(dtype: npt.DTypeLike, shape: Sequence[int]) -> bytes:
  """What a `.npy` file has before its values; it is as long for any number of rows."""
  buffer = io.BytesIO()
  about = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": tuple(shape)}
  np.lib.format.write_array_header_1_0(buffer, about)
  return buffer.getvalue()


def opened(path: pathlib.Path, dtype: npt.DTypeLike, shape: Sequence[int]) -> np.memmap:
  """Maps a file, to read only.

  Args:
    path: of the file.
    dtype: of its values.
    shape: of the array, of at least one value.

  Raises:
    ValueError: for anything but a file of such an array, from its first byte to its last.
    OSError: where it cannot be read or mapped.
  """
  if not path.is_file():  # Opening a pipe would wait for ever.
    raise ValueError(f"expected a file {path.name}, got none")
  begin = header(dtype, shape)
  expected = len(begin) + math.prod(shape) * np.dtype(dtype).itemsize
  size = path.stat().st_size
  if size != expected:
    raise ValueError(f"expected {expected:,} bytes in {path.name}, got {size:,}")
  with path.open("rb") as file:
    if file.read(len(begin)) != begin:
      raise ValueError(f"{path.name} does not begin as {np.dtype(dtype)} {list(shape)}")
  return np.memmap(path, dtype, "r", offset=len(begin), shape=tuple(shape))


def digest(array: npt.NDArray[Any]) -> str:
  """A checksum, SHA-256, of an array's dtype, shape and values.

  Of more than 1 GB only 256 blocks of 256 KB count, evenly spread from the first to the last, so
  that opening a set takes as long however large it is.
  """
  found = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
  values = array.reshape(-1).view(np.uint8)
  starts, size = np.zeros(1, int), len(values)
  if size > _WHOLE_BYTES:
    starts, size = np.linspace(0, size - _BLOCK_BYTES, _NUM_BLOCKS).astype(int), _BLOCK_BYTES
  for start in starts:
    found.update(values[start : start + size].data)
  return found.hexdigest()
