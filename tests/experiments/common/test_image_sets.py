"""Anybody's images: which are held out, which count, and what a judge sees of them."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from experiments.common import image_sets, runs


def _npz(path: pathlib.Path, **arrays: np.ndarray) -> runs.DataSpec:
  np.savez(path, **arrays)
  return runs.DataSpec(f"npz:{path}")


def _numbered(count: int, side: int = 4, channels: int = 1) -> np.ndarray:
  """Image n is of the value n."""
  return np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, side, side, channels))


def test_held_out_are_the_test_images(tmp_path: pathlib.Path) -> None:
  spec = _npz(tmp_path / "x.npz", images=_numbered(9), test_images=_numbered(5) + 100)
  found = image_sets.real(spec, None)
  assert found.has_test_split and not found.has_labels
  assert len(found.train) == 9 and (found.held_out >= 100).all()


def test_without_test_images_a_half_is_held_out_which_the_other_has_not(
  tmp_path: pathlib.Path,
) -> None:
  found = image_sets.real(_npz(tmp_path / "x.npz", images=_numbered(31)), None)
  assert not found.has_test_split
  train, held_out = (images[:, 0, 0, 0].tolist() for images in (found.train, found.held_out))
  assert len(train) == 16 and sorted([*train, *held_out]) == list(range(31))
  # Files of labelled folders come class by class: either half has some of all.
  assert min(train) < 8 and max(train) > 22 and min(held_out) < 8 and max(held_out) > 22


def test_all_generated_images_count(tmp_path: pathlib.Path) -> None:
  # Of a plain folder, every tenth is a test image to `data.load`.
  for number, image in enumerate(_numbered(23, channels=3)):
    Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
  found = image_sets.everything(runs.DataSpec(f"folder:{tmp_path}"), (4, 4, 1))
  assert found.shape == (23, 4, 4, 1)
  assert sorted(found[:, 0, 0, 0].tolist()) == list(range(23))
  spec = _npz(tmp_path / "x.npz", images=_numbered(9))
  assert len(image_sets.everything(spec, (4, 4, 1))) == 9


def test_images_are_brought_to_a_shape_antialiased(tmp_path: pathlib.Path) -> None:
  stripes = np.zeros((12, 64, 64), np.uint8)
  stripes[:, :, ::2] = 255
  spec = _npz(tmp_path / "x.npz", images=stripes)
  for found in (image_sets.everything(spec, (16, 16, 3)), image_sets.real(spec, (16, 16, 3)).train):
    assert found.shape[1:] == (16, 16, 3)
    # Every fourth pixel alone would be all white; the mean is 127.5.
    assert np.abs(found[:, :, 2:-2] - 127.5).max() < 4


def test_what_cannot_be_brought_to_it_is_one_line(tmp_path: pathlib.Path) -> None:
  spec = _npz(tmp_path / "x.npz", images=np.zeros((12, 6, 5), np.uint8))
  with pytest.raises(
    ValueError, match=r"image_size: expected images of 6x4 .*, got 6x5: give --im"
  ):
    image_sets.everything(spec, (6, 4, 1))
  assert image_sets.everything(spec, (6, 5, 1)).shape == (12, 6, 5, 1)
  assert image_sets.everything(spec, (8, 8, 1)).shape == (12, 8, 8, 1)
  with pytest.raises(ValueError, match=r"images: expected 4 channels, or 1 or 3 for 3 or 1, got 1"):
    image_sets.everything(spec, (8, 8, 4))


def test_grey_is_what_pillow_makes_of_colours() -> None:
  images = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3)).astype(np.uint8)
  found = image_sets.with_channels(images, 1)
  expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
  # Pillow's shares are of 65,536.
  assert np.abs(found[..., 0].astype(int) - expected).max() <= 1
  grey = _numbered(256, channels=3)
  np.testing.assert_array_equal(image_sets.with_channels(grey, 1), grey[..., :1])
  np.testing.assert_array_equal(image_sets.with_channels(grey[..., :1], 3), grey)
  assert image_sets.with_channels(images, 3) is images
