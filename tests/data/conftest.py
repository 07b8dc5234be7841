"""A cache and a TFDS folder of its own for each test."""

import io

import numpy as np
import pytest
from PIL import Image

from nsn_jax.data import tfds_source
from tests.data.helpers import Records


@pytest.fixture(autouse=True)
def cache_dir(tmp_path_factory, monkeypatch):
  """The folder of the cache, not yet made, and none of a test's own."""
  path = tmp_path_factory.mktemp("elsewhere") / "cache"
  monkeypatch.setenv("NSN_JAX_CACHE", str(path))
  return path


def _png(value, size):
  buffer = io.BytesIO()
  Image.fromarray(np.full((size, size), value, np.uint8)).save(buffer, "png")
  return buffer.getvalue()


@pytest.fixture
def fake_tfds(tmp_path, monkeypatch):
  """A TFDS folder with 25 images of each data set; returns it and the opened (name, split)s."""
  opened = []
  for name in ("mnist", "lfw", "lsun/church_outdoor"):
    (tmp_path / "tfds" / name / "1.0.0").mkdir(parents=True)
    (tmp_path / "tfds" / name / "1.0.0" / "dataset_info.json").write_text("{}")

  def opening(name, split, root):
    opened.append((name, split))
    records = Records({"image": _png(i, 28), "label": i % 10} for i in range(25))
    return len(records), lambda positions: tfds_source._by_position(records, positions)

  monkeypatch.setattr(tfds_source, "_open", opening)
  monkeypatch.setattr(tfds_source, "_BATCH", 4)
  return tmp_path / "tfds", opened
