"""Writes `.pth` files as torch does, but without it: reading them is tested everywhere."""

import os
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

_STORAGES = {"float32": b"FloatStorage", "int64": b"LongStorage", "float16": b"HalfStorage"}


def _text(value: str) -> bytes:
  return b"X" + struct.pack("<I", len(value)) + value.encode()


def _integer(value: int) -> bytes:
  return b"J" + struct.pack("<i", value)


def _tuple(values: tuple[int, ...]) -> bytes:
  return b"(" + b"".join(map(_integer, values)) + b"t"


def tensor(key: str, array: np.ndarray) -> bytes:
  """Pickle opcodes of one tensor whose storage is its own."""
  strides = tuple(step // array.itemsize for step in array.strides)
  storage = b"(" + _text("storage") + b"ctorch\n" + _STORAGES[str(array.dtype)] + b"\n"
  storage += _text(key) + _text("cpu") + _integer(array.size) + b"tQ"
  hooks = b"\x89ccollections\nOrderedDict\n)R"
  rebuilt = storage + _integer(0) + _tuple(array.shape) + _tuple(strides) + hooks
  return b"ctorch._utils\n_rebuild_tensor_v2\n(" + rebuilt + b"tR"


def write_archive(
  path: str | os.PathLike[str], program: bytes, storages: Mapping[str, bytes]
) -> None:
  """The zip layout, of any pickle program."""
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("weights/data.pkl", b"\x80\x02" + program + b".")
    for key, values in storages.items():
      archive.writestr(f"weights/data/{key}", values)
    archive.writestr("weights/version", b"3\n")


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
  """A state dictionary of contiguous arrays."""
  items = b"".join(
    _text(name) + tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())
  )
  storages = {str(key): array.tobytes() for key, array in enumerate(arrays.values())}
  write_archive(path, b"ccollections\nOrderedDict\n)R(" + items + b"u", storages)
