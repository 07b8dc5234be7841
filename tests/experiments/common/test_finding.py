"""The finder: another network than the judge, on half of the images; and how it ranks settings."""

import pathlib

import jax
import numpy as np
import pytest

from experiments.common import finding, judging
from experiments.common.halves import halves
from nsn_jax import data, metrics
from nsn_jax.metrics.classifier import cache
from nsn_jax.metrics.classifier import training as classifier_training
from tests.experiments import helpers


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
  """What classifiers are asked for; each learns of a few images only."""
  found = []

  def trained(key, name, train, test, *, progress, **options):
    found.append((key, name, train, test, options))
    few = (part[:40] for part in train)
    classifier = metrics.train_classifier(key, *few, **options | {"num_epochs": 1})
    return metrics.TrainedClassifier(classifier, 0.5, False)

  monkeypatch.setattr(metrics, "trained_classifier", trained)
  return found


def test_it_has_nothing_of_the_judge(asked: list[tuple]) -> None:
  train = data.load("digits")
  judging.judge("digits")
  found = finding.finder("digits", train.images)
  (judge_key, _, judges, _, of_judge), (key, _, finders, tests, of_finder) = asked
  assert (jax.random.key_data(judge_key) != jax.random.key_data(key)).any()
  assert "architecture" not in of_judge
  assert of_finder["architecture"] not in (None, metrics.Architecture())
  assert len(judges[0]) == len(train.images) and len(finders[0]) == len(train.images) // 2
  np.testing.assert_array_equal(finders[0], train.images[halves(len(train.images)).first])
  np.testing.assert_array_equal(finders[1], train.labels[halves(len(train.images)).first])
  np.testing.assert_array_equal(tests[0], data.load("digits", split="test").images)
  # Samples are compared with the same half.
  features = found.classifier.outputs(finders[0]).features
  np.testing.assert_array_equal(found.features, features)
  assert found.statistics.num_images == len(features)


def test_the_judge_is_the_one_that_judged_what_is_kept(asked: list[tuple]) -> None:
  judging.judge("digits")
  ((key, name, train, _, options),) = asked
  # The cache's entry on the day when Table 2's rows of the baselines were made.
  assert f"{name}-{cache._digest(key, *train, options)}" == "digits-4802cd7898e37f9e3a86aa4b"


def test_photographs_without_labels_are_compared_with_themselves_by_a_finder_of_scenes(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  rng = np.random.default_rng(0)
  helpers.write_scenes(rng, tmp_path, 3)
  monkeypatch.setitem(judging._RECIPES, "folder", judging._RECIPES["folder"] | {"num_epochs": 1})
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "cache"))
  faces = rng.integers(0, 256, (30, 16, 16, 3)).astype(np.uint8)
  found = finding.finder(f"folder:{tmp_path}", faces, image_size=16)
  assert found.classifier.num_classes == 2
  assert found.classifier.architecture not in (
    judging.recipe(f"folder:{tmp_path}")["architecture"],
    finding._recipe("mnist")["architecture"],
  )
  assert found.features.shape == (15, 128)
  # Kept: the second is the same without training.
  monkeypatch.setattr(classifier_training, "_train", lambda *_: pytest.fail("trained again"))
  again = finding.finder(f"folder:{tmp_path}", faces, image_size=16)
  np.testing.assert_array_equal(again.features, found.features)


def test_real_images_cost_less_than_noise_and_than_a_few_of_them(finder: finding.Finder) -> None:
  held_out = data.load("digits", split="test").images
  noise = np.random.default_rng(0).integers(0, 256, held_out.shape).astype(np.uint8)
  few = np.repeat(held_out[:12], 30, axis=0)
  real, bad, narrow = (finding.likeness(finder, images) for images in (held_out, noise, few))
  assert real.cost < narrow.cost < bad.cost
  assert real.precision > 0.8 and real.recall > 0.8
  assert narrow.precision > 0.8 and narrow.recall < 0.3
  assert bad.recall < 0.1


@pytest.mark.parametrize(
  ("better", "worse"),
  [
    ((10.0, 0.9, 0.9), (11.0, 1.0, 1.0)),  # FID decides where both are reached
    ((10.0, 0.9, 0.5), (10.0, 0.9, 0.4)),
    ((10.0, 0.5, 0.9), (10.0, 0.4, 0.9)),
    ((11.0, 0.9, 0.8), (10.0, 0.9, 0.1)),  # recall is worth some FID
    ((10.0, 0.9, 0.0), (21.0, 0.9, 0.9)),  # and no more than it is
    ((20.0, 0.9, 0.0), (41.0, 1.0, 1.0)),  # whatever the scale
  ],
)
def test_the_rule(better: tuple[float, float, float], worse: tuple[float, float, float]) -> None:
  assert finding.Likeness(*better).cost < finding.Likeness(*worse).cost


def test_too_few_images_are_told_of() -> None:
  images = data.load("digits", limit=19).images
  with pytest.raises(ValueError, match=r"images: expected at least 20 training images.* got 19"):
    finding.finder("digits", images)
