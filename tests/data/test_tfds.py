"""`nsn_jax.data`: each source against hand-made files, the cache, and every error's message."""

import importlib.util
import io
import os
import pathlib
import re
import socket
import sys

import numpy as np
import pytest
from PIL import Image

from nsn_jax import data
from nsn_jax.data import cache, folder, loading, lsun, pixels, tfds_source

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TFDS_DIR = pathlib.Path(os.environ.get("NSN_JAX_DATA_DIR") or _ROOT.parent / "shared" / "tfds")


@pytest.fixture(autouse=True)
def cache_dir(tmp_path, monkeypatch):
  path = tmp_path / "cache"
  monkeypatch.setenv("NSN_JAX_CACHE", str(path))
  return path


@pytest.fixture
def decoded(monkeypatch):
  """Titles of the images that are decoded, as they are decoded."""
  titles = []
  decode = pixels.decode

  def counting(source, mode, size, title):
    titles.append(title)
    return decode(source, mode, size, title)

  monkeypatch.setattr(pixels, "decode", counting)
  return titles


def _save(path, image):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(image, np.uint8)).save(path)


def _flat(value, height=8, width=8):
  """A uniform RGB image, which stays what it is under any crop and resize."""
  return np.full((height, width, 3), value, np.uint8)


# digits


def test_digits_have_mnists_layout():
  images, labels = data.load("digits")
  assert images.shape[1:] == (28, 28, 1) and images.dtype == np.uint8
  assert images.min() == 0 and images.max() == 255
  assert labels.shape == (len(images),) and labels.dtype == np.int32
  assert set(labels) == set(range(10))
  frame = np.ones((28, 28), bool)
  frame[4:24, 4:24] = False
  assert not images[:, frame].any()
  # Inked to the rim of the box, which fixes its 20 pixels.
  assert images[:, [4, 23]].any(axis=(0, 2, 3)).all()
  assert images[:, :, [4, 23]].any(axis=(0, 1, 3)).all()


def test_digits_split_is_a_stratified_fifth():
  train, test = data.load("digits"), data.load("digits", split="test")
  assert len(train.images) + len(test.images) == 1797
  share = np.bincount(test.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
  np.testing.assert_allclose(share, 0.2, atol=0.5 / 174)  # Rounded; the rarest label has 174.
  # No image of one is in the other; the set itself has no equal images at 28x28.
  rows = np.concatenate([train.images, test.images]).reshape(1797, -1)
  assert len(np.unique(rows, axis=0)) == 1797


def test_digits_are_the_same_each_time():
  first, second = data.load("digits", split="test"), data.load("digits", split="test")
  np.testing.assert_array_equal(first.images, second.images)
  # Golden: computed once here, so that the split can never move unnoticed.
  assert first.labels[:12].tolist() == [3, 7, 3, 9, 0, 8, 7, 0, 8, 0, 3, 3]


def test_digits_image_size_and_limit():
  whole = data.load("digits")
  part = data.load("digits", image_size=14, limit=5)
  assert part.images.shape == (5, 14, 14, 1)
  np.testing.assert_array_equal(part.labels, whole.labels[:5])
  np.testing.assert_array_equal(data.load("digits", limit=10**6).images, whole.images)


# folder


def test_folder_crops_the_centre_square(tmp_path):
  wide = _flat(0, 6, 12)
  wide[:, :3], wide[:, 9:] = 255, 255  # White sides, which the crop takes away.
  wide[:3, 3:9, 0], wide[3:, 3:9, 2] = 200, 100  # Red above, blue below.
  _save(tmp_path / "a.png", wide)
  _save(tmp_path / "b.png", wide.transpose(1, 0, 2))
  images = data.load(f"folder:{tmp_path}", image_size=6).images
  # Not resampled at equal size: the square is exact.
  np.testing.assert_array_equal(images[0], wide[:, 3:9])
  np.testing.assert_array_equal(images[1], wide[:, 3:9].transpose(1, 0, 2))


def test_folder_resize_is_antialiased(tmp_path):
  stripes = _flat(0, 256, 256)
  stripes[:, ::2] = 255
  _save(tmp_path / "a.png", stripes)
  images = data.load(f"folder:{tmp_path}").images
  assert images.shape == (1, 64, 64, 3) and images.dtype == np.uint8
  # Every fourth pixel alone would be all white; the mean is 127.5. At the rim the cut-off filter
  # leaves a ripple of 11 levels, inside of it 3.
  assert np.abs(images[:, :, 2:-2] - 127.5).max() < 4
  assert np.abs(images - 127.5).max() < 12


def test_folder_finds_all_kinds_below_it_in_order_of_name(tmp_path):
  names = ["b/2.PNG", "a.jpeg", "b/1.bmp", "c.webp", "d.gif", "e.jpg"]
  for value, name in enumerate(names):
    _save(tmp_path / name, _flat(40 * value))
  (tmp_path / "notes.txt").write_text("no image")
  (tmp_path / "._a.jpeg").write_text("left by macOS")
  images, labels = data.load(f"folder:{tmp_path}", image_size=4)
  assert labels is None  # Not every image lies in a class folder.
  order = [names.index(n) for n in ("a.jpeg", "b/1.bmp", "b/2.PNG", "c.webp", "d.gif", "e.jpg")]
  # Two grey levels for the lossy formats.
  np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), 40.0 * np.array(order), atol=2)


def test_folder_gives_rgb_of_any_mode_upright(tmp_path):
  Image.new("L", (9, 9), 70).save(tmp_path / "grey.png")
  Image.fromarray(np.full((9, 9), 70 * 256, np.uint16)).save(tmp_path / "grey16.png")
  Image.new("RGBA", (9, 9), (70, 70, 70, 255)).save(tmp_path / "alpha.png")
  assert (data.load(f"folder:{tmp_path}").images == 70).all()
  turned = Image.fromarray(np.concatenate([_flat(0, 8, 16), _flat(240, 8, 16)]))
  exif = turned.getexif()
  exif[0x0112] = 3  # Orientation: upside down.
  turned.save(tmp_path / "turned.png", exif=exif)
  image = data.load(f"folder:{tmp_path}", image_size=16).images[-1]
  assert (image[:8] == 240).all() and (image[8:] == 0).all()


def test_folder_labels_and_splits(tmp_path):
  for split, offset in (("train", 0), ("test", 100)):
    for number, name in enumerate(["ant", "bee", "cow"]):
      if (split, name) != ("test", "ant"):  # A class the test split lacks must not move the rest.
        _save(tmp_path / split / name / "deeper" / "x.png", _flat(offset + number))
        _save(tmp_path / split / name / "y.png", _flat(offset + number))
  train = data.load(f"folder:{tmp_path}")
  test = data.load(f"folder:{tmp_path}", split="test")
  assert train.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.labels.dtype == np.int32
  assert test.labels.tolist() == [1, 1, 2, 2]
  assert train.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
  assert test.images[:, 0, 0, 0].tolist() == [101, 101, 102, 102]
  assert data.load(f"folder:{tmp_path}", limit=3).labels.tolist() == [0, 0, 1]


def test_folder_without_splits_tests_on_every_tenth_image(tmp_path):
  for number in range(21):
    _save(tmp_path / "abc"[number // 10] / f"{number:02d}.png", _flat(number))
  train, test = (data.load(f"folder:{tmp_path}", split=split) for split in ("train", "test"))
  assert test.images[:, 0, 0, 0].tolist() == [9, 19] and test.labels.tolist() == [0, 1]
  rest = [number for number in range(21) if number not in (9, 19)]
  assert train.images[:, 0, 0, 0].tolist() == rest
  assert train.labels.tolist() == [number // 10 for number in rest]


def test_folder_of_few_images_is_all_train(tmp_path):
  _save(tmp_path / "a" / "x.png", _flat(1))
  _save(tmp_path / "b" / "y.png", _flat(2))
  assert data.load(f"folder:{tmp_path}").labels.tolist() == [0, 1]
  with pytest.raises(data.DataError, match=r"^split: .*got 'test' of fewer$"):
    data.load(f"folder:{tmp_path}", split="test")


def test_folder_corrupt_image_is_named(tmp_path):
  _save(tmp_path / "a.png", _flat(1))
  (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
  with pytest.raises(data.DataError, match=r"b\.png: expected an image .* got: .+"):
    data.load(f"folder:{tmp_path}")


def test_folder_empty_or_missing(tmp_path):
  with pytest.raises(data.DataError, match=r"^name: expected image files .* got none$"):
    data.load(f"folder:{tmp_path}")
  with pytest.raises(data.DataError, match=r"^name: expected a folder .*nowhere'"):
    data.load(f"folder:{tmp_path / 'nowhere'}")


def test_batches_are_put_together_in_order(tmp_path, monkeypatch):
  monkeypatch.setattr(folder, "_BATCH", 3)
  for value in range(8):
    _save(tmp_path / f"{value}.png", _flat(value))
  assert data.load(f"folder:{tmp_path}").images[:, 0, 0, 0].tolist() == list(range(8))


# npz


@pytest.mark.parametrize("shape", [(5, 6, 6), (5, 6, 6, 1), (5, 6, 4, 3), (1, 1, 1, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_npz_round_trip(tmp_path, shape, dtype):
  expected = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  is_float = np.issubdtype(dtype, np.floating)
  np.savez(tmp_path / "x.npz", images=(expected / 255).astype(dtype) if is_float else expected)
  images, labels = data.load(f"npz:{tmp_path / 'x.npz'}")
  assert images.dtype == np.uint8 and labels is None
  assert images.shape == (shape if len(shape) == 4 else (*shape, 1))
  np.testing.assert_array_equal(images.reshape(shape), expected)


def test_npz_labels_splits_limit_and_size(tmp_path):
  path = tmp_path / "x.npz"
  values = np.arange(4, dtype=np.uint8)
  images = np.broadcast_to(values[:, None, None, None], (4, 8, 6, 2))
  np.savez(path, images=images, labels=values, test_images=images + 10, test_labels=values + 10)
  train = data.load(f"npz:{path}", limit=3, image_size=12)
  assert train.images.shape == (3, 12, 12, 2) and train.images[:, 5, 5, 1].tolist() == [0, 1, 2]
  assert train.labels.tolist() == [0, 1, 2] and train.labels.dtype == np.int32
  test = data.load(f"npz:{path}", split="test")
  assert test.labels.tolist() == [10, 11, 12, 13] and test.images[3, 0, 0, 0] == 13


_GOOD = np.zeros((2, 3, 3), np.uint8)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"pictures": _GOOD}, r"expected an array 'images' for split 'train', got 'pictures'"),
    ({"images": _GOOD.astype(np.int64)}, r"images: expected uint8, .* got int64"),
    ({"images": _GOOD.astype(bool)}, r"images: expected uint8, .* got bool"),
    ({"images": _GOOD[0]}, r"images: expected \[N, H, W\] .* got \(3, 3\)"),
    ({"images": _GOOD[:0]}, r"images: expected \[N, H, W\] .* got \(0, 3, 3\)"),
    ({"images": _GOOD + 1.5}, r"images: expected floats in \[0, 1\], got 1.5 to 1.5"),
    ({"images": _GOOD * np.nan}, r"images: expected floats in \[0, 1\], got nan"),
    ({"images": _GOOD.astype(object)}, r"expected plain numbers in 'images'"),
    ({"images": _GOOD, "labels": np.zeros(3, int)}, r"labels: expected integers \[2\].*\(3,\)"),
    ({"images": _GOOD, "labels": np.zeros(2)}, r"labels: expected integers .* got float64"),
    ({"images": _GOOD, "labels": np.array([0, 2**40])}, r"labels: expected int32 .* to 10995"),
    ({"images": _GOOD, "labels": np.array(["a", "b"])}, r"labels: expected integers .* got <U1"),
  ],
)
def test_npz_refuses(tmp_path, arrays, message):
  np.savez(tmp_path / "x.npz", **arrays)
  with pytest.raises(data.DataError, match=message):
    data.load(f"npz:{tmp_path / 'x.npz'}")


def test_npz_refuses_other_files(tmp_path):
  np.savez(tmp_path / "x.npz", images=_GOOD)
  with pytest.raises(data.DataError, match=r"expected an array 'test_images' for split 'test'"):
    data.load(f"npz:{tmp_path / 'x.npz'}", split="test")
  with pytest.raises(data.DataError, match=r"^name: expected an \.npz file"):
    data.load(f"npz:{tmp_path / 'nowhere.npz'}")
  np.save(tmp_path / "single.npy", _GOOD)
  with pytest.raises(data.DataError, match=r"got a single array"):
    data.load(f"npz:{tmp_path / 'single.npy'}")
  (tmp_path / "text.npz").write_text("hello")
  with pytest.raises(data.DataError, match=r"got another file"):
    data.load(f"npz:{tmp_path / 'text.npz'}")


def test_npz_never_runs_a_pickle(tmp_path):
  class Trap:
    def __reduce__(self):
      return pathlib.Path.touch, (tmp_path / "sprung",)

  np.savez(tmp_path / "x.npz", images=np.array([Trap()], object))
  with pytest.raises(data.DataError):
    data.load(f"npz:{tmp_path / 'x.npz'}")
  assert not (tmp_path / "sprung").exists()
  with np.load(tmp_path / "x.npz", allow_pickle=True) as arrays:
    arrays["images"]  # The trap does work.
  assert (tmp_path / "sprung").exists()


def test_damaged_npz_is_one_line(tmp_path):
  path = tmp_path / "x.npz"
  np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 99, (20, 8, 8), np.uint8))
  whole = path.read_bytes()
  refused = 0
  for place in range(60, len(whole) - 200, 25):  # Within the array's compressed bytes.
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(data.DataError):
      data.load(f"npz:{path}")
    refused += 1
  assert refused > 20


# cache


@pytest.fixture
def source(tmp_path):
  """A labelled folder of three images."""
  for value in range(3):
    _save(tmp_path / "source" / "class" / f"{value}.png", _flat(value))
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
  _save(source / "class" / "1.png", _flat(99, 9, 9))
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


# TFDS, on records made here


def _png(value, size):
  buffer = io.BytesIO()
  Image.fromarray(np.full((size, size), value, np.uint8)).save(buffer, "png")
  return buffer.getvalue()


class _Records(list):
  """What `tfds.data_source` gives: items by a list of plain integers."""

  def __getitems__(self, positions):
    assert type(positions) is list and all(type(p) is int for p in positions)
    return [self[p] for p in positions]


@pytest.fixture
def fake_tfds(tmp_path, monkeypatch):
  """A TFDS folder with 25 images of each data set; returns it and the opened (name, split)s."""
  opened = []
  for name in ("mnist", "lfw", "lsun/church_outdoor"):
    (tmp_path / "tfds" / name / "1.0.0").mkdir(parents=True)
    (tmp_path / "tfds" / name / "1.0.0" / "dataset_info.json").write_text("{}")

  def opening(name, split, root):
    opened.append((name, split))
    records = _Records({"image": _png(i, 28), "label": i % 10} for i in range(25))
    return len(records), lambda positions: tfds_source._by_position(records, positions)

  monkeypatch.setattr(tfds_source, "_open", opening)
  monkeypatch.setattr(tfds_source, "_BATCH", 4)
  return tmp_path / "tfds", opened


def test_tfds_labels_and_size(fake_tfds):
  images, labels = data.load("mnist", data_dir=fake_tfds[0])
  assert images.shape == (25, 28, 28, 1) and images[:, 0, 0, 0].tolist() == list(range(25))
  assert labels.tolist() == [i % 10 for i in range(25)] and labels.dtype == np.int32
  small = data.load("mnist", data_dir=fake_tfds[0], split="test", image_size=7, limit=6)
  assert small.images.shape == (6, 7, 7, 1) and len(small.labels) == 6
  assert fake_tfds[1] == [("mnist", "train"), ("mnist", "test")]


def test_lfw_test_split_is_every_tenth_image(fake_tfds):
  train = data.load("lfw", data_dir=fake_tfds[0])
  test = data.load("lfw", data_dir=fake_tfds[0], split="test")
  assert test.images.shape == (3, 64, 64, 3) and test.labels is None
  assert test.images[:, 0, 0, 0].tolist() == [0, 10, 20]
  assert train.images[:, 0, 0, 0].tolist() == [i for i in range(25) if i % 10]
  limited = data.load("lfw", data_dir=fake_tfds[0], limit=12).images
  np.testing.assert_array_equal(limited, train.images[:12])


def test_lsun_test_split_is_the_validation_split(fake_tfds):
  church = data.load("lsun/church_outdoor", data_dir=fake_tfds[0], split="test")
  assert church.images.shape == (25, 64, 64, 3) and church.labels is None
  assert fake_tfds[1] == [("lsun/church_outdoor", "validation")]


def _write_lmdb(folder, images, kind="webp"):
  lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb")
  folder.mkdir(parents=True)
  # LSUN's keys are hashes: their order is not that of writing.
  with lmdb.open(str(folder), map_size=2**22) as database, database.begin(write=True) as writing:
    for key, image in images.items():
      buffer = io.BytesIO()
      Image.fromarray(image).save(buffer, kind, quality=95)
      writing.put(key, buffer.getvalue())


@pytest.mark.parametrize("below", ["", "lsun"])
def test_lsuns_own_folders_are_read(tmp_path, monkeypatch, below):
  monkeypatch.setattr(lsun, "_BATCH", 2)
  wide = _flat(90, 32, 48)
  wide[:, :8] = wide[:, 40:] = 0  # Cut away: the centre square is what counts.
  train = {b"c": _flat(10), b"a": wide, b"b": _flat(200)}
  _write_lmdb(tmp_path / below / "church_outdoor_train_lmdb", train)
  _write_lmdb(tmp_path / below / "church_outdoor_val_lmdb", {b"x": _flat(50)}, "jpeg")
  images, labels = data.load("lsun/church_outdoor", data_dir=tmp_path)
  assert images.shape == (3, 64, 64, 3) and labels is None
  # By key; lossy coding moves a pixel by a few levels, more at the edge that was cut away.
  np.testing.assert_allclose(images[:, 32, 32, 0], [90, 200, 10], atol=3)
  np.testing.assert_allclose(images[0, :, 4:-4], 90, atol=6)
  test = data.load("lsun/church_outdoor", data_dir=tmp_path, split="test", image_size=16).images
  assert test.shape == (1, 16, 16, 3)
  np.testing.assert_allclose(test, 50, atol=3)
  few = data.load("lsun/church_outdoor", data_dir=tmp_path, limit=2).images
  np.testing.assert_array_equal(few, images[:2])


def test_lsun_of_tfds_goes_before_its_own_folders(fake_tfds):
  _write_lmdb(fake_tfds[0] / "church_outdoor_train_lmdb", {b"x": _flat(50)})
  assert len(data.load("lsun/church_outdoor", data_dir=fake_tfds[0]).images) == 25


def test_damaged_or_empty_lsun_is_one_line(tmp_path, monkeypatch):
  folder = tmp_path / "church_outdoor_train_lmdb"
  _write_lmdb(folder, {})
  with pytest.raises(data.DataError, match=r"^data_dir: expected images in .*an empty database"):
    data.load("lsun/church_outdoor", data_dir=tmp_path)
  (folder / "data.mdb").write_bytes(b"no database" * 1000)
  with pytest.raises(data.DataError, match=r"^data_dir: expected an LMDB of LSUN in .*, got: "):
    data.load("lsun/church_outdoor", data_dir=tmp_path)
  monkeypatch.setitem(sys.modules, "lmdb", None)
  with pytest.raises(data.DataError, match="pip install"):
    data.load("lsun/church_outdoor", data_dir=tmp_path)


def test_tfds_cache_needs_no_opening_and_sees_changed_files(fake_tfds):
  for _ in range(2):
    data.load("mnist", data_dir=fake_tfds[0])
  assert len(fake_tfds[1]) == 1
  (fake_tfds[0] / "mnist" / "1.0.0" / "dataset_info.json").write_text('{"other": 1}')
  data.load("mnist", data_dir=fake_tfds[0])
  assert len(fake_tfds[1]) == 2


def test_records_in_a_stream_give_what_records_by_position_give():
  records = _Records(range(3000))
  for positions in ([], [0], [2999], list(range(0, 3000, 2))):
    by_position = [r for b in tfds_source._by_position(records, positions) for r in b]
    in_order = [r for b in tfds_source._in_order(iter(records), positions) for r in b]
    assert by_position == in_order == positions


@pytest.fixture
def no_network(monkeypatch):
  def refused(*args, **kwargs):
    raise OSError("no network in tests")

  monkeypatch.setattr(socket.socket, "connect", refused)
  monkeypatch.setattr(socket, "getaddrinfo", refused)
  for variable in ("https_proxy", "HTTPS_PROXY"):
    monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "lfw", "lsun/church_outdoor"])
@pytest.mark.parametrize("has_tensorflow", [False, True])
def test_missing_tfds_data_are_one_line(tmp_path, monkeypatch, no_network, name, has_tensorflow):
  monkeypatch.setattr(tfds_source, "_has", lambda module: has_tensorflow)
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
  need = "a network" if has_tensorflow else "TensorFlow"
  for data_dir, shown in ((tmp_path / "given", "given"), (None, "default")):
    with pytest.raises(data.DataError) as error:
      data.load(name, data_dir=data_dir)
    message = str(error.value)
    assert "\n" not in message
    assert re.search(rf"^data_dir: expected '{name}' .*{shown}' without {name}/VERSION", message)
    assert f"needs {need}: give the data_dir" in message and "folder:PATH" in message
    assert ("unpack LSUN's own" in message) == (name == "lsun/church_outdoor")
  assert not (tmp_path / "given").exists()


def test_unreadable_tfds_data_are_one_line(tmp_path, monkeypatch, no_network):
  (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
  (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")
  monkeypatch.setattr(tfds_source, "_has", lambda module: False)
  with pytest.raises(data.DataError, match=r"^data_dir: expected 'mnist', split 'train', as array"):
    data.load("mnist", data_dir=tmp_path)


# TFDS, real data


def _needs(name):
  missing = not (_TFDS_DIR / name).is_dir() or importlib.util.find_spec("array_record") is None
  reason = f"needs array_record and {name} prepared in ../shared/tfds or NSN_JAX_DATA_DIR"
  return pytest.mark.skipif(missing, reason=reason)


@_needs("mnist")
def test_real_mnist():
  images, labels = data.load("mnist", split="test", data_dir=_TFDS_DIR)
  assert images.shape == (10000, 28, 28, 1) and images.dtype == np.uint8
  # Known of MNIST's test part: how often each digit occurs, and the mean grey level, 33.79.
  counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  assert np.bincount(labels).tolist() == counts
  assert images.mean() == pytest.approx(33.79, abs=0.01)


@_needs("lfw")
def test_real_lfw():
  train = data.load("lfw", data_dir=_TFDS_DIR, limit=90).images
  test = data.load("lfw", split="test", data_dir=_TFDS_DIR, limit=10).images
  assert train.shape == (90, 64, 64, 3) and test.shape == (10, 64, 64, 3)
  whole = data.load("lfw", split="test", data_dir=_TFDS_DIR, limit=10, image_size=250).images
  # The whole frame is scaled, not cropped: its four quarters keep their mean colours.
  # A grey level each for rounding; the filter's reach over a quarter's rim adds a little.
  large = whole.reshape(10, 2, 125, 2, 125, 3).mean((2, 4))
  small = test.reshape(10, 2, 32, 2, 32, 3).mean((2, 4))
  assert np.abs(large - small).max() < 2
  assert not (train[:, None] == test[None]).all((2, 3, 4)).any()


# arguments


@pytest.mark.parametrize("name", ["cifar", "", "folder", "folder:", "mnist:3", "PATH", None, 3])
def test_unknown_name_lists_the_known(name):
  with pytest.raises(data.DataError) as error:
    data.load(name)
  assert str(error.value) == f"name: expected one of {', '.join(data.NAMES)}, got {name!r}"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"split": "val"}, "split: expected one of train, test, got 'val'"),
    ({"image_size": 0}, "image_size: expected an integer >= 1 or None, got 0"),
    ({"image_size": 2.5}, "image_size: expected an integer >= 1 or None, got 2.5"),
    ({"limit": 0}, "limit: expected an integer >= 1 or None, got 0"),
    ({"limit": -1}, "limit: expected an integer >= 1 or None, got -1"),
  ],
)
def test_bad_arguments(options, message):
  with pytest.raises(data.DataError) as error:
    data.load("digits", **options)
  assert str(error.value) == message


def test_data_error_is_a_value_error():
  assert issubclass(data.DataError, ValueError)


def test_a_new_data_set_is_one_entry(monkeypatch):
  def blank(request):
    images = np.zeros((request.limit, 2, 2, 1), np.uint8)
    return loading.Source(lambda: data.Dataset(images, None))

  monkeypatch.setitem(loading.SOURCES, "blank", blank)
  assert data.load("blank", limit=4).images.shape == (4, 2, 2, 1)


def test_images_of_different_shapes_are_refused():
  shapes = [(2, 2, 1), (3, 2, 1)]
  with pytest.raises(data.DataError, match=r"x: expected images of one shape .*\(3, 2, 1\)"):
    pixels.stack([shapes], 2, lambda shape: np.zeros(shape, np.uint8), "x")
  with pytest.raises(data.DataError, match=r"x: expected 3 images, got 1"):
    pixels.stack([shapes[:1]], 3, lambda shape: np.zeros(shape, np.uint8), "x")
