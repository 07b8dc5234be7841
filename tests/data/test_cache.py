"""The cache of decoded images: what it saves, what changes its key, and a cache that fails."""

import json
import os

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import cache, decoding
from tests.data.helpers import described, flat, save, write_zip


@pytest.fixture
def decoded(monkeypatch):
  """Titles of the images that are decoded, as they are decoded."""
  titles = []
  decode = decoding.decode

  def counting(source, mode, size, title):
    titles.append(title)
    return decode(source, mode, size, title)

  monkeypatch.setattr(decoding, "decode", counting)
  return titles


@pytest.fixture
def source(tmp_path):
  """A labelled folder of three images."""
  for value in range(3):
    save(tmp_path / "source" / "class" / f"{value}.png", flat(value))
  return tmp_path / "source"


def test_second_load_decodes_nothing(source, decoded, cache_dir):
  first = data.load(f"folder:{source}")
  assert len(decoded) == 3 and len(list(cache_dir.iterdir())) == 1
  second = data.load(f"folder:{source}")
  assert len(decoded) == 3
  np.testing.assert_array_equal(first.images, second.images)
  np.testing.assert_array_equal(first.labels, second.labels)
  assert second.images.dtype == np.uint8 and second.labels.dtype == np.int32


def test_whatever_changes_the_content_changes_the_key(source, decoded, cache_dir):
  def keys_after_load(**options):
    data.load(f"folder:{source}", **options)
    return len(list(cache_dir.iterdir()))

  assert keys_after_load() == 1
  assert keys_after_load(image_size=32) == 2
  assert keys_after_load(limit=2) == 3
  save(source / "class" / "1.png", flat(99, 9, 9))
  assert keys_after_load() == 4
  assert data.load(f"folder:{source}").images[1, 0, 0, 0] == 99
  stat = (source / "class" / "1.png").stat()
  os.utime(source / "class" / "1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
  assert keys_after_load() == 5
  (source / "class" / "2.png").rename(source / "class" / "3.png")
  assert keys_after_load() == 6
  (source / "a").mkdir()  # An empty class before the other: the label becomes 1.
  assert keys_after_load() == 7
  assert data.load(f"folder:{source}").labels.tolist() == [1, 1, 1]


def test_cache_dir_argument_goes_before_the_environment(source, cache_dir, tmp_path):
  data.load(f"folder:{source}", cache_dir=tmp_path / "mine")
  assert len(list((tmp_path / "mine").glob("folder-*.npz"))) == 1 and not cache_dir.exists()


def test_cache_that_cannot_be_written_is_a_warning(source, decoded, tmp_path, warnings):
  (tmp_path / "file").write_text("in the way")
  for count in (3, 6):
    assert len(data.load(f"folder:{source}", cache_dir=tmp_path / "file").images) == 3
    assert len(decoded) == count
  assert any("cannot be kept" in message for message in warnings)


def test_damaged_cache_is_made_anew(source, decoded, cache_dir, warnings):
  first = data.load(f"folder:{source}")
  (path,) = cache_dir.iterdir()
  whole = path.read_bytes()
  for damaged in (b"", b"hello", whole[: len(whole) // 2]):
    path.write_bytes(damaged)
    np.testing.assert_array_equal(data.load(f"folder:{source}").images, first.images)
    assert path.stat().st_size == len(whole)
  assert len(decoded) == 12 and len(warnings) == 3


def test_interrupted_write_leaves_nothing(source, cache_dir, monkeypatch):
  def interrupted(file, **arrays):
    file.write(b"half")
    raise KeyboardInterrupt

  monkeypatch.setattr(cache.np, "savez", interrupted)
  with pytest.raises(KeyboardInterrupt):
    data.load(f"folder:{source}")
  assert not list(cache_dir.iterdir())


# what is read back is what was asked for


@pytest.fixture
def kept(source, cache_dir):
  """The data set, and its file in the cache."""
  first = data.load(f"folder:{source}", image_size=8)
  (path,) = cache_dir.iterdir()
  return first, path


def _is_made_anew(source, kept, warnings):
  first, _ = kept
  found = data.load(f"folder:{source}", image_size=8)
  np.testing.assert_array_equal(found.images, first.images, strict=True)
  np.testing.assert_array_equal(found.labels, first.labels, strict=True)
  assert len(warnings) == 1 and "is made anew" in warnings[0] and "\n" not in warnings[0]
  data.load(f"folder:{source}", image_size=8)
  assert len(warnings) == 1  # The new one is sound.


def _arrays(path):
  with np.load(path) as file:
    return dict(file)


_LABELS = np.zeros(3, np.int32)


@pytest.mark.parametrize(
  "changed",
  [
    {"images": np.zeros((2, 8, 8, 3), np.uint8)},
    {"images": np.zeros((3, 8, 8, 3), np.uint8)},
    {"images": np.zeros((3, 9, 9, 3), np.uint8)},
    {"images": np.zeros((3, 8, 8, 3), np.float32)},
    {"images": np.zeros((3, 8, 8), np.uint8)},
    {"images": np.uint8(3)},
    {"images": np.array(["a"])},
    {"images": np.array([{}])},
    {"labels": _LABELS + 1},
    {"labels": _LABELS[:2]},
    {"labels": _LABELS.astype(np.int64)},
    {"labels": _LABELS.astype(np.float32)},
    {"labels": None},
    {"more": _LABELS},
    {"about": None},
    {"about": np.zeros(5, np.uint8)},
    {"about": np.frombuffer(b"[]", np.uint8)},
    {"about": np.frombuffer(b'{"key": 3}', np.uint8)},
    {"about": np.frombuffer(b"[" * 100_000, np.uint8)},
    {"about": np.float32(3)},
  ],
)
def test_other_content_is_never_taken(source, kept, warnings, changed):
  arrays = _arrays(kept[1]) | changed
  np.savez(kept[1], **{name: array for name, array in arrays.items() if array is not None})
  _is_made_anew(source, kept, warnings)


@pytest.mark.parametrize(
  ("field", "value"),
  [("key", "0" * 64), ("digest", "0" * 64), ("remarks", ["all is well"]), ("remarks", 3)],
)
def test_what_stands_beside_the_arrays_is_checked(source, kept, warnings, field, value):
  arrays = _arrays(kept[1])
  about = json.loads(arrays["about"].tobytes()) | {field: value}
  arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
  np.savez(kept[1], **arrays)
  _is_made_anew(source, kept, warnings)


@pytest.mark.parametrize("options", [{"image_size": 16}, {"image_size": 8, "limit": 2}])
def test_the_file_of_another_request_is_not_taken(source, kept, cache_dir, warnings, options):
  """Not even where it is whole, and somebody has given it the name of this one."""
  expected = data.load(f"folder:{source}", **options)
  (other,) = set(cache_dir.iterdir()) - {kept[1]}
  other.write_bytes(kept[1].read_bytes())
  found = data.load(f"folder:{source}", **options)
  np.testing.assert_array_equal(found.images, expected.images)
  assert len(warnings) == 1


def test_every_damage_of_a_byte_is_seen(source, kept, decoded, warnings):
  whole = kept[1].read_bytes()
  random = np.random.default_rng(0)
  for place in random.integers(0, len(whole), 60):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << int(random.integers(8))
    kept[1].write_bytes(damaged)
    found = data.load(f"folder:{source}", image_size=8)
    np.testing.assert_array_equal(found.images, kept[0].images)
    np.testing.assert_array_equal(found.labels, kept[0].labels)
  assert len(decoded) == 3 * len(warnings) and len(warnings) > 40


@pytest.mark.parametrize("dtype", ["|u1", "<f4"])
def test_a_claim_of_much_memory_is_only_a_warning(source, kept, warnings, dtype):
  write_zip(kept[1], {"images.npy": described(dtype, (10**15, 8, 8, 3), b"")})
  _is_made_anew(source, kept, warnings)


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), NotImplementedError("x\ny")])
def test_whatever_is_raised_is_only_a_warning(source, kept, warnings, monkeypatch, error):
  opened = cache.archive.opened

  def failing(path):
    if not warnings:
      raise error
    return opened(path)

  monkeypatch.setattr(cache.archive, "opened", failing)
  _is_made_anew(source, kept, warnings)


def test_what_is_no_file_is_not_waited_for(source, kept, decoded, warnings):
  first, path = kept
  path.unlink()
  os.mkfifo(path)  # Opening it would wait for a writer.
  np.testing.assert_array_equal(data.load(f"folder:{source}", image_size=8).images, first.images)
  path.unlink()
  path.mkdir()
  np.testing.assert_array_equal(data.load(f"folder:{source}", image_size=8).images, first.images)
  assert len(warnings) == 1 and "cannot be kept" in warnings[0]


@pytest.mark.parametrize("place", ["a\0b", "x" * 300, "~nobody-of-this-name/cache"])
def test_a_cache_folder_of_no_possible_name_is_a_warning(source, decoded, warnings, place):
  assert len(data.load(f"folder:{source}", cache_dir=place).images) == 3
  assert warnings and all(line.startswith("cache_dir: ") for line in warnings)
