"""The cache of decoded images: what it saves, what changes its key, and a cache that fails."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from nsn_jax import checks, data
from nsn_jax.data import decoding, mapped
from tests.data.helpers import described, flat, save

#: The files of a labelled set.
NAMES = ("about.json", "images.npy", "labels.npy")


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
  assert len(list((tmp_path / "mine").glob("folder-*"))) == 1 and not cache_dir.exists()


def test_cache_that_cannot_be_written_is_a_warning(source, decoded, tmp_path, warnings):
  (tmp_path / "file").write_text("in the way")
  for count in (3, 6):
    assert len(data.load(f"folder:{source}", cache_dir=tmp_path / "file").images) == 3
    assert len(decoded) == count
  assert any("cannot be kept" in message for message in warnings)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_cache_is_made_anew(source, decoded, cache_dir, warnings, name):
  images = np.array(data.load(f"folder:{source}").images)
  (folder,) = cache_dir.iterdir()
  assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
  whole = (folder / name).read_bytes()
  for damaged in (b"", b"hello", whole[: len(whole) // 2], whole[:-2], whole + b" x"):
    (folder / name).write_bytes(damaged)
    np.testing.assert_array_equal(data.load(f"folder:{source}").images, images)
    assert (folder / name).read_bytes() == whole
  assert len(decoded) == 18 and len(warnings) == 5


def test_images_that_are_mapped_are_read_only_and_outlive_their_file(source, cache_dir):
  for _ in range(2):  # As they are put there, and as they are found there.
    images = data.load(f"folder:{source}").images
    assert isinstance(images, np.memmap) and not images.flags.writeable
    with pytest.raises(ValueError):
      images[0] = 0
    kept = np.array(images)
  shutil.rmtree(cache_dir)
  np.testing.assert_array_equal(images, kept)


def test_mapped_images_are_what_the_library_takes(source):
  images = data.load(f"folder:{source}").images
  whole = np.array(images)
  assert len(images) == 3 and checks.images("images", images) is images
  np.testing.assert_array_equal(images[1:3], whole[1:3])
  for part in (images[[2, 0]], images[np.array([True, False, True])]):
    assert not np.shares_memory(part, images) and part.flags.writeable  # A copy, of these alone.
  found = jax.jit(lambda batch: batch.astype(np.int32).sum())(images[1:])
  assert found == whole[1:].astype(int).sum()
  np.testing.assert_array_equal(jax.numpy.asarray(images), whole)


def test_people_can_load_it_with_numpy_alone(source, cache_dir):
  first = data.load(f"folder:{source}")
  (folder,) = cache_dir.iterdir()
  np.testing.assert_array_equal(np.load(folder / "images.npy"), first.images, strict=True)
  np.testing.assert_array_equal(np.load(folder / "labels.npy"), first.labels, strict=True)


def test_a_set_of_before_is_not_looked_for(source, cache_dir, decoded, warnings):
  data.load(f"folder:{source}")
  (folder,) = cache_dir.iterdir()
  shutil.rmtree(folder)
  folder.with_name(f"{folder.name}.npz").write_bytes(b"of the former layout")
  data.load(f"folder:{source}")
  assert len(decoded) == 6 and not warnings


# what is read back is what was asked for


@pytest.fixture
def kept(source, cache_dir):
  """The data set, and its folder in the cache."""
  first = data.load(f"folder:{source}", image_size=8)
  (path,) = cache_dir.iterdir()
  # A copy: the tests cut off what is mapped.
  return first._replace(images=np.array(first.images)), path


def _is_made_anew(source, kept, warnings):
  first, _ = kept
  found = data.load(f"folder:{source}", image_size=8)
  np.testing.assert_array_equal(found.images, first.images, strict=True)
  np.testing.assert_array_equal(found.labels, first.labels, strict=True)
  assert len(warnings) == 1 and "is made anew" in warnings[0] and "\n" not in warnings[0]
  data.load(f"folder:{source}", image_size=8)
  assert len(warnings) == 1  # The new one is sound.


def _change(folder, changed):
  """Replaces arrays, None by no file; and the text beside them."""
  for name, value in changed.items():
    if value is None:
      (folder / name).unlink()
    elif isinstance(value, str):
      (folder / name).write_text(value)
    else:
      np.save(folder / name, value, allow_pickle=True)


_LABELS = np.zeros(3, np.int32)


@pytest.mark.parametrize(
  "changed",
  [
    {"images.npy": np.zeros((2, 8, 8, 3), np.uint8)},
    {"images.npy": np.zeros((3, 8, 8, 3), np.uint8)},
    {"images.npy": np.zeros((3, 8, 8, 3), np.int8)},
    {"images.npy": np.zeros((3, 9, 9, 3), np.uint8)},
    {"images.npy": np.zeros((3, 8, 8, 3), np.float32)},
    {"images.npy": np.zeros((3, 8, 8), np.uint8)},
    {"images.npy": np.zeros((3, 8, 3, 8), np.uint8)},
    {"images.npy": np.uint8(3)},
    {"images.npy": np.array(["a"])},
    {"images.npy": np.array([{}])},
    {"images.npy": None},
    {"labels.npy": _LABELS + 1},
    {"labels.npy": _LABELS[:2]},
    {"labels.npy": _LABELS.astype(np.int64)},
    {"labels.npy": _LABELS.astype(np.float32)},
    {"labels.npy": None},
    {"about.json": "00000"},
    {"about.json": "[]"},
    {"about.json": '{"key": 3}'},
    {"about.json": "[" * 100_000},
    {"about.json": "3.5"},
    {"about.json": "\x93NUMPY"},
  ],
)
def test_other_content_is_never_taken(source, kept, warnings, changed):
  _change(kept[1], changed)
  _is_made_anew(source, kept, warnings)


def test_without_what_is_known_of_them_arrays_are_none(source, kept, decoded, warnings):
  (kept[1] / "about.json").unlink()
  data.load(f"folder:{source}", image_size=8)
  assert len(decoded) == 3 and not warnings
  assert sorted(path.name for path in kept[1].iterdir()) == sorted(NAMES)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    *[("key", "0" * 64), ("digest", "0" * 64), ("remarks", ["all is well"]), ("remarks", 3)],
    *[("has_labels", False), ("has_labels", 1), ("shape", [2, 8, 8, 3]), ("shape", [3, 4, 16, 3])],
    *[("shape", [3, 8, 8]), ("shape", [-3, -8, 8, 3]), ("shape", [10**15, 8, 8, 3])],
    *[("shape", [3.0, 8, 8, 3]), ("shape", [0, 8, 8, 3]), ("shape", "3883"), ("shape", None)],
  ],
)
def test_what_stands_beside_the_arrays_is_checked(source, kept, warnings, field, value):
  path = kept[1] / "about.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
  _is_made_anew(source, kept, warnings)


@pytest.mark.parametrize("options", [{"image_size": 16}, {"image_size": 8, "limit": 2}])
def test_the_file_of_another_request_is_not_taken(source, kept, cache_dir, warnings, options):
  """Not even where it is whole, and somebody has given it the name of this one."""
  expected = data.load(f"folder:{source}", **options)
  (other,) = set(cache_dir.iterdir()) - {kept[1]}
  shutil.rmtree(other)
  shutil.copytree(kept[1], other)
  found = data.load(f"folder:{source}", **options)
  np.testing.assert_array_equal(found.images, expected.images)
  assert len(warnings) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_damage_of_a_byte_is_seen(source, kept, decoded, warnings, name):
  path = kept[1] / name
  whole = path.read_bytes()
  random = np.random.default_rng(0)
  for place in random.integers(0, len(whole), 60):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << int(random.integers(8))
    path.write_bytes(damaged)
    found = data.load(f"folder:{source}", image_size=8)
    np.testing.assert_array_equal(found.images, kept[0].images)
    np.testing.assert_array_equal(found.labels, kept[0].labels)
    path.write_bytes(whole)  # A blank of the JSON may be another one and tell the same.
  assert len(decoded) == 3 * len(warnings)
  assert len(warnings) == 60 if name != "about.json" else len(warnings) > 40


@pytest.mark.parametrize("dtype", ["|u1", "<f4"])
def test_a_claim_of_much_memory_is_only_a_warning(source, kept, warnings, dtype):
  (kept[1] / "images.npy").write_bytes(described(dtype, (10**15, 8, 8, 3), b""))
  _is_made_anew(source, kept, warnings)


def test_a_file_that_was_cut_off_is_told_by_its_size(source, kept, warnings):
  path = kept[1] / "images.npy"
  os.truncate(path, path.stat().st_size - 100)
  _is_made_anew(source, kept, warnings)
  assert "expected 704 bytes in images.npy, got 604" in warnings[0]


@pytest.mark.parametrize("error", [MemoryError(), RecursionError(), NotImplementedError("x\ny")])
def test_whatever_is_raised_is_only_a_warning(source, kept, warnings, monkeypatch, error):
  opened = mapped.opened

  def failing(*given):
    if not warnings:
      raise error
    return opened(*given)

  monkeypatch.setattr(mapped, "opened", failing)
  _is_made_anew(source, kept, warnings)


@pytest.mark.parametrize("name", [*NAMES, ""])
@pytest.mark.parametrize("is_pipe", [True, False])
def test_what_is_no_file_is_not_waited_for(source, kept, warnings, name, is_pipe):
  first, folder = kept
  path = folder / name
  shutil.rmtree(path) if path.is_dir() else path.unlink()
  # Opening it would wait for a writer.
  os.mkfifo(path) if is_pipe else path.mkdir()
  for _ in range(2):
    found = data.load(f"folder:{source}", image_size=8)
    np.testing.assert_array_equal(found.images, first.images)
  assert len(warnings) == (name in ("images.npy", "labels.npy"))


def test_a_link_in_its_place_is_replaced_and_not_followed(source, kept, tmp_path, warnings):
  first, folder = kept
  shutil.rmtree(folder)
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "precious").write_text("x")
  folder.symlink_to(tmp_path / "mine")
  found = data.load(f"folder:{source}", image_size=8)
  np.testing.assert_array_equal(found.images, first.images)
  assert (tmp_path / "mine" / "precious").exists() and not folder.is_symlink()


@pytest.mark.parametrize("place", ["a\0b", "x" * 300, "~nobody-of-this-name/cache"])
def test_a_cache_folder_of_no_possible_name_is_a_warning(source, decoded, warnings, place):
  assert len(data.load(f"folder:{source}", cache_dir=place).images) == 3
  assert warnings and all(line.startswith("cache_dir: ") for line in warnings)
