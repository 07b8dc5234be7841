"""torch's files, read without torch: what torch wrote, what is written here, and hostile ones."""

import pickle
import struct
import zipfile

import numpy as np
import pytest

from nsn_jax.metrics.inception import torch_file
from tests.fuzz import limits
from tests.metrics.inception import torch_files

_ARRAYS = {
  "a": np.arange(6, dtype=np.float32).reshape(2, 3),
  "b.count": np.array(7, np.int64),
  "c": np.arange(4, dtype=np.float16),
}


def _read(path) -> dict[str, np.ndarray]:
  return torch_file.read_arrays(path)


def _assert_arrays(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
  assert list(found) == list(expected)
  for name, array in expected.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array, strict=True)


def test_written_arrays_are_read(tmp_path):
  torch_files.write(tmp_path / "x.pth", _ARRAYS)
  _assert_arrays(_read(tmp_path / "x.pth"), _ARRAYS)


@pytest.mark.parametrize("is_archive", [True, False])
def test_torchs_own_files_are_read(tmp_path, is_archive):
  torch = pytest.importorskip("torch")
  shared = torch.arange(12.0).reshape(3, 4)
  module = torch.nn.BatchNorm2d(3)
  state = {
    **module.state_dict(),
    "turned": shared.T,
    "part": shared[1:, 1:3],
    "parameter": torch.nn.Parameter(shared),
    "half": shared.half(),
  }
  torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=is_archive)
  expected = {name: value.detach().numpy() for name, value in state.items()}
  _assert_arrays(_read(tmp_path / "x.pth"), expected)


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth"])
def test_files_that_torch_wrote(request, name):
  """Written by torch 2.13: `{"turned": x.T, "part": x[1:, 1:3]}`, x = arange(12.0) as 3 x 4."""
  path = request.path.parent / "golden" / name
  x = np.arange(12, dtype=np.float32).reshape(3, 4)
  _assert_arrays(_read(path), {"turned": x.T, "part": x[1:, 1:3]})


class _RanError(Exception):
  pass


@pytest.mark.parametrize(
  "program",
  [
    b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
    b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
    b"ctorch\nload\n(X\x01\x00\x00\x001tR",
    b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n",
    b"\x8c\x08builtins\x8c\x04exec\x93",
  ],
)
def test_other_names_are_not_called(tmp_path, program, monkeypatch):
  monkeypatch.setattr("os.system", lambda _: (_ for _ in ()).throw(_RanError))
  torch_files.write_archive(tmp_path / "x.pth", program, {})
  with pytest.raises(ValueError, match=r"expected a torch file.*none of what a file of weights"):
    _read(tmp_path / "x.pth")


def _damaged(tmp_path, change: str):
  path = tmp_path / "x.pth"
  torch_files.write(path, _ARRAYS)
  content = path.read_bytes()
  tensor = torch_files.tensor("0", np.zeros((5, 5), np.float32))
  item = b"ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00a"
  if change == "cut":
    path.write_bytes(content[:200])
  elif change == "empty":
    path.write_bytes(b"")
  elif change == "text":
    path.write_text("no weights here")
  elif change == "short storage":
    torch_files.write_archive(path, item + tensor + b"u", {"0": bytes(99)})
  elif change == "no storage":
    torch_files.write_archive(path, item + tensor + b"u", {})
  elif change == "list":
    torch_files.write_archive(path, b"]", {})
  elif change == "number":
    torch_files.write_archive(path, item + b"K\x01u", {})
  elif change == "no program":
    torch_files.write_archive(path, b"", {})
  return path


@pytest.mark.parametrize(
  "change",
  ["cut", "empty", "text", "short storage", "no storage", "list", "number", "no program"],
)
def test_damaged_files_are_one_clear_error(tmp_path, change):
  with pytest.raises(ValueError, match="path: expected a torch file of named tensors, got"):
    _read(_damaged(tmp_path, change))


# programs that are written as torch writes them


def test_the_protocols_and_kinds_of_names_that_torch_has_had(tmp_path):
  """Protocol 4 frames and remembers otherwise; Python 2 wrote byte strings and lists of pairs."""
  tensor = torch_files.tensor("0", _ARRAYS["a"])
  values = {"0": _ARRAYS["a"].tobytes()}
  new = (
    b"\x95"
    + struct.pack("<Q", 3)
    + b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94("
  )
  name = b"\x8c\x01a\x94"
  old = b"ccollections\nOrderedDict\n(]](U\x01a" + tensor + b"eatR"
  notes = b"}(X\x09\x00\x00\x00_metadataccollections\nOrderedDict\n)R(X\x00\x00\x00\x00}"
  notes += b"X\x01\x00\x00\x00vK\x02suub"
  for program in (new + name + tensor + b"u" + notes, old):
    torch_files.write_archive(tmp_path / "x.pth", program, values)
    _assert_arrays(_read(tmp_path / "x.pth"), {"a": _ARRAYS["a"]})


def test_python_runs_the_same_programs(tmp_path):
  """What stands here for `pickle` is held against it, on what both can read."""
  values = {
    "a": (1, -1, 300, 70_000, 2**40, -(2**70)),
    "b": [True, False, None, 0.5],
    "c": {"d": []},
  }
  values["e"] = values["b"]
  for protocol in (2, 3, 4, 5):
    program = pickle.dumps(values, protocol)
    (tmp_path / "x").write_bytes(program)
    with (tmp_path / "x").open("rb") as file:
      found = torch_file._Program(file).run()
    assert found == values and found["e"] is found["b"]


# hostile ones

_ITEM = b"ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00a"


def _number(value):
  return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def _storage(size):
  start = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
  return start + _number(size) + b"tQ"


def _described(size, shape, strides, offset=0):
  """A tensor that says of itself what it likes."""

  def numbers(values):
    return b"(" + b"".join(map(_number, values)) + b"t"

  rebuilt = _storage(size) + _number(offset) + numbers(shape) + numbers(strides)
  return b"ctorch._utils\n_rebuild_tensor_v2\n(" + rebuilt + b"\x89)tR"


def _doubled(start, join):
  """A value that holds itself twice, 60 times over: a few bytes that stand for 2^60."""
  program = start + b"q\x00"
  for number in range(60):
    get = b"h" + bytes([number])
    program += b"(" + get + get + join + b"q" + bytes([number + 1])
  return program


#: Leaves that value where `_GET` finds it.
_TWICE = _doubled(b")", b"t")
_GET = b"h\x3c"

_HOSTILE = {
  "doubled tuple": _TWICE,
  "doubled tuple as an array": _TWICE + _ITEM + _GET + b"u",
  "doubled tuple as a name": _TWICE + b"}" + _GET + b"K\x01s",
  "doubled tuple as a name in pairs": _TWICE
  + b"ccollections\nOrderedDict\n(]]("
  + _GET
  + b"K\x01eatR",
  "doubled tuple as pairs": _TWICE + b"ccollections\nOrderedDict\n(" + _GET + b"tR",
  "doubled tuple as a module": _TWICE + _GET + b"X\x01\x00\x00\x00a\x93",
  "doubled tuple as a function": _TWICE + _GET + b")R",
  "doubled tuple as arguments": _TWICE + b"ctorch._utils\n_rebuild_parameter\n" + _GET + b"R",
  "doubled tuple as a storage": _TWICE + _GET + b"Q",
  "doubled tuple as a key": _TWICE
  + b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
  + _GET
  + b"X\x03\x00\x00\x00cpuK\x01tQ",
  "doubled tuple as a shape": _TWICE
  + b"ctorch._utils\n_rebuild_tensor_v2\n("
  + _storage(4)
  + b"K\x00"
  + _GET
  + b")tR",
  "doubled list": b"]q\x00" + b"](h\x00h\x00eq\x00" * 60,
  "deep tuple": b")" + b"\x85" * 200_000,
  "deep tuple of operations without end": b")" + b"\x85" * 2_000_000,
  "deep list": b"]" * 100_000 + b"a" * 99_999,
  "many dictionaries": b"}" * 2_000_000,
  "many marks": b"(" * 2_000_000,
  "many copies": b"]" + b"2" * 2_000_000,
  "long number": b"\x8b" + struct.pack("<i", 2**31 - 1),
  "long number of digits": b"L" + b"9" * 10_000_000 + b"L\n",
  "long text": b"X" + struct.pack("<I", 2**32 - 1),
  "very long text": b"\x8d" + struct.pack("<Q", 2**62),
  "long bytes": b"B" + struct.pack("<I", 2**32 - 1),
  "very long bytes": b"\x8e" + struct.pack("<Q", 2**62),
  "long byte array": b"\x96" + struct.pack("<Q", 2**62),
  "long frame": b"\x95" + struct.pack("<Q", 2**62) + b"]",
  "far memory": b"]r" + struct.pack("<I", 2**32 - 1),
  "far memory, read": b"j" + struct.pack("<I", 2**32 - 1),
  "text memory": b"]p" + b"9" * 5000 + b"\n",
  "large tensor": _ITEM + _described(2**40, (2**40,), (1,)) + b"u",
  "large empty tensor": _ITEM + _described(25, (0, 2**61, 2**61), (1, 1, 1)) + b"u",
  "one value as many": _ITEM + _described(25, (2**40,), (0,)) + b"u",
  "one value as many, in two": _ITEM + _described(25, (2**20, 2**20), (0, 0)) + b"u",
  "overlapping windows": _ITEM + _described(25, (5,) * 32, (1,) * 32) + b"u",
  "many axes": _ITEM + _described(25, (1,) * 10_000, (1,) * 10_000) + b"u",
  "axes beyond numpy": _ITEM + _described(25, (1,) * 65, (1,) * 65) + b"u",
  "far offset": _ITEM + _described(25, (1,), (1,), 2**61) + b"u",
  "negative stride": _ITEM + _described(25, (2,), (-1,), 5) + b"u",
  "negative size": _ITEM + _described(25, (-2, -2), (1, 1)) + b"u",
  "negative storage": _ITEM + _described(-25, (1,), (1,)) + b"u",
  "storage of another size": _ITEM + _described(24, (1,), (1,)) + b"u",
  "no names": b"]",
  "names of numbers": b"}K\x01" + _described(25, (1,), (1,)) + b"s",
  "nothing on the stack": b"t",
  "no end": b"}" * 9,
}


def _write_hostile(path, name, packed=False):
  program = _HOSTILE[name]
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
    file.writestr("weights/data.pkl", b"\x80\x02" + program + (b"" if name == "no end" else b"."))
    file.writestr("weights/data/0", bytes(100))


@pytest.mark.parametrize("name", _HOSTILE)
def test_no_program_is_more_than_an_error(tmp_path, name):
  _write_hostile(tmp_path / "x.pth", name)
  with pytest.raises(ValueError, match=r"path: expected a torch file of named ten") as error:
    _read(tmp_path / "x.pth")
  assert "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_none_takes_a_gigabyte_or_five_seconds(tmp_path, run_python):
  """In a process that may not even ask for more."""
  for number, name in enumerate(_HOSTILE):
    _write_hostile(tmp_path / f"{number}.pth", name)
  with (
    zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    file.open("weights/data.pkl", "w", force_zip64=True) as entry,
  ):
    for _ in range(70):
      entry.write(bytes(10_000_000))
  script = f"""
import pathlib, time
from nsn_jax.metrics.inception import torch_file
from tests.fuzz import limits
limits.cap(2**30)
for path in sorted(pathlib.Path({str(tmp_path)!r}).iterdir()):
  limits.forget_peak()
  before, start = limits.resident(), time.perf_counter()
  try:
    torch_file.read_arrays(path)
    outcome = "read"
  except ValueError as error:
    # Not even refused for want of memory: that would be luck.
    outcome = "out of memory" if isinstance(error.__cause__, MemoryError) else "refused"
  print(path.stem, round(time.perf_counter() - start, 2), limits.peak() - before, outcome)
"""
  rows = [row.split(" ", 3) for row in run_python(script).splitlines()]
  assert len(rows) == len(_HOSTILE) + 1
  assert {row[3] for row in rows} == {"refused"}
  assert max(float(row[1]) for row in rows) < 5
  assert max(int(row[2]) for row in rows) < 2**29


def test_packed_entries_are_refused(tmp_path):
  for part in ("data.pkl", "data/0", "byteorder"):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as file:
      for name, content in {
        "data.pkl": b"\x80\x02" + _ITEM + _described(25, (5, 5), (5, 1)) + b"u.",
        "data/0": bytes(100),
        "byteorder": b"little",
      }.items():
        packing = zipfile.ZIP_DEFLATED if name == part else zipfile.ZIP_STORED
        file.writestr(f"weights/{name}", content, packing)
    with pytest.raises(
      ValueError, match=f"expected storages that are not packed, got weights/{part}"
    ):
      _read(tmp_path / "x.pth")


def test_entries_that_lie_over_each_other_are_no_more_than_the_file(tmp_path):
  """Each of 100 storages of 0.1 MB is the same place in the file."""
  arrays = {str(i): np.zeros(25_000, np.float32) for i in range(100)}
  items = b"".join(
    b"X" + struct.pack("<I", len(name)) + name.encode() + torch_files.tensor(name, array)
    for name, array in arrays.items()
  )
  path = tmp_path / "x.pth"
  with zipfile.ZipFile(path, "w") as file:
    program = b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."
    file.writestr("weights/data.pkl", program)
    file.writestr("weights/data/0", bytes(100_000))
    first = file.infolist()[-1]
    for name in list(arrays)[1:]:
      other = zipfile.ZipInfo(f"weights/data/{name}")
      for field in ("header_offset", "CRC", "compress_size", "file_size"):
        setattr(other, field, getattr(first, field))
      file.filelist.append(other)
      file.NameToInfo[other.filename] = other
  with pytest.raises(ValueError, match="path: expected a torch file"):
    _read(path)


def test_arrays_that_share_their_values_are_bounded_together(tmp_path, monkeypatch):
  """Each by itself is as large as the file."""
  values = np.arange(250_000, dtype=np.float32)
  tensor = torch_files.tensor("0", values)

  def write(count):
    names = (f"{number:03d}".encode() for number in range(count))
    items = b"".join(b"X\x03\x00\x00\x00" + name + tensor for name in names)
    program = b"ccollections\nOrderedDict\n)R(" + items + b"u"
    torch_files.write_archive(tmp_path / "x.pth", program, {"0": values.tobytes()})

  write(60)
  assert len(_read(tmp_path / "x.pth")) == 60
  write(80)
  with pytest.raises(ValueError, match=r"expected arrays of its .* bytes, got some of 80,000,000"):
    _read(tmp_path / "x.pth")


def _stream(tensor, values, size=None, keys=b"](X\x01\x00\x00\x000e"):
  """The older layout."""
  programs = [b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", b"M\xe9\x03", b"}", _ITEM + tensor + b"u", keys]
  start = b"".join(b"\x80\x02" + program + b"." for program in programs)
  return start + struct.pack("<q", len(values) // 4 if size is None else size) + values


def test_the_older_layout_is_bounded_as_well(tmp_path):
  path, values = tmp_path / "x.pth", np.arange(25, dtype=np.float32)
  tensor = torch_files.tensor("0", values.reshape(5, 5))
  path.write_bytes(_stream(tensor, values.tobytes()))
  _assert_arrays(_read(path), {"a": values.reshape(5, 5)})
  for damaged in (
    _stream(tensor, values.tobytes(), 24),
    _stream(tensor, values.tobytes(), 2**62),
    _stream(tensor, values.tobytes(), -1),
    _stream(tensor, values.tobytes()[:-1], 25),
    _stream(tensor, b"")[:-8],
    _stream(tensor, values.tobytes(), keys=b"]"),
    _stream(tensor, values.tobytes(), keys=b"}"),
    _stream(tensor, values.tobytes(), keys=b"](X\x01\x00\x00\x001e"),
    _stream(tensor, values.tobytes(), keys=b"]()e"),
    _stream(_described(2**40, (1,), (1,)), values.tobytes(), 2**40),
    _stream(_described(25, (2**40,), (0,)), values.tobytes()),
    *(_stream(_HOSTILE[name], values.tobytes()) for name in _HOSTILE if "long" in name),
    b"\x80\x02" + b"}" * 300_000 + b".",
  ):
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="path: expected a torch file of named tensors, got"):
      _read(path)


def test_every_cut_and_many_changes_are_one_error(tmp_path):
  torch_files.write(tmp_path / "x.pth", _ARRAYS)
  archive = (tmp_path / "x.pth").read_bytes()
  stream = _stream(torch_files.tensor("0", _ARRAYS["a"]), _ARRAYS["a"].tobytes())
  random = np.random.default_rng(0)
  for content in (archive, stream):
    for _ in range(400):
      damaged = bytearray(content)
      for place in random.integers(0, len(content), random.integers(1, 4)):
        damaged[place] = random.integers(256)
      if random.random() < 0.3:
        damaged = damaged[: random.integers(len(content))]
      (tmp_path / "x.pth").write_bytes(damaged)
      try:
        found = _read(tmp_path / "x.pth")
      except ValueError as error:
        assert "\n" not in str(error)
      else:
        assert all(isinstance(array, np.ndarray) for array in found.values())


@pytest.mark.parametrize("name", ["nowhere.pth", "", "a\0b"])
def test_what_is_no_file_is_told_apart(tmp_path, name):
  with pytest.raises((OSError, ValueError)):
    _read(tmp_path / name)
