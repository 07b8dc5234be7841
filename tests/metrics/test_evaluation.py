"""A row of Table 2: real images beat noise by every score, copies are told, opponents compared."""

import jax
import numpy as np
import pytest

from experiments.common import judging
from nsn_jax.metrics import evaluation


@pytest.fixture(scope="module")
def against(judge: judging.Judge) -> evaluation.Reference:
  return evaluation.reference(judge.classifier, judge.train.images, judge.test.images)


def test_real_images_beat_noise_in_every_score(against, judge: judging.Judge):
  rng = np.random.default_rng(0)
  held_out = judge.test.images
  noise = rng.integers(0, 256, held_out.shape).astype(np.uint8)
  key = jax.random.key(0)
  real, bad = (evaluation.evaluate(key, against, x) for x in (held_out, noise))
  assert real.num_images == len(held_out)
  assert real.inception_score > 1.5 * bad.inception_score
  assert real.fid < bad.fid / 20 and real.kid < bad.kid / 20
  assert real.precision > 0.8 > 0.1 > bad.precision and real.recall > 0.8 > 0.1 > bad.recall
  assert real.copy_ratio == pytest.approx(1, abs=0.02) and bad.copy_ratio > 1.5
  assert real.suspected_copies < 0.03


def test_copies_of_training_images_are_told(against):
  copies = evaluation.evaluate(jax.random.key(0), against, against.train[:300])
  assert copies.suspected_copies == 1 and copies.copy_ratio < 0.05


def test_images_that_come_class_by_class_are_scored_as_mixed_ones(against, judge: judging.Judge):
  # As the files of a labelled folder are read.
  order = np.argsort(judge.test.labels, kind="stable")
  mixed, by_class = (
    evaluation.evaluate(jax.random.key(0), against, images)
    for images in (judge.test.images, judge.test.images[order])
  )
  slack = 3 * mixed.inception_score_deviation / 10**0.5
  assert by_class.inception_score == pytest.approx(mixed.inception_score, abs=slack)
  assert by_class.inception_score > 4


def test_too_few_images_are_told_of(against):
  few = against.train[: evaluation.LEAST_IMAGES - 1]
  message = "images: expected at least 10, one for each split of the inception score, got 9"
  with pytest.raises(ValueError, match=message):
    evaluation.evaluate(jax.random.key(0), against, few)
  assert evaluation.evaluate(jax.random.key(0), against, against.train[:10]).num_images == 10
  with pytest.raises(ValueError, match="score_samples: expected at least 10"):
    evaluation.check_count("score_samples", 9)
