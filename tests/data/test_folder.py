"""Images in folders: cropping, sizes, kinds, labels and splits, against hand-made files."""

import numpy as np
import pytest
from PIL import Image

from nsn_jax import data
from nsn_jax.data import folder
from tests.data.helpers import flat, save


def test_folder_crops_the_centre_square(tmp_path):
  wide = flat(0, 6, 12)
  wide[:, :3], wide[:, 9:] = 255, 255  # White sides, which the crop takes away.
  wide[:3, 3:9, 0], wide[3:, 3:9, 2] = 200, 100  # Red above, blue below.
  save(tmp_path / "a.png", wide)
  save(tmp_path / "b.png", wide.transpose(1, 0, 2))
  images = data.load(f"folder:{tmp_path}", image_size=6).images
  # Not resampled at equal size: the square is exact.
  np.testing.assert_array_equal(images[0], wide[:, 3:9])
  np.testing.assert_array_equal(images[1], wide[:, 3:9].transpose(1, 0, 2))


def test_folder_resize_is_antialiased(tmp_path):
  stripes = flat(0, 256, 256)
  stripes[:, ::2] = 255
  save(tmp_path / "a.png", stripes)
  images = data.load(f"folder:{tmp_path}").images
  assert images.shape == (1, 64, 64, 3) and images.dtype == np.uint8
  # Every fourth pixel alone would be all white; the mean is 127.5. At the rim the cut-off filter
  # leaves a ripple of 11 levels, inside of it 3.
  assert np.abs(images[:, :, 2:-2] - 127.5).max() < 4
  assert np.abs(images - 127.5).max() < 12


def test_folder_finds_all_kinds_below_it_in_order_of_name(tmp_path):
  names = ["b/2.PNG", "a.jpeg", "b/1.bmp", "c.webp", "d.gif", "e.jpg"]
  for value, name in enumerate(names):
    save(tmp_path / name, flat(40 * value))
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
  turned = Image.fromarray(np.concatenate([flat(0, 8, 16), flat(240, 8, 16)]))
  exif = turned.getexif()
  exif[0x0112] = 3  # Orientation: upside down.
  turned.save(tmp_path / "turned.png", exif=exif)
  image = data.load(f"folder:{tmp_path}", image_size=16).images[-1]
  assert (image[:8] == 240).all() and (image[8:] == 0).all()


def test_folder_labels_and_splits(tmp_path):
  for split, offset in (("train", 0), ("test", 100)):
    for number, name in enumerate(["ant", "bee", "cow"]):
      if (split, name) != ("test", "ant"):  # A class the test split lacks must not move the rest.
        save(tmp_path / split / name / "deeper" / "x.png", flat(offset + number))
        save(tmp_path / split / name / "y.png", flat(offset + number))
  train = data.load(f"folder:{tmp_path}")
  test = data.load(f"folder:{tmp_path}", split="test")
  assert train.labels.tolist() == [0, 0, 1, 1, 2, 2] and train.labels.dtype == np.int32
  assert test.labels.tolist() == [1, 1, 2, 2]
  assert train.images[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
  assert test.images[:, 0, 0, 0].tolist() == [101, 101, 102, 102]
  assert data.load(f"folder:{tmp_path}", limit=3).labels.tolist() == [0, 0, 1]


def test_folder_without_splits_tests_on_every_tenth_image(tmp_path):
  for number in range(21):
    save(tmp_path / "abc"[number // 10] / f"{number:02d}.png", flat(number))
  train, test = (data.load(f"folder:{tmp_path}", split=split) for split in ("train", "test"))
  assert test.images[:, 0, 0, 0].tolist() == [9, 19] and test.labels.tolist() == [0, 1]
  rest = [number for number in range(21) if number not in (9, 19)]
  assert train.images[:, 0, 0, 0].tolist() == rest
  assert train.labels.tolist() == [number // 10 for number in rest]


def test_folder_of_few_images_is_all_train(tmp_path):
  save(tmp_path / "a" / "x.png", flat(1))
  save(tmp_path / "b" / "y.png", flat(2))
  assert data.load(f"folder:{tmp_path}").labels.tolist() == [0, 1]
  with pytest.raises(data.DataError, match=r"^split: .*got 'test' of fewer$"):
    data.load(f"folder:{tmp_path}", split="test")


def test_folder_corrupt_image_is_named(tmp_path):
  save(tmp_path / "a.png", flat(1))
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
    save(tmp_path / f"{value}.png", flat(value))
  assert data.load(f"folder:{tmp_path}").images[:, 0, 0, 0].tolist() == list(range(8))
