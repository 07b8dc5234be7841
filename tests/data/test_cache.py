"""The cache of decoded images: what it saves, what changes its key, and a cache that fails."""

import os

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import cache, decoding
from tests.data.helpers import flat, save


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
