"""The classifier that judges a data set, and what it calls fair."""

import pathlib

import numpy as np
import pytest

from experiments.common import judging
from nsn_jax import metrics
from nsn_jax.metrics.classifier import training as classifier_training
from tests.experiments import helpers


def test_real_images_score_well_and_constant_ones_do_not(judge: judging.Judge) -> None:
  real = judging.score(judge, judge.test.images)
  blank = judging.score(judge, np.zeros_like(judge.test.images))
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
  helpers.write_scenes(rng, tmp_path, 1)
  recipe = judging._RECIPES["folder"] | {"num_epochs": 2}
  monkeypatch.setitem(judging._RECIPES, "folder", recipe)
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "cache"))
  found = judging.judge(f"folder:{tmp_path}")
  assert found.classifier.num_classes == 2 and len(found.train.images) == 2
  assert found.classifier.architecture == recipe["architecture"]
  # Kept: the second is the same without training.
  monkeypatch.setattr(classifier_training, "_train", lambda *_: pytest.fail("trained again"))
  again = judging.judge(f"folder:{tmp_path}")
  assert again.test_accuracy == found.test_accuracy


def test_a_fractalnet_is_trained_as_the_classifier_but_for_what_is_its_own() -> None:
  plain, fractal = judging.recipe("fashion_mnist"), judging.recipe("fashion_mnist", "fractal")
  assert plain.items() < fractal.items() and "architecture" not in plain
  assert fractal["architecture"] == metrics.FractalArchitecture()
  # Rows of a table are told apart by it.
  names = {judging.title("mnist", "mnist", 0.99, network) for network in judging.NETWORKS}
  assert len(names) == len(judging.NETWORKS)
  with pytest.raises(ValueError, match="network: expected one of classifier, fractal, got 'x'"):
    judging.recipe("mnist", "x")


def test_the_order_of_images_is_no_part_of_their_score(judge: judging.Judge) -> None:
  order = np.argsort(judge.test.labels, kind="stable")
  mixed = judging.score(judge, judge.test.images)
  by_class = judging.score(judge, judge.test.images[order])
  slack = 3 * mixed.deviation / 10**0.5
  assert by_class.inception_score == pytest.approx(mixed.inception_score, abs=slack)
  assert by_class.class_shares == mixed.class_shares
  assert by_class == judging.score(judge, judge.test.images[order])


def test_too_few_images_are_told_of(judge: judging.Judge) -> None:
  with pytest.raises(ValueError, match=r"images: expected at least 10, one for each split.* got 9"):
    judging.score(judge, judge.test.images[:9])
  with pytest.raises(ValueError, match=r"test images of digits: expected at least 10, .* got 9"):
    judging.check_held_out("digits", judge.test.images[:9])
