"""LSUN's own folders: databases written here, of images of one colour, and damaged ones."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from nsn_jax import data
from nsn_jax.data import lsun
from tests.data.helpers import flat


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
  wide = flat(90, 32, 48)
  wide[:, :8] = wide[:, 40:] = 0  # Cut away: the centre square is what counts.
  train = {b"c": flat(10), b"a": wide, b"b": flat(200)}
  _write_lmdb(tmp_path / below / "church_outdoor_train_lmdb", train)
  _write_lmdb(tmp_path / below / "church_outdoor_val_lmdb", {b"x": flat(50)}, "jpeg")
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


@pytest.mark.parametrize("told", [2, 4])
def test_lsun_of_another_number_of_values_than_it_says_is_one_line(tmp_path, told):
  folder = tmp_path / "church_outdoor_train_lmdb"
  _write_lmdb(folder, {b"a": flat(10), b"b": flat(20), b"c": flat(30)})
  content = bytearray((folder / "data.mdb").read_bytes())
  for start in (0, 4096):
    struct.pack_into("<Q", content, start + 120, told)
  (folder / "data.mdb").write_bytes(content)
  with pytest.raises(data.DataError, match=rf"got: it says {told} values and has 3$"):
    data.load("lsun/church_outdoor", data_dir=tmp_path)


def test_lsun_of_tfds_goes_before_its_own_folders(fake_tfds):
  _write_lmdb(fake_tfds[0] / "church_outdoor_train_lmdb", {b"x": flat(50)})
  assert len(data.load("lsun/church_outdoor", data_dir=fake_tfds[0]).images) == 25


def test_damaged_or_empty_lsun_is_one_line(tmp_path):
  folder = tmp_path / "church_outdoor_train_lmdb"
  _write_lmdb(folder, {})
  with pytest.raises(data.DataError, match=r"^data_dir: expected images in .*an empty database"):
    data.load("lsun/church_outdoor", data_dir=tmp_path)
  (folder / "data.mdb").write_bytes(b"no database" * 1000)
  with pytest.raises(data.DataError, match=r"^data_dir: expected an LMDB of LSUN in .*, got: "):
    data.load("lsun/church_outdoor", data_dir=tmp_path)


def test_lsun_that_was_cut_off_is_one_line(tmp_path):
  """LMDB's own reader is ended by a signal: it maps the file and reads beyond its end."""
  folder = tmp_path / "church_outdoor_train_lmdb"
  random = np.random.default_rng(0)
  images = {b"%02d" % i: random.integers(0, 256, (80, 80, 3)).astype(np.uint8) for i in range(9)}
  _write_lmdb(folder, images)
  whole = (folder / "data.mdb").read_bytes()
  for size in range(0, len(whole), len(whole) // 20):
    (folder / "data.mdb").write_bytes(whole[:size])
    with pytest.raises(data.DataError, match=r"^data_dir: expected an LMDB of LSUN in .*, got: "):
      data.load("lsun/church_outdoor", data_dir=tmp_path)


def test_a_few_broken_images_of_lsun_are_left_out_and_told(tmp_path, warnings):
  lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb")
  folder = tmp_path / "church_outdoor_train_lmdb"
  _write_lmdb(folder, {b"%03d" % i: flat(i % 200) for i in range(200)})
  with lmdb.open(str(folder)) as database, database.begin(write=True) as writing:
    writing.put(b"003", b"no image")
  for _ in range(2):  # decoded, and out of the cache
    assert len(data.load("lsun/church_outdoor", data_dir=tmp_path, image_size=4).images) == 199
  told = f"{folder}: left out 1 of 200 images, which are broken: value 3"
  assert warnings == [told, told]
  few = data.load("lsun/church_outdoor", data_dir=tmp_path, image_size=4, limit=5).images
  np.testing.assert_allclose(few[:, 2, 2, 0], [0, 1, 2, 4, 5], atol=3)


def test_what_is_no_image_in_lsun_is_one_line(tmp_path):
  lmdb = pytest.importorskip("lmdb", reason="needs the package lmdb")
  folder = tmp_path / "church_outdoor_train_lmdb"
  _write_lmdb(folder, {b"a": flat(10)})
  with lmdb.open(str(folder)) as database, database.begin(write=True) as writing:
    writing.put(b"b", b"no image\nat all")
  assert len(data.load("lsun/church_outdoor", data_dir=tmp_path, limit=1).images) == 1
  with pytest.raises(data.DataError, match=r"^an image of church_outdoor_train_lmdb: exp") as error:
    data.load("lsun/church_outdoor", data_dir=tmp_path)
  assert "\n" not in str(error.value)


def test_batches_are_bounded_by_their_bytes(tmp_path, monkeypatch):
  _write_lmdb(tmp_path / "church_outdoor_train_lmdb", {b"%d" % i: flat(9 * i) for i in range(9)})
  sizes = []
  decoded = lsun.pieces.decoded

  def watched(batches, *rest, **options):
    every = list(batches)
    sizes.extend(map(len, every))
    return decoded(every, *rest, **options)

  monkeypatch.setattr(lsun.pieces, "decoded", watched)
  monkeypatch.setattr(lsun, "_BATCH_BYTES", 1)
  assert len(data.load("lsun/church_outdoor", data_dir=tmp_path).images) == 9
  assert sizes == [1] * 9
