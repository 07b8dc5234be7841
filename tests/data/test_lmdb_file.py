"""LMDB files: what LMDB wrote comes back in its order; no damage makes more than one error."""

import io
import struct

import numpy as np
import pytest

from nsn_jax.data import lmdb_file

lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb")


def _written(folder, values):
  """The file that LMDB makes of these, in several transactions."""
  items = list(values.items())
  with lmdb.open(str(folder), map_size=2**27) as database:
    for start in range(0, len(items), 500):
      with database.begin(write=True) as writing:
        for key, value in items[start : start + 500]:
          writing.put(key, value)
  return (folder / "data.mdb").read_bytes()


def _values(content, limit=None):
  file = io.BytesIO(content)
  return [lmdb_file.read(file, place) for place in lmdb_file.locate(file, limit)]


def _random(count, largest, seed=0):
  random = np.random.default_rng(seed)
  return {
    random.bytes(int(random.integers(1, 100))) + b"%d" % i: random.bytes(
      int(random.integers(0, largest))
    )
    for i in range(count)
  }


@pytest.mark.parametrize(
  ("count", "largest"),
  [(0, 1), (1, 1), (1, 100_000), (3, 9), (500, 30), (3000, 200), (800, 20_000)],
)
def test_what_lmdb_wrote_is_read_in_its_order(tmp_path, count, largest):
  values = _random(count, largest)
  content = _written(tmp_path, values)
  expected = [values[key] for key in sorted(values)]
  assert _values(content) == expected
  for limit in (1, 2, count // 2 + 1, count + 5):
    assert _values(content, limit) == expected[:limit]


def test_values_that_were_changed_and_removed(tmp_path):
  values = _random(2000, 6000)
  _written(tmp_path, values)
  changed = {key: value[::-1] + b"!" * 50 for key, value in list(values.items())[::3]}
  content = _written(tmp_path, changed)
  assert len(_values(content)) == len(values)
  with lmdb.open(str(tmp_path), map_size=2**27) as database, database.begin(write=True) as writing:
    for key in list(values)[::2]:
      writing.delete(key)
  values |= changed
  left = sorted(set(values) - set(list(values)[::2]))
  assert _values((tmp_path / "data.mdb").read_bytes()) == [values[key] for key in left]


def test_databases_of_other_kinds_are_refused(tmp_path):
  with lmdb.open(str(tmp_path), map_size=2**22, max_dbs=2) as database:
    inner = database.open_db(b"inner", dupsort=True)
    with database.begin(write=True) as writing:
      for value in (b"1", b"2"):
        writing.put(b"key", value, db=inner)
  with pytest.raises(ValueError, match="damaged"):
    _values((tmp_path / "data.mdb").read_bytes())


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
  values = _random(60, 9000)
  return values, _written(tmp_path_factory.mktemp("lmdb"), values)


def test_every_cut_is_seen(sound):
  values, content = sound
  for size in range(0, len(content) - 1, 1999):
    try:
      found = _values(content[:size])
    except ValueError as error:
      assert "\n" not in str(error)
    else:  # Free pages at the end may be missed.
      assert found == [values[key] for key in sorted(values)]


def test_damage_is_one_error_and_ends(sound):
  _, content = sound
  outcomes = []
  for seed in range(600):
    random = np.random.default_rng(seed)
    damaged = bytearray(content)
    for _ in range(int(random.integers(1, 6))):
      # Where a page begins: what its values hold, no reader can check.
      place = int(random.integers(len(content) // 4096)) * 4096 + int(random.integers(80))
      damaged[place] = random.choice([0, 1, 0xFF, int(random.integers(256))])
    try:
      found = _values(bytes(damaged))
      # No page is read twice, so that there cannot be more than the file has.
      assert sum(map(len, found)) <= len(content)
      outcomes.append("read")
    except ValueError as error:
      assert "\n" not in str(error)
      outcomes.append("refused")
  assert min(outcomes.count("read"), outcomes.count("refused")) > 50


def _root(content):
  """Where the root's page begins, of the newer of the two pages of meta-data."""
  newest = max(
    (content[start : start + 152] for start in (0, 4096)), key=lambda m: struct.unpack("<Q", m[-8:])
  )
  return struct.unpack_from("<Q", newest, 128)[0] * 4096


def test_a_page_below_itself_is_refused(sound):
  damaged = bytearray(sound[1])
  root = _root(sound[1])
  assert struct.unpack_from("<H", damaged, root + 10)[0] == 1  # A branch.
  (node,) = struct.unpack_from("<H", damaged, root + 16)
  struct.pack_into("<HHH", damaged, root + node, root // 4096, 0, 0)
  with pytest.raises(ValueError, match="stands in two places"):
    _values(bytes(damaged))


def test_a_claim_of_many_values_takes_nothing(sound):
  damaged = bytearray(sound[1])
  for start in (0, 4096):
    struct.pack_into("<Q", damaged, start + 120, 2**60)
  with pytest.raises(ValueError, match=f"says {2**60} values and has 60"):
    _values(bytes(damaged))
