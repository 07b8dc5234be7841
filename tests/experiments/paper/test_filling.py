"""Fig 7: masks, scores by hand, and fillings that keep what is visible."""

import jax
import numpy as np
import pytest

from experiments.paper import filling
from nsn_jax import data

KEY = jax.random.key(0)


def test_masks_have_several_shapes_and_sizes():
  found = filling.masks(28, 28)
  shares = {name: mask.mean() for name, mask in found.items()}
  assert shares["lower half"] == shares["right half"] == 0.5
  assert shares["small square"] < shares["square"] < shares["large square"] < 0.4
  assert shares["disc"] == pytest.approx(np.pi / 16, abs=0.02)
  assert all(mask.dtype == bool and mask.shape == (28, 28) for mask in found.values())


def test_scores_inside_the_mask_by_hand():
  original = np.zeros((2, 20, 20, 1), np.float32)
  mask = np.zeros((20, 20), bool)
  mask[5:15, 5:15] = True
  filled = np.where(mask[..., None], 0.1, 0.9)[None].repeat(2, 0).astype(np.float32)
  psnr, ssim = filling.scores(original, filled, mask)
  assert psnr == pytest.approx(20, abs=1e-4)  # 10 log10(1 / 0.1^2), whatever lies outside
  assert ssim < 0.1
  assert filling.scores(original, original, mask) == pytest.approx((100, 1))


def test_fillings_keep_what_is_visible(nsn):
  training, images = (
    data.load("digits", split=split, limit=8).images for split in ("train", "test")
  )
  unit = images / np.float32(255)
  mask = filling.masks(28, 28)["square"]
  found = filling.fillings(KEY, nsn, training, images, mask)
  own = ["NSN", "NSN, 4 rounds", "NSN, mean"]
  assert list(found) == [*own, "mean image", "nearest image", "biharmonic"]
  for draws in found.values():
    assert draws.shape[1:] == images.shape and draws.min() >= 0 and draws.max() <= 1
    same = np.broadcast_to(unit, draws.shape)[:, :, ~mask]
    # Biharmonic inpainting computes in float64.
    np.testing.assert_allclose(draws[:, :, ~mask], same, atol=1e-6)
  # An image that was trained on is its own nearest.
  again = filling.fillings(KEY, nsn, training, training[:3], mask)["nearest image"]
  np.testing.assert_array_equal(again[0], training[:3] / np.float32(255))


def test_occlusion(nsn, tmp_path):
  sets = [data.load("digits", split=split, limit=3).images for split in ("train", "test")]
  lines = []
  rows = filling.occlude(KEY, nsn, *sets, tmp_path, lines.append)
  assert len(rows) == len(lines) == 7 * 6 == len({(row["mask"], row["method"]) for row in rows})
  assert all(np.isfinite([row["psnr"], row["ssim"]]).all() for row in rows)
  assert len(list(tmp_path.glob("filling_*.png"))) == 7
