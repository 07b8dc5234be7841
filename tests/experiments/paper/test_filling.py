"""The figures' launchers, small, on digits: what they measure, and that the pictures are there."""

import jax
import numpy as np
import pytest
from PIL import Image

import nsn_jax
from experiments import (
  effects,
  interpolation,
  occlusion,
  pictures,
  samples,
  scoring,
  style,
  tables34,
  train,
)
from experiments import workdir as work
from nsn_jax import data

KEY = jax.random.key(0)


def test_masks_have_several_shapes_and_sizes():
  found = occlusion.masks(28, 28)
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
  psnr, ssim = occlusion.scores(original, filled, mask)
  assert psnr == pytest.approx(20, abs=1e-4)  # 10 log10(1 / 0.1^2), whatever lies outside
  assert ssim < 0.1
  assert occlusion.scores(original, original, mask) == pytest.approx((100, 1))


def test_fillings_keep_what_is_visible(nsn):
  training, images = (
    data.load("digits", split=split, limit=8).images for split in ("train", "test")
  )
  unit = images / np.float32(255)
  mask = occlusion.masks(28, 28)["square"]
  found = occlusion.fillings(KEY, nsn, training, images, mask)
  assert list(found) == ["NSN", "NSN, 4 rounds", "mean image", "nearest image", "biharmonic"]
  for draws in found.values():
    assert draws.shape[1:] == images.shape and draws.min() >= 0 and draws.max() <= 1
    same = np.broadcast_to(unit, draws.shape)[:, :, ~mask]
    # Biharmonic inpainting computes in float64.
    np.testing.assert_allclose(draws[:, :, ~mask], same, atol=1e-6)
  # An image that was trained on is its own nearest.
  again = occlusion.fillings(KEY, nsn, training, training[:3], mask)["nearest image"]
  np.testing.assert_array_equal(again[0], training[:3] / np.float32(255))


def test_occlusion(nsn, tmp_path):
  sets = [data.load("digits", split=split, limit=3).images for split in ("train", "test")]
  lines = []
  rows = occlusion.occlude(KEY, nsn, *sets, tmp_path, lines.append)
  assert len(rows) == len(lines) == 7 * 5 == len({(row["mask"], row["method"]) for row in rows})
  assert all(np.isfinite([row["psnr"], row["ssim"]]).all() for row in rows)
  assert len(list(tmp_path.glob("occlusion_*.png"))) == 7


def test_effects(nsn, judge: scoring.Judge, tmp_path, monkeypatch):
  monkeypatch.setattr(effects, "_GAMMA_FACTORS", (0.01, 1.0))
  monkeypatch.setattr(effects, "_ALPHAS", (0.0,))
  monkeypatch.setattr(effects, "_BETAS", (0.5, 2.0))
  found = effects.vary(KEY, nsn, judge, tmp_path, 60)
  assert {knob: [row["value"] for row in rows] for knob, rows in found.items()} == {
    "gamma": [0.01, 1.0],
    "alpha": [0.0],
    "beta": [0.5, 2.0],
  }
  # Both are the network's own setting, on the same noise.
  assert found["gamma"][1]["inception_score"] == found["alpha"][0]["inception_score"]
  for name in ("effect_gamma", "effect_alpha", "effect_beta", "effects"):
    assert (tmp_path / f"{name}.png").stat().st_size > 0


def test_samples(nsn, tmp_path):
  training = data.load("digits", limit=100).images
  found = samples.draw(KEY, nsn, training, tmp_path, 20)
  assert found["nearest"] > 0
  assert {path.name for path in tmp_path.iterdir()} == {"layer0.png", "layer1.png", "nearest.png"}
  # Images of the training set are their own nearest.
  assert samples.beside_nearest(training[:30], training, tmp_path / "x.png") < 1e-3


def test_samples_are_checked_for_copies(nsn):
  training = data.load("digits", limit=100).images
  checks = samples.check_copies(KEY, nsn, training, data.load("digits", split="test").images)
  # Such a small network's filters are means of few images, and still no image.
  assert 0 < checks["distance"].generated < 28 and 0.3 < checks["relative"].generated < 1
  assert checks["relative"].held_out < 1
  # Held-out images that were trained on are their own nearest, and no sample is nearer.
  seen = samples.check_copies(KEY, nsn, training, training)["relative"]
  assert seen.held_out < 1e-3 and seen.suspected == 0


def test_pairs_are_far_apart_by_hand():
  rows = np.array([[0.0], [1.0], [10.0], [4.0]])
  assert interpolation.propose_pairs(rows, 2) == [(0, 2), (1, 3)]
  assert interpolation.propose_pairs(rows, 9) == [(0, 2), (1, 3)]


def test_interpolation(nsn, tmp_path):
  found = interpolation.draw(KEY, nsn, tmp_path, 2, 2)
  assert len(found["pairs"]) == 2 and 1 <= len(found["triples"]) <= 2
  used = [index for triple in found["triples"] for index in triple]
  assert len(set(used)) == len(used) and max(used) < nsn.num_filters[-1]
  assert (tmp_path / "interpolation.png").is_file() and (tmp_path / "arithmetic.png").is_file()
  blend = interpolation.blended(nsn)
  assert blend.per_layer("gamma", 2) == (50.0, 10.0) and blend.per_layer("num_draws", 2) == (1, 100)


@pytest.mark.parametrize("ylabel", ["score", ""])
def test_curves_are_drawn_whole_and_those_of_one_measure_on_one_scale(ylabel, monkeypatch):
  drawn = []
  monkeypatch.setattr(pictures, "_save", lambda figure, _: drawn.append(figure))
  pictures.lines([("a", (1, 2), (0.5, 1.0)), ("b", (1.0, 2.5), (3.0, 9.0))], ylabel, "none")
  limits = [axis.get_ylim() for axis in drawn[0].axes]
  assert all(low == 0 for low, _ in limits)
  assert limits[0][1] >= 1.0 and limits[1][1] >= 9.0
  assert (limits[0] == limits[1]) == bool(ylabel)


def test_image_files_are_read_at_any_size(tmp_path):
  path = tmp_path / "photo.png"
  pixels = np.random.default_rng(0).integers(0, 256, (30, 90, 3)).astype(np.uint8)
  Image.fromarray(pixels).save(path)
  assert style.read_image(str(path), 3, 45).shape == (15, 45, 3)
  assert style.read_image(str(path), 1, 300).shape == (30, 90, 1)
  (tmp_path / "text.png").write_text("no image")
  with pytest.raises(ValueError, match="image: expected an image file, got"):
    style.read_image(str(tmp_path / "text.png"), 1, 45)


def test_tables_3_and_4(tmp_path):
  layer = nsn_jax.LayerConfig(
    kernel=28, stride=1, exchange_steps=0, max_passes=1, max_filters=5, patience=1
  )
  result = train.train(
    workdir=tmp_path,
    dataset="digits",
    config=nsn_jax.NetworkConfig(layers=(layer,)),
    limit=60,
    preset="small",
    num_samples=4,
  )
  found = tables34.read(tmp_path)
  assert [row["num_filters"] for row in found["layers"]] == list(result.nsn.num_filters)
  assert [row["input"] for row in found["layers"]] == [28]
  assert found["num_images"] == 60 and all(row["paper"] is None for row in found["layers"])
  head, names, row = tables34.as_text([found]).strip().splitlines()
  assert head.startswith("small: 60 images of digits") and len(names) == len(row)
  assert row.split()[:4] == ["0", "28x28", "28x28,", "1"]
  with pytest.raises(OSError, match="expected a folder with model"):
    tables34.read(tmp_path / "none")
  (tmp_path / "alone").mkdir()
  nsn_jax.save(tmp_path / "alone" / train.MODEL, result.nsn)
  with pytest.raises(OSError, match=r"workdir: expected a training's folder, with config.json"):
    tables34.read(tmp_path / "alone")
  # The paper's churches stand beside any network of their preset, plain ones too.
  work.write_json(tmp_path / work.CONFIG, work.read_config(tmp_path) | {"preset": "church-plain"})
  assert [row["paper"] for row in tables34.read(tmp_path)["layers"]] == [273]
