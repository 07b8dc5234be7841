"""Reads the arrays of a `.pth` file without torch, and without running what is pickled in it.

Such a file is a pickle of nested calls that rebuild tensors from raw storages beside it. Pickles
can call anything; here a name may stand only for one of the few things that a file of weights
needs, each of which is ours or plain data, and any other name is an error.

Both layouts are read: the zip archive of torch 1.6 and newer, and the older plain stream.
"""

import collections
import io
import math
import os
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["read_arrays"]

#: torch's storage classes, and what they hold.
_DTYPES: dict[str, np.dtype[Any]] = {
  "DoubleStorage": np.dtype("<f8"),
  "FloatStorage": np.dtype("<f4"),
  "HalfStorage": np.dtype("<f2"),
  "LongStorage": np.dtype("<i8"),
  "IntStorage": np.dtype("<i4"),
  "ShortStorage": np.dtype("<i2"),
  "CharStorage": np.dtype("i1"),
  "ByteStorage": np.dtype("u1"),
  "BoolStorage": np.dtype("?"),
}
#: What an older file begins with, as a pickled integer.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage(NamedTuple):
  """A run of values that tensors are views of."""

  key: str
  dtype: npt.DTypeLike
  size: int


class _Tensor(NamedTuple):
  """A tensor as the file tells of it: a view of a storage."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
  """The arrays of a state dictionary, by name.

  Args:
    path: of a file that `torch.save(module.state_dict(), path)` wrote.

  Returns:
    Arrays of their own, in the file's dtypes.

  Raises:
    ValueError: if the file is damaged, or holds something else than named tensors.
    OSError: if it cannot be read.
  """
  source = pathlib.Path(path)
  read = _read_zip if zipfile.is_zipfile(source) else _read_stream
  try:
    described, storages = read(source)
    if not isinstance(described, Mapping):
      raise ValueError(f"expected a dictionary of tensors, got {type(described).__name__}")
    arrays = {}
    for name, value in described.items():
      if not isinstance(name, str) or not isinstance(value, _Tensor):
        raise ValueError(f"expected a tensor under each name, got {value!r:.80} under {name!r:.80}")
      arrays[name] = _view(value, storages)
    return arrays
  # A damaged pickle can raise nearly anything while it is read.
  except (
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
    ImportError,
    RecursionError,
    RuntimeError,
  ) as error:
    raise ValueError(
      f"path: expected a torch file of named tensors, got {str(source)!r}: {error}"
    ) from error


def _read_zip(path: pathlib.Path) -> tuple[Any, dict[str, bytes]]:
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    main = next((name for name in names if name.split("/", 1)[-1] == "data.pkl"), None)
    if main is None:
      raise ValueError("expected an archive with data.pkl")
    folder = main[: -len("data.pkl")]
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
      raise ValueError("expected little-endian values")
    described = _Unpickler(io.BytesIO(archive.read(main))).load()
    prefix = f"{folder}data/"
    # torch stores and never packs: what is packed could be made to fill the memory.
    parts = [info for info in archive.infolist() if info.filename.startswith(prefix)]
    if any(info.compress_type != zipfile.ZIP_STORED for info in parts):
      raise ValueError("expected storages that are not packed")
    return described, {info.filename[len(prefix) :]: archive.read(info) for info in parts}


def _read_stream(path: pathlib.Path) -> tuple[Any, dict[str, bytes]]:
  with path.open("rb") as file:
    if _Unpickler(file).load() != _LEGACY_MAGIC:
      raise ValueError("expected the number that a torch file begins with")
    _Unpickler(file).load()  # The protocol's version,
    _Unpickler(file).load()  # and the writer's word sizes, which the storages do not depend on.
    reader = _Unpickler(file)
    described = reader.load()
    storages = {}
    for key in _Unpickler(file).load():
      storage = reader.storages[key]
      size = int.from_bytes(_exactly(file, 8), "little")
      if size != storage.size:
        raise ValueError(f"expected {storage.size} values in storage {key}, got {size}")
      storages[key] = _exactly(file, size * np.dtype(storage.dtype).itemsize)
    return described, storages


def _exactly(file: BinaryIO, size: int) -> bytes:
  found = file.read(size)
  if len(found) != size:
    raise ValueError("the file ends in the middle of its values")
  return found


def _view(tensor: _Tensor, storages: Mapping[str, bytes]) -> npt.NDArray[Any]:
  """The values of a tensor, checked to lie in its storage."""
  values = np.frombuffer(storages[tensor.storage.key], tensor.storage.dtype)
  shape, strides = tensor.shape, tensor.strides
  if len(strides) != len(shape) or min((*shape, *strides, tensor.offset), default=0) < 0:
    raise ValueError("expected a tensor's sizes, strides and offset to be at least 0")
  if not math.prod(shape):
    return np.empty(shape, values.dtype)
  last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
  if last >= values.size:
    raise ValueError(f"expected a storage of at least {last + 1} values, got {values.size}")
  steps = tuple(step * values.itemsize for step in strides)
  return np.lib.stride_tricks.as_strided(values[tensor.offset :], shape, steps).copy()


def _rebuild_tensor(
  storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
  """What stands for `torch._utils._rebuild_tensor_v2`; gradients and hooks are let go."""
  return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: _Tensor, *_: object) -> _Tensor:
  return tensor


_MEANINGS: dict[tuple[str, str], Callable[..., Any] | np.dtype[Any]] = {
  ("collections", "OrderedDict"): collections.OrderedDict,
  ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
  ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
  **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
  """Knows the names above and no other."""

  def __init__(self, file: Any):
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) not in _MEANINGS:
      raise pickle.UnpicklingError(f"{module}.{name} is none of what a file of weights needs")
    return _MEANINGS[module, name]

  def persistent_load(self, pid: Any) -> _Storage:
    kind, dtype, key, _, size, *_ = pid
    if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(size, int):
      raise pickle.UnpicklingError("expected the description of a storage")
    return self.storages.setdefault(str(key), _Storage(str(key), dtype, size))
