"""What the tests of several sources build their data of."""

import numpy as np
from PIL import Image


def save(path, image):
  """Writes an image file, and its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(image, np.uint8)).save(path)


def flat(value, height=8, width=8):
  """A uniform RGB image, which stays what it is under any crop and resize."""
  return np.full((height, width, 3), value, np.uint8)


class Records(list):
  """What `tfds.data_source` gives: items by a list of plain integers."""

  def __getitems__(self, positions):
    assert type(positions) is list and all(type(p) is int for p in positions)
    return [self[p] for p in positions]
