"""Small runs of the launchers that measure: scoring, sampler search, growth check, benchmark."""

import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

import nsn_jax
from experiments import benchmark, growth_check, scoring, tune_sampler
from nsn_jax import data
from nsn_jax.metrics import classifier_training

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_real_images_score_well_and_constant_ones_do_not(judge: scoring.Judge) -> None:
  real = scoring.score(judge, judge.test.images)
  blank = scoring.score(judge, np.zeros_like(judge.test.images))
  assert real.inception_score > 4.0  # ten classes, a weak judge
  assert blank.inception_score == pytest.approx(1.0, abs=1e-6)  # all rows are the same
  assert max(blank.class_shares) == 1.0 and blank.mean_pixel_ratio == 0.0
  assert sum(real.class_shares) == pytest.approx(1.0)
  assert real.mean_pixel_ratio == pytest.approx(1.0, abs=0.05)  # a fifth of the same digits
  white = (judge.train.images >= 250).mean()
  assert blank.white_excess == pytest.approx(-white) and abs(real.white_excess) < 0.005 < white


def test_a_folder_of_photographs_is_judged_by_its_own_recipe(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  rng = np.random.default_rng(0)
  for split in ("train", "test"):
    for name in ("sea", "street"):
      (tmp_path / split / name).mkdir(parents=True)
      pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
      Image.fromarray(pixels).save(tmp_path / split / name / "0.png")
  recipe = scoring._RECIPES["folder"] | {"num_epochs": 2}
  monkeypatch.setitem(scoring._RECIPES, "folder", recipe)
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "cache"))
  found = scoring.judge(f"folder:{tmp_path}")
  assert found.classifier.num_classes == 2 and len(found.train.images) == 2
  assert found.classifier.architecture == recipe["architecture"]
  # Kept: the second is the same without training.
  monkeypatch.setattr(classifier_training, "_train", lambda *_: pytest.fail("trained again"))
  again = scoring.judge(f"folder:{tmp_path}")
  assert again.test_accuracy == found.test_accuracy


@pytest.mark.parametrize(
  ("ratio", "white", "shares", "fair"),
  [
    (1.0, 0.0, (0.1,) * 10, True),
    (1.3, 0.0, (0.1,) * 10, False),
    (0.7, 0.0, (0.1,) * 10, False),
    (1.0, 0.1, (0.1,) * 10, False),
    (1.0, -0.1, (0.1,) * 10, True),
    (1.0, 0.0, (0.21, *(0.79 / 9,) * 9), False),
    (1.0, 0.0, (0.03, *(0.97 / 9,) * 9), False),
  ],
)
def test_a_saturated_or_one_sided_score_is_not_fair(
  ratio: float, white: float, shares: tuple[float, ...], fair: bool
) -> None:
  score = scoring.Score(9.0, 0.1, 0.9, shares, ratio, white)
  assert (tune_sampler.unfairness(score) == 0) == fair


def test_the_search_never_ends_below_its_start(
  nsn: nsn_jax.NSN, judge: scoring.Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(tune_sampler, "_GAMMA_FACTORS", (0.5,))
  monkeypatch.setattr(tune_sampler, "_BETAS", (2.0,))
  monkeypatch.setattr(tune_sampler, "_ALPHAS", ())
  monkeypatch.setattr(tune_sampler, "_DRAWS", (1,))
  key = jax.random.key(1)
  start, _ = scoring.score_samples(key, judge, nsn, 200)
  best, score = tune_sampler.search(key, judge, nsn, num_samples=200, rounds=1)
  assert (-tune_sampler.unfairness(score), score.inception_score) >= (
    -tune_sampler.unfairness(start),
    start.inception_score,
  )
  again, _ = scoring.score_samples(key, judge, nsn, 200, best)
  assert again == score


def test_growth_check_compares_the_same_number_of_filters(nsn: nsn_jax.NSN) -> None:
  images = data.load("digits", limit=200).images
  rows = growth_check.check(jax.random.key(0), nsn, images, seed=0, budget=10**9)
  assert [row["num_filters"] for row in rows] == list(nsn.num_filters)
  assert all(np.isfinite([row["grown"], row["kmeans"]]).all() for row in rows)
  assert rows[0]["difference"] == pytest.approx(rows[0]["grown"] - rows[0]["kmeans"])


def test_kmeans_filters_are_the_moments_of_its_clusters() -> None:
  rng = np.random.default_rng(0)
  centers = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], np.float32)
  patches = (centers[np.arange(300) % 3] + rng.normal(size=(300, 2))).astype(np.float32)
  found = growth_check.kmeans_filters(patches.reshape(-1, 1, 1, 2), 3, seed=0)
  order = np.argsort(np.asarray(found.mean).reshape(3, 2) @ [1.0, 2.0])
  mean = np.stack([patches[k::3].mean(0) for k in range(3)])
  variance = [((patches[k::3] - mean[k]) ** 2).sum(1).mean() for k in range(3)]
  # float32 sums of 100 values of up to 50
  np.testing.assert_allclose(np.asarray(found.mean).reshape(3, 2)[order], mean, atol=1e-4)
  np.testing.assert_allclose(np.asarray(found.variance)[order], variance, rtol=1e-4)


def test_benchmark_prints_a_row_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(benchmark, "SIZES", ((500, 8, 4), (300, 12, 5)))
  rows = benchmark.em_rows(repeats=1)
  assert [(row["n"], row["d"], row["k"]) for row in rows] == [(500, 8, 4), (300, 12, 5)]
  assert all(row["nsn_jax"] > 0 and row["sklearn"] > 0 for row in rows)


def test_products_of_a_sample_are_counted_by_hand(nsn: nsn_jax.NSN) -> None:
  a, b = nsn.num_filters
  expected = 2 * 2 * a * 196 + b * 4 * a + 784**2
  assert benchmark.sample_products(nsn, (28, 28)) == expected


_DEFINE = """
import importlib, pathlib
from absl import flags
for path in sorted(pathlib.Path("experiments").glob("*.py")):
  module = importlib.import_module(f"experiments.{path.stem}")
  if hasattr(module, "_define_flags"):
    before = set(flags.FLAGS)
    module._define_flags()
    for name in set(flags.FLAGS) - before:
      delattr(flags.FLAGS, name)
    print(path.stem)
"""


def test_every_launcher_defines_each_flag_once(run_python, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.chdir(ROOT)
  found = run_python(_DEFINE).split()
  assert {"train", "train_gan", "table2", "style", "occlusion", "effects", "samples"} <= set(found)
