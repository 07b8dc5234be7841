"""`.npz` archives of any content: each kind of damage is one line, and none fills the memory."""

import re
import struct
import zipfile

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import archive
from tests.data.helpers import described, npy, write_zip
from tests.fuzz import limits

_GOOD = described("|u1", (5, 4, 4, 1))
_FLOATS = described("<f4", (5, 4, 4, 1))


def _refused(path, what=None):
  """The one line that says why `load` takes no such file."""
  with pytest.raises(data.DataError, match=what) as error:
    data.load(f"npz:{path}")
  assert "\n" not in str(error.value) and str(path) in str(error.value)
  return str(error.value)


@pytest.mark.parametrize("content", [_GOOD, _FLOATS], ids=["uint8", "float32"])
def test_a_sound_one_of_the_kind_is_read(tmp_path, content):
  for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    write_zip(tmp_path / "x.npz", {"images.npy": content}, method)
    assert data.load(f"npz:{tmp_path / 'x.npz'}").images.shape == (5, 4, 4, 1)


@pytest.mark.parametrize("content", [_GOOD, _FLOATS], ids=["uint8", "float32"])
@pytest.mark.parametrize(
  ("central", "local", "value"),
  [
    (8, 6, b"\x01"),  # encrypted
    (10, 8, b"\x01"),  # a method that zipfile does not know
    (10, 8, b"\x0c"),  # bzip2, which has no bound on what it unpacks to
    (24, 22, struct.pack("<I", 2**31)),  # unpacked size
    (20, 18, struct.pack("<I", 3)),  # packed size
    (16, 14, b"\x00\x00\x00\x01"),  # checksum
    (42, None, struct.pack("<I", 2**31)),  # place in the file
  ],
)
def test_each_field_of_an_entry_may_be_wrong(tmp_path, content, central, local, value):
  path = tmp_path / "x.npz"
  write_zip(path, {"images.npy": content})
  damaged = bytearray(path.read_bytes())
  start = damaged.find(b"PK\x01\x02")
  damaged[start + central : start + central + len(value)] = value
  if local is not None:
    damaged[local : local + len(value)] = value
  path.write_bytes(damaged)
  _refused(path)


_SHAPE = "{{'descr': '|u1', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
  "content",
  [
    npy("(" * 5000),
    npy("[" * 9000, version=2),
    npy("{'descr': " + "-" * 9000 + "1"),
    npy("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 4, 4, 1}", bytes(80)),
    npy("{'descr': '|u1', 'fortran_order': False, 'shape': (5, 4, 4, 1", bytes(80)),
    npy("{'descr': '|u1', 'shape': (5, 4, 4, 1)}", bytes(80)),
    npy("'" + "\0" * 30),
    npy("", bytes(80)),
    npy(_SHAPE.format("(10**15, 4, 4, 1)")),
    npy(_SHAPE.format("(-5, -4, 4, 1)"), bytes(80)),
    npy(_SHAPE.format("(5, 4, 4, 1)"), bytes(80), version=3),
    npy(_SHAPE.format("(5, 4, 4, 1)"), bytes(80), version=9),
    npy("{'descr': '|u9', 'fortran_order': False, 'shape': (5, 4, 4, 1), }", bytes(80)),
    npy("{'descr': '|V0', 'fortran_order': False, 'shape': (5, 4, 4, 1), }"),
    npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (5, 4, 4, 1), }", bytes(640)),
    b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
    b"\x93NUMPY",
    b"no numbers",
    b"",
  ],
)
def test_what_stands_before_the_values_may_be_anything(tmp_path, content):
  write_zip(tmp_path / "x.npz", {"images.npy": content})
  _refused(tmp_path / "x.npz", "expected plain numbers in 'images'")


@pytest.mark.parametrize("dtype", ["|u1", "<f4"])
@pytest.mark.parametrize("shape", [(10**15, 4, 4, 1), (6, 4, 4, 1), (4, 4, 4, 1), (2**63, 2, 2, 1)])
def test_shape_and_size_must_agree(tmp_path, dtype, shape):
  values = bytes(80 * np.dtype(dtype).itemsize)
  write_zip(tmp_path / "x.npz", {"images.npy": described(dtype, shape, values)})
  _refused(tmp_path / "x.npz", r"expected plain numbers in 'images': .* so it is damaged")


@pytest.mark.parametrize("member", ["images.npy", "labels.npy"])
def test_pickled_objects_are_never_read(tmp_path, member):
  members = {"images.npy": _GOOD, "labels.npy": described("<i4", (5,))}
  members[member] = described("|O", (5, 4, 4, 1), b"\x80\x04N." * 100)
  write_zip(tmp_path / "x.npz", members)
  _refused(tmp_path / "x.npz", r"got (pickled objects|object)")


def test_what_is_packed_to_nothing_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
  path = tmp_path / "x.npz"
  images = np.zeros((10, 100, 100, 1), np.uint8)
  np.savez_compressed(path, images=images)
  monkeypatch.setattr(archive, "_FREE_BYTES", images.nbytes - 1)
  monkeypatch.setattr(
    archive.np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was unpacked")
  )
  line = _refused(path, r"at most 100 times their packed size, got \d+ bytes")
  # An entry may say that it is packed less than it is, but the file is not larger for it.
  damaged = bytearray(path.read_bytes())
  start = damaged.find(b"PK\x01\x02")
  damaged[start + 20 : start + 24] = struct.pack("<I", 2**30)
  path.write_bytes(damaged)
  assert _refused(path, "at most 100 times").split("got ")[0] == line.split("got ")[0]


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_a_bomb_takes_no_memory(tmp_path, run_python):
  """5 MB that are to become 1 GB."""
  script = f"""
import zipfile
from nsn_jax import data
from tests.data.helpers import npy
from tests.fuzz import limits
header = npy("{{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 1000, 1000), }}")
with zipfile.ZipFile({str(tmp_path / "x.npz")!r}, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as f:
  with f.open("images.npy", "w", force_zip64=True) as entry:
    entry.write(header)
    for _ in range(100):
      entry.write(bytes(10_000_000))
before = limits.peak()
try:
  data.load({f"npz:{tmp_path / 'x.npz'}"!r})
except data.DataError as error:
  print(limits.peak() - before, error)
"""
  grown, _, line = run_python(script).partition(" ")
  assert int(grown) < 2**26 and "times their packed size" in line


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_one_array_twice_is_no_archive_of_arrays(tmp_path, dtype):
  path = tmp_path / "x.npz"
  np.savez(path, images=np.zeros((2, 3, 3), dtype))
  with zipfile.ZipFile(path, "a") as file, file.open("images", "w") as entry:
    entry.write(b"another")
  _refused(path, "expected each array once")


def test_a_long_list_of_names_is_cut(tmp_path):
  write_zip(tmp_path / "x.npz", {f"{i}\n{'x' * 200}": _GOOD for i in range(30)})
  line = _refused(tmp_path / "x.npz", "and 20 more")
  assert len(line) < 1500


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
  np.savez(tmp_path / "x.npz", images=np.zeros((2, 3, 3), np.uint8))

  def refusing(*_, **__):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(archive.zipfile, "ZipFile", refusing)
  assert re.search("Permission denied", _refused(tmp_path / "x.npz"))
