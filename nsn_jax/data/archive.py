"""The arrays of an `.npz` file, whoever wrote it: nothing is unpacked before it is known how large.

An `.npz` is a zip archive of `.npy` files, each a line on shape and dtype before the values.
"""

import contextlib
import io
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsn_jax.data.dataset import DataError

__all__ = ["Archive", "Header", "opened"]

#: Arrays that are more than this many bytes must not be packed to less than the share below:
#: deflate packs nothings to a thousandth, images hardly ever to a tenth.
_FREE_BYTES = 512 * 2**20
_MAX_RATIO = 100
#: Bytes of the line on shape and dtype at most, as numpy has it.
_MAX_HEADER = 10_000
#: Names that an error lists at most.
_LISTED = 10


class Header(NamedTuple):
  """What an array says of itself."""

  dtype: np.dtype[Any]
  shape: tuple[int, ...]


class Archive:
  """An open archive of arrays.

  Attributes:
    names: of its arrays.
  """

  def __init__(self, path: pathlib.Path, archive: zipfile.ZipFile):
    self._path = path
    self._archive = archive
    infos = archive.infolist()
    self._members = {info.filename.removesuffix(".npy"): info for info in infos}
    if len(self._members) != len(infos):
      raise DataError(f"{path}: expected each array once, got several of one name")
    self.names = list(self._members)

  def listed(self) -> str:
    """The arrays' names for a message, the first of many."""
    shown = [repr(name[:80]) for name in self.names[:_LISTED]]
    shown += [f"and {len(self.names) - _LISTED} more"] if len(self.names) > _LISTED else []
    return ", ".join(shown) or "no array"

  def headers(self, names: Iterable[str]) -> dict[str, Header]:
    """Dtype and shape of those of the arrays that are there.

    Raises:
      DataError: for what is no plain array, or not as large as it says.
    """
    return {name: self._header(name) for name in names if name in self._members}

  def read(self, names: Iterable[str]) -> dict[str, npt.NDArray]:
    """The arrays, which must be there.

    Raises:
      DataError: for damage, and where they would fill the memory.
    """
    infos = {name: self._members[name] for name in names}
    unpacked = sum(info.file_size for info in infos.values())
    # What is said of the packed bytes may be too much, but the file is not larger than it is.
    packed = min(sum(info.compress_size for info in infos.values()), self._path.stat().st_size)
    if unpacked > max(_FREE_BYTES, _MAX_RATIO * packed):
      raise DataError(
        f"{self._path}: expected arrays of at most {_MAX_RATIO} times their packed size, got "
        f"{packed:,} bytes that are to become {unpacked:,}"
      )
    arrays = {}
    for name, info in infos.items():
      self._header(name)
      with (
        _told_as(f"{self._path}: expected undamaged numbers in {name!r}"),
        self._archive.open(info) as file,
      ):
        arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays

  def _header(self, name: str) -> Header:
    info = self._members[name]
    title = f"{self._path}: expected plain numbers in {name!r}"
    # The two others that zip knows are unpacked without a bound on the result.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise DataError(f"{title}, stored or deflated, got the method {info.compress_type}")
    with _told_as(title), self._archive.open(info) as file:
      start, parse = _header_bytes(file)
      shape, _, dtype = parse(io.BytesIO(start[8:]))
    if dtype.hasobject or not dtype.itemsize:
      raise DataError(f"{title}, got pickled objects or nothing")
    if min(shape, default=0) < 0:
      raise DataError(f"{title}, got the shape {shape}")
    size = len(start) + math.prod(shape) * dtype.itemsize
    if size != info.file_size:
      raise DataError(
        f"{title}: {dtype} {shape} is {size:,} bytes, got {info.file_size:,}, so it is damaged"
      )
    return Header(dtype, shape)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Archive]:
  """Opens an archive of arrays.

  Raises:
    DataError: for another file, or one that cannot be read.
  """
  source = pathlib.Path(path)
  expected = f"{source}: expected arrays saved by numpy.savez"
  with contextlib.ExitStack() as stack:
    with _told_as(f"{expected}, got another file"):
      with source.open("rb") as file:
        is_single = file.read(6) == np.lib.format.MAGIC_PREFIX
      if is_single:
        raise DataError(f"{expected}, got a single array")
      found = Archive(source, stack.enter_context(zipfile.ZipFile(source)))
    yield found


@contextlib.contextmanager
def _told_as(message: str) -> Iterator[None]:
  """Makes one error of all that zipfile, zlib, numpy and Python's own parser raise."""
  try:
    yield
  except DataError:
    raise
  except Exception as error:
    said = str(error).partition("\n")[0]
    raise DataError(f"{message} ({type(error).__name__}: {said:.200})") from error


def _header_bytes(file: Any) -> tuple[bytes, Any]:
  """The bytes before the values, and numpy's reader of them behind the 8 that name the format."""
  version = np.lib.format.read_magic(file)
  # The third version is of dtypes with fields, which no image has.
  readers = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
  }
  if version not in readers:
    raise ValueError(f"version {version} of the format")
  width, parse = readers[version]
  length = file.read(width)
  count = int.from_bytes(length, "little")
  if count > _MAX_HEADER:
    raise ValueError(f"{count:,} bytes before the values")
  line = file.read(count)
  if len(length) != width or len(line) != count:
    raise ValueError("it ends before its values")
  return np.lib.format.magic(*version) + length + line, parse
