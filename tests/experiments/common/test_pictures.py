"""Grids of images, pixel by pixel."""

import numpy as np
import pytest
from PIL import Image

from experiments.common import pictures
from tests.experiments import helpers


def test_grid(tmp_path):
  images = np.stack([np.full((2, 4, 1), value, np.float32) for value in (-1, 0.5, 2)])
  size = pictures.grid(images, tmp_path / "grid.png", columns=2)
  scale = 50  # an image is enlarged to 200 pixels at most
  assert (
    size == (2 * 4 * scale + 9, 2 * 2 * scale + 9) == helpers.picture_size(tmp_path / "grid.png")
  )
  pixels = np.asarray(Image.open(tmp_path / "grid.png"))
  assert (pixels[0] == 255).all() and (pixels[:, 0] == 255).all()
  for (row, column), value in (((0, 0), 0), ((0, 1), 128), ((1, 0), 255), ((1, 1), 255)):
    y, x = 3 + row * 103, 3 + column * 203
    assert (pixels[y : y + 100, x : x + 200] == value).all()
  titled = pictures.grid(images, tmp_path / "titled.png", title="t " * 300, columns=2)
  assert titled[0] == 480 and titled[1] > size[1] + 40
  colour = np.zeros((1, 3, 3, 3), np.uint8)
  colour[..., 2] = 255
  pictures.grid(colour, tmp_path / "colour.png")
  assert np.asarray(Image.open(tmp_path / "colour.png"))[20, 20].tolist() == [0, 0, 255]
  for bad in (np.zeros((0, 2, 2, 1)), np.zeros((2, 2))):
    with pytest.raises(ValueError, match="images: expected"):
      pictures.grid(bad, tmp_path / "bad.png")
