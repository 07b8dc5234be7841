"""Fig 6: image files of any size and kind."""

import numpy as np
import pytest
from PIL import Image

from experiments.paper import styling
from nsn_jax import data


def test_image_files_are_read_at_any_size(tmp_path):
  path = tmp_path / "photo.png"
  pixels = np.random.default_rng(0).integers(0, 256, (30, 90, 3)).astype(np.uint8)
  Image.fromarray(pixels).save(path)
  assert styling.read_image(str(path), 3, 45).shape == (15, 45, 3)
  assert styling.read_image(str(path), 1, 300).shape == (30, 90, 1)
  np.testing.assert_array_equal(styling.read_image(str(path), 3, 300), pixels)
  (tmp_path / "text.png").write_text("no image")
  with pytest.raises(ValueError, match="image: expected an image file, got"):
    styling.read_image(str(tmp_path / "text.png"), 1, 45)


@pytest.mark.parametrize("num_channels", [1, 3])
def test_images_are_read_as_those_of_data_sets_are(tmp_path, num_channels):
  """16-bit grey, turned and transparent ones, each of which Pillow alone gives otherwise."""
  ramp = np.repeat(np.arange(32, dtype=np.uint16)[None] * 2048, 32, axis=0)
  Image.fromarray(ramp).save(tmp_path / "grey16.png")
  turned = Image.fromarray(np.repeat(ramp // 256, 2, axis=1).astype(np.uint8))
  exif = Image.Exif()
  exif[0x0112] = 6
  turned.save(tmp_path / "turned.png", exif=exif)
  Image.new("RGBA", (32, 32), (200, 10, 10, 0)).save(tmp_path / "transparent.png")
  found = {
    path.stem: styling.read_image(str(path), num_channels, 64) for path in tmp_path.iterdir()
  }
  assert np.unique(found["grey16"]).size == 32
  assert found["turned"].shape == (64, 32, num_channels)
  assert (found["transparent"] == 255).all()
  if num_channels == 3:
    for name in ("grey16", "transparent"):  # Of the size that is asked for, and square.
      (tmp_path / name).mkdir()
      (tmp_path / f"{name}.png").rename(tmp_path / name / "x.png")
      loaded = data.load(f"folder:{tmp_path / name}", image_size=32, cache_dir=tmp_path / "cache")
      np.testing.assert_array_equal(loaded.images[0], found[name])


@pytest.mark.parametrize("num_channels", [1, 3])
def test_what_cannot_be_read_is_one_line_with_its_name(tmp_path, num_channels):
  Image.new("1", (15_000, 15_000)).save(tmp_path / "large.png")
  Image.effect_noise((64, 64), 90).save(tmp_path / "noise.jpg")
  (tmp_path / "cut.jpg").write_bytes((tmp_path / "noise.jpg").read_bytes()[:900])
  (tmp_path / "empty.gif").write_bytes(b"")
  for name in ("large.png", "cut.jpg", "empty.gif"):
    with pytest.raises(ValueError, match=rf"^image: expected an image file, got .*{name}") as error:
      styling.read_image(str(tmp_path / name), num_channels, 64)
    assert "\n" not in str(error.value)
  for name in ("nowhere.png", ""):
    with pytest.raises(OSError, match=rf"^image: expected an image file, got .*{name}"):
      styling.read_image(str(tmp_path / name), num_channels, 64)
