"""Nearest training images against all pairs by scipy, and copies that are hidden among samples."""

import numpy as np
import pytest
from scipy.spatial import distance

from nsn_jax import metrics
from tests.metrics.helpers import random_features


def test_nearest_equals_all_pairs():
  training, queries = random_features(1), random_features(1, 420)[300:]
  found = metrics.nearest(training, queries)
  every = distance.cdist(queries.astype(float), training.astype(float))
  np.testing.assert_array_equal(found.position, every.argmin(axis=1))
  np.testing.assert_allclose(found.distance, every.min(axis=1), rtol=1e-5)  # float32 inside


def test_nearest_takes_images():
  images = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3)).astype(np.uint8)
  found = metrics.nearest(images, images[[7, 3]])
  assert found.position.tolist() == [7, 3]
  # Of values up to 255 over 60 pixels, in float32.
  np.testing.assert_allclose(found.distance, 0, atol=0.1)


def test_relative_distances_by_hand():
  # From 0: the nearest at 1, the next ten at 2, ..., 11, on average 6.5; the last is not counted.
  training = np.arange(1.0, 101.0)[:, None]
  np.testing.assert_allclose(metrics.nearest(training, [[0.0]]).relative, 1 / 6.5, rtol=1e-6)
  few = metrics.nearest(training[:3], [[0.0], [1.0]])
  np.testing.assert_allclose(few.relative, [1 / 2.5, 0], atol=1e-6)


def test_relative_distances_of_one_image_or_equal_ones():
  one = metrics.nearest(np.zeros((1, 4)), np.ones((2, 4)))
  assert one.relative.tolist() == [1, 1] and one.distance.tolist() == [2, 2]
  assert metrics.nearest(np.zeros((20, 4)), np.zeros((1, 4))).relative.tolist() == [1]


def test_relative_distances_tell_copies_from_smooth_images():
  rng = np.random.default_rng(0)
  training, held_out, fresh = rng.normal(size=(3, 400, 64))

  def suspected(queries):
    real, found = metrics.nearest(training, held_out), metrics.nearest(training, queries)
    by_distance, relative = (
      metrics.compare_distances(getattr(real, name), getattr(found, name)).suspected
      for name in ("distance", "relative")
    )
    return by_distance, relative

  smooth, copied = suspected(fresh / 4), suspected(training + 0.1 * fresh)
  assert smooth[0] == 1 and smooth[1] < 0.03  # Nearer to everything, to nothing above all.
  assert copied == (1, 1)


def test_copies_are_found():
  rng = np.random.default_rng(0)
  training, held_out, fresh = rng.normal(size=(3, 400, 8))
  honest = metrics.copy_check(training, held_out, fresh)
  assert honest.ratio == pytest.approx(1, abs=0.1) and honest.suspected < 0.03
  half = np.concatenate([fresh[:200], training[:200] + 1e-3])
  copied = metrics.copy_check(training, held_out, half)
  assert copied.suspected == pytest.approx(0.5, abs=0.02)
  assert copied.generated < honest.generated and copied.held_out == honest.held_out
  # Held-out and generated are not the same question.
  assert metrics.copy_check(training, half, held_out).suspected < 0.01 < copied.suspected


def test_copy_check_errors():
  images = np.zeros((4, 3, 3, 1))
  for shape in ((4, 3, 4, 1), (4, 1, 3, 3)):  # The second is as many values.
    with pytest.raises(ValueError, match=r"queries: expected rows of shape \(3, 3, 1\)"):
      metrics.copy_check(images, images, np.zeros(shape))
  for bad in (np.zeros(0), np.zeros((2, 2)), np.array([1.0, np.nan])):
    with pytest.raises(ValueError, match="held_out: expected distances"):
      metrics.compare_distances(bad, np.ones(3))
  with pytest.raises(ValueError, match="generated: expected finite distances"):
    metrics.compare_distances(np.ones(3), np.array([1.0, np.inf]))


def test_equal_images_are_at_a_distance_of_exactly_0():
  # Far from the origin, where a product of rows loses a difference in rounding.
  images = np.random.default_rng(0).integers(200, 256, (50, 28, 28, 1)).astype(np.uint8)
  assert metrics.nearest(images, images).distance.tolist() == [0] * 50


@pytest.mark.parametrize("share", [0.05, 0.6, 1.0])
def test_training_images_among_the_held_out_hide_no_copies(share):
  rng = np.random.default_rng(0)
  training, held_out = rng.normal(size=(2, 400, 8))
  copies = np.concatenate([training[:100], training[100:200] + 1e-3])
  honest = metrics.copy_check(training, held_out, copies)
  count = int(share * 400)
  mixed = np.concatenate([training[:count], held_out[count:]])
  found = metrics.copy_check(training, mixed, copies)
  assert found.overlap == pytest.approx(share) and honest.overlap == 0
  if share < 1:
    assert found.suspected == honest.suspected == 1
    assert found.held_out == pytest.approx(honest.held_out, rel=0.2)
  else:  # Nothing to compare with: copies to the value are still told.
    assert found.suspected == 0.5 and np.isnan(found.ratio)
