"""Statistics of features and their Frechet distance: numpy, scipy's square root, closed forms."""

import numpy as np
import pytest
import scipy.linalg

from nsn_jax import metrics
from tests.metrics.helpers import random_features


def _fid(real: np.ndarray, generated: np.ndarray) -> float:
  return metrics.frechet_distance(*map(metrics.feature_statistics, (real, generated)))


# statistics


def test_statistics_equal_numpys():
  features = random_features(0)
  found = metrics.feature_statistics(features)
  wide = features.astype(np.float64)
  assert found.num_images == 300 and found.mean.dtype == found.covariance.dtype == np.float64
  np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=1e-12)
  np.testing.assert_allclose(found.covariance, np.cov(wide, rowvar=False), rtol=1e-10)


def test_statistics_of_parts_merge_to_those_of_the_whole():
  # Means 3,000 times the deviations: sums of squares in float32 would lose every digit.
  features = random_features(0) + 3e4
  whole = metrics.feature_statistics(features)
  parts = [metrics.feature_statistics(rows) for rows in np.split(features, [1, 70])]
  for order in ((0, 1, 2), (2, 0, 1)):
    first, *rest = (parts[i] for i in order)
    for part in rest:
      first = metrics.merge_statistics(first, part)
    assert first.num_images == 300
    np.testing.assert_allclose(first.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(first.scatter, whole.scatter, rtol=1e-8)
  narrow = metrics.feature_statistics(features[:, :1])
  with pytest.raises(ValueError, match="b: expected"):
    metrics.merge_statistics(whole, narrow)


def test_statistics_do_not_depend_on_the_blocks():
  features = random_features(0, 9000, 3)
  reference = np.cov(features.astype(np.float64), rowvar=False)
  np.testing.assert_allclose(metrics.feature_statistics(features).covariance, reference, rtol=1e-10)


# FID


@pytest.mark.parametrize("num_images", [300, 30])
def test_frechet_distance_equals_scipys_square_root(num_images):
  real, generated = random_features(1, 300), random_features(2, num_images)
  left, right = (np.cov(x.astype(np.float64), rowvar=False) for x in (real, generated))
  apart = real.mean(axis=0, dtype=np.float64) - generated.mean(axis=0, dtype=np.float64)
  root = scipy.linalg.sqrtm(left @ right).real
  expected = apart @ apart + np.trace(left + right - 2 * root)
  assert _fid(real, generated) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_diagonal_normals_by_hand():
  # Rows +-a on each axis: mean m, variances 2 a^2 / 3 of 4 rows, no covariance.
  def rows(a: float, b: float, mean: float) -> np.ndarray:
    return np.array([[a, 0], [-a, 0], [0, b], [0, -b]]) + mean

  # Deviations apart by sqrt(2 / 3) * (1, 2), means by (3, 3).
  assert _fid(rows(1, 5, 0), rows(2, 3, 3)) == pytest.approx(18 + 2 / 3 * (1 + 4), rel=1e-12)


def test_frechet_distance_of_a_shift_is_its_square():
  features = random_features(3)
  assert _fid(features, features + np.float32(2)) == pytest.approx(6 * 4, rel=1e-6)  # float32 sums
  assert _fid(features, features) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_fewer_images_than_features():
  # Rank 9 of 50: the square root of the product is what is unstable here.
  few = random_features(4, 10, 50).astype(np.float64)
  assert _fid(few, few) == pytest.approx(0, abs=1e-8 * np.trace(np.cov(few, rowvar=False)))
  shifted = few + 1
  assert _fid(few, shifted) == pytest.approx(50, rel=1e-8)


def test_frechet_distance_is_symmetric_and_turns_with_the_features():
  a, b = random_features(5).astype(np.float64), random_features(6).astype(np.float64)
  turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
  assert _fid(a, b) == pytest.approx(_fid(b, a), rel=1e-10)
  assert _fid(a @ turn, b @ turn) == pytest.approx(_fid(a, b), rel=1e-9)


def test_frechet_distance_errors():
  one = metrics.feature_statistics(random_features(0, 1))
  two = metrics.feature_statistics(random_features(0, 20))
  other = metrics.feature_statistics(random_features(0, 20, 5))
  with pytest.raises(ValueError, match="generated: expected at least 2 images, got 1"):
    metrics.frechet_distance(two, one)
  with pytest.raises(ValueError, match=r"generated: expected 6 features, as of .* images, got 5"):
    metrics.frechet_distance(two, other)
  for bad, message in (
    (np.zeros((3, 2, 2)), r"features: expected features \[N, D\], neither 0, got shape \(3,"),
    (np.zeros((0, 2)), "neither 0"),
    (np.full((3, 2), np.nan), "NaN or infinity in 3 rows"),
    (np.zeros((3, 2), complex), "expected real numbers"),
  ):
    with pytest.raises(ValueError, match=message):
      metrics.feature_statistics(bad)
