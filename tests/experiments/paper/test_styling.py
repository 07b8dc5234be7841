"""Fig 6: image files of any size."""

import numpy as np
import pytest
from PIL import Image

from experiments.paper import styling


def test_image_files_are_read_at_any_size(tmp_path):
  path = tmp_path / "photo.png"
  pixels = np.random.default_rng(0).integers(0, 256, (30, 90, 3)).astype(np.uint8)
  Image.fromarray(pixels).save(path)
  assert styling.read_image(str(path), 3, 45).shape == (15, 45, 3)
  assert styling.read_image(str(path), 1, 300).shape == (30, 90, 1)
  (tmp_path / "text.png").write_text("no image")
  with pytest.raises(ValueError, match="image: expected an image file, got"):
    styling.read_image(str(tmp_path / "text.png"), 1, 45)
