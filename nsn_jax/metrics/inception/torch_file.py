"""Reads the arrays of a `.pth` file without torch, and without running what is pickled in it.

Such a file is a pickle of nested calls that rebuild tensors from raw storages beside it. Pickles
can call anything, and a few hundred bytes of one can take years or all memory. So `pickle` is not
used: the few operations that a file of weights needs are followed here, one after the other and up
to a number of them; a name may stand only for one of the things that such a file needs, each of
which is ours or plain data. Any other operation or name is an error.

Both layouts are read: the zip archive of torch 1.6 and newer, and the older plain stream.
"""

import errno
import io
import math
import os
import pathlib
import pickletools
import zipfile
from collections.abc import Mapping
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
#: Of a pickled program at most; Inception's has 0.1 MB and 20,000 operations. An object that one of
#: them makes takes some hundred bytes.
_MAX_PROGRAM = 16 * 2**20
_MAX_OPERATIONS = 250_000
#: Arrays may share a storage, and repeat its values: all of them together may be so many times the
#: file, and so many bytes, large.
_MAX_RATIO = 4
_FREE_BYTES = 64 * 2**20
#: Axes of a tensor at most: numpy has 64, torch's own kernels 25.
_MAX_AXES = 32


class _Storage(NamedTuple):
  """A run of values that tensors are views of."""

  key: str
  dtype: np.dtype[Any]
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
    path: of a file that `torch.save(module.state_dict(), path)` wrote; it need not be trusted. No
      more memory is taken than a few times the file's size.

  Returns:
    Arrays of their own, in the file's dtypes.

  Raises:
    ValueError: if the file is damaged, or holds something else than named tensors.
    OSError: if it cannot be read.
  """
  source = pathlib.Path(path)
  if source.exists() and not source.is_file():
    raise OSError(f"path: expected a torch file, got {str(source)!r}, which is no file")
  try:
    size = source.stat().st_size
    read = _read_zip if zipfile.is_zipfile(source) else _read_stream
    tensors, storages = read(source)
    asked = sum(math.prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values())
    if asked > _MAX_RATIO * size + _FREE_BYTES:
      raise ValueError(f"expected arrays of its {size:,} bytes, got some of {asked:,}")
    return {name: _view(tensor, storages) for name, tensor in tensors.items()}
  except Exception as error:  # zipfile, numpy and a damaged program raise what they like.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # A place before the file.
      raise
    said = str(error).partition("\n")[0] or type(error).__name__
    raise ValueError(
      f"path: expected a torch file of named tensors, got {str(source)!r}: {said:.200}"
    ) from error


def _read_zip(path: pathlib.Path) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
  with zipfile.ZipFile(path) as archive:
    entries = {info.filename: info for info in archive.infolist()}
    main = next((name for name in entries if name.split("/", 1)[-1] == "data.pkl"), None)
    if main is None:
      raise ValueError("expected an archive with data.pkl")

    def content(name: str, most: int) -> bytes:
      if name not in entries:
        raise ValueError(f"expected {name:.80} in the archive")
      info = entries[name]
      # torch stores and never packs: what is packed could be made to fill the memory.
      if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ValueError(f"expected storages that are not packed, got {name:.80}")
      if info.file_size > most:
        raise ValueError(f"expected {most:,} bytes or less in {name:.80}, got {info.file_size:,}")
      return archive.read(info)

    folder = main[: -len("data.pkl")]
    if f"{folder}byteorder" in entries and content(f"{folder}byteorder", 9) != b"little":
      raise ValueError("expected little-endian values")
    tensors = _tensors(_Program(io.BytesIO(content(main, _MAX_PROGRAM))).run())
    storages: dict[str, bytes] = {}
    # Entries may lie over each other: together they are no larger than the file.
    left = path.stat().st_size
    for key in dict.fromkeys(tensor.storage.key for tensor in tensors.values()):
      storages[key] = content(f"{folder}data/{key}", left)
      left -= len(storages[key])
    return tensors, storages


def _read_stream(path: pathlib.Path) -> tuple[dict[str, _Tensor], dict[str, bytes]]:
  with path.open("rb") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = io.BytesIO(file.read(_MAX_PROGRAM))
    if _Program(start).run() != _LEGACY_MAGIC:
      raise ValueError("expected the number that a torch file begins with")
    _Program(start).run()  # The protocol's version,
    _Program(start).run()  # and the writer's word sizes, which the storages do not depend on.
    program = _Program(start)
    tensors = _tensors(program.run())
    keys = _Program(start).run()
    if not isinstance(keys, list):
      raise ValueError("expected a list of storages")
    file.seek(start.tell())
    storages = {}
    for key in keys:
      storage = program.storages.get(_key(key))
      if storage is None:
        raise ValueError("expected storages that the tensors have")
      found = int.from_bytes(file.read(8), "little")
      length = found * storage.dtype.itemsize
      if found != storage.size:
        raise ValueError(f"expected {storage.size} values in a storage, got {found}")
      if length > size - file.tell():
        raise ValueError("the file ends in the middle of its values")
      storages[storage.key] = file.read(length)
    return tensors, storages


def _tensors(described: Any) -> dict[str, _Tensor]:
  """Named tensors, or ValueError."""
  if not isinstance(described, Mapping):
    raise ValueError(f"expected a dictionary of tensors, got {type(described).__name__}")
  for name, value in described.items():
    # No more than the kinds: what stands there could be endless to print.
    if not isinstance(name, str) or not isinstance(value, _Tensor):
      raise ValueError(
        f"expected tensors under names, got {type(value).__name__} under {type(name).__name__}"
      )
  return dict(described)


def _view(tensor: _Tensor, storages: Mapping[str, bytes]) -> npt.NDArray[Any]:
  """The values of a tensor, checked to lie in its storage."""
  storage, offset, shape, strides = tensor
  if storage.key not in storages:
    raise ValueError(f"expected a storage {storage.key:.80}")
  content = storages[storage.key]
  if len(content) != storage.size * storage.dtype.itemsize:
    raise ValueError(
      f"expected {storage.size} values in storage {storage.key:.80}, got {len(content)} bytes"
    )
  if not math.prod(shape):
    return np.empty(shape, storage.dtype)
  last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
  if last >= storage.size:
    raise ValueError(f"expected a storage of at least {last + 1} values, got {storage.size}")
  values = np.frombuffer(content, storage.dtype)[offset:]
  steps = tuple(step * values.itemsize for step in strides)
  return np.lib.stride_tricks.as_strided(values, shape, steps).copy()


# What the names of a program stand for


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
  """What stands for `torch._utils._rebuild_tensor_v2`; gradients and hooks are let go."""
  if not isinstance(storage, _Storage) or type(shape) is not tuple or type(strides) is not tuple:
    raise ValueError("expected a tensor of a storage, sizes and strides")
  if len(strides) != len(shape) or len(shape) > _MAX_AXES:
    raise ValueError(f"expected a tensor of at most {_MAX_AXES} sizes, and as many strides")
  if not all(type(n) is int and 0 <= n < 2**62 for n in (offset, *shape, *strides)):
    raise ValueError("expected a tensor's sizes, strides and offset to be at least 0")
  return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: object) -> _Tensor:
  if not isinstance(tensor, _Tensor):
    raise ValueError("expected a parameter of a tensor")
  return tensor


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
  """What stands for `OrderedDict`, empty or, as Python 2 wrote it, of a list of pairs."""
  return {_key(key): value for key, value in pairs}


_FUNCTIONS = {
  ("collections", "OrderedDict"): _ordered_dict,
  ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
  ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
}
_MEANINGS = {**_FUNCTIONS, **{("torch", name): dtype for name, dtype in _DTYPES.items()}}


def _key(value: Any) -> Any:
  """A key of a dictionary; only of these the hash is known to take no time."""
  if type(value) not in (str, int):
    raise ValueError(f"expected names, got {type(value).__name__}")
  return value


# The operations of a program

#: Those that put their argument on the stack.
_LITERALS = {
  "BINFLOAT",
  "BININT",
  "BININT1",
  "BININT2",
  "BINSTRING",
  "BINUNICODE",
  "BINUNICODE8",
  "LONG1",
  "SHORT_BINSTRING",
  "SHORT_BINUNICODE",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Program:
  """A pickled program: runs it, as far as a file of weights needs one.

  Nothing here follows what the program has built into its depth, and no number or length that it
  names is taken before the bytes are there.

  Attributes:
    storages: that it named, by key.
  """

  def __init__(self, source: BinaryIO):
    self.storages: dict[str, _Storage] = {}
    self._source = source
    self._stack: list[Any] = []
    self._marks: list[int] = []
    self._memo: dict[int, Any] = {}

  def run(self) -> Any:
    """What it leaves. Raises ValueError, or IndexError or KeyError for what was never put there."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(self._source)):
      if count >= _MAX_OPERATIONS:
        raise ValueError(f"expected at most {_MAX_OPERATIONS:,} operations")
      if operation.name == "STOP":
        break
      self._do(operation.name, argument)
    return self._stack.pop()

  def _do(self, name: str, argument: Any) -> None:
    stack = self._stack
    if name in _LITERALS:
      stack.append(argument)
    elif name in _CONSTANTS:
      stack.append(_CONSTANTS[name])
    elif name in _TUPLES:
      stack.append(tuple(self._last(_TUPLES[name])))
    elif name == "MARK":
      self._marks.append(len(stack))
    elif name == "TUPLE":
      stack.append(tuple(self._marked()))
    elif name in ("EMPTY_LIST", "EMPTY_DICT"):
      stack.append([] if name == "EMPTY_LIST" else {})
    elif name in ("APPEND", "APPENDS"):
      values = self._marked() if name == "APPENDS" else self._last(1)
      self._top(list).extend(values)
    elif name in ("SETITEM", "SETITEMS"):
      values = self._marked() if name == "SETITEMS" else self._last(2)
      names = map(_key, values[::2])
      self._top(dict).update(zip(names, values[1::2], strict=True))
    elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
      self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
      if argument not in self._memo:
        raise ValueError("expected values before they are used")
      stack.append(self._memo[argument])
    elif name == "GLOBAL":
      stack.append(_meaning(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
      stack.append(_meaning(*self._last(2)))
    elif name == "REDUCE":
      function, arguments = self._last(2)
      if not any(function is known for known in _FUNCTIONS.values()):
        raise ValueError("expected calls of what rebuilds tensors")
      stack.append(function(*arguments))
    elif name == "BUILD":  # Notes that a dictionary carries, on versions.
      stack.pop()
    elif name == "BINPERSID":
      stack.append(self._storage(stack.pop()))
    elif name not in ("PROTO", "FRAME"):
      raise ValueError(f"{name} is none of what a file of weights needs")

  def _last(self, count: int) -> list[Any]:
    """Takes the last values off the stack."""
    start = len(self._stack) - count
    if start < 0:
      raise ValueError("expected values before they are used")
    values = self._stack[start:]
    del self._stack[start:]
    return values

  def _marked(self) -> list[Any]:
    """Takes the values above the last mark off the stack."""
    return self._last(len(self._stack) - self._marks.pop())

  def _top(self, kind: type) -> Any:
    if type(self._stack[-1]) is not kind:
      raise ValueError(f"expected a {kind.__name__} to add to")
    return self._stack[-1]

  def _storage(self, described: Any) -> _Storage:
    """Remembers a storage, or finds it again."""
    if type(described) is not tuple or len(described) < 5:
      raise ValueError("expected the description of a storage")
    kind, dtype, key, _, size, *_ = described
    if kind != "storage" or not isinstance(dtype, np.dtype) or type(size) is not int or size < 0:
      raise ValueError("expected the description of a storage")
    key = str(_key(key))
    return self.storages.setdefault(key, _Storage(key, dtype, size))


def _meaning(module: Any, name: Any) -> Any:
  if type(module) is not str or type(name) is not str:
    raise ValueError("expected names of what rebuilds tensors")
  if (module, name) not in _MEANINGS:
    raise ValueError(f"{module:.80}.{name:.80} is none of what a file of weights needs")
  return _MEANINGS[module, name]
