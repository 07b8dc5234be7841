"""FID, KID, precision and recall, copies: scipy, loops and closed forms, on data of no symmetry."""

import jax
import numpy as np
import pytest
import scipy.linalg
from scipy.spatial import distance

from nsn_jax import metrics

KEY = jax.random.key(0)


def _features(seed: int, num_images: int = 300, width: int = 6) -> np.ndarray:
  """Correlated, skewed, off centre; another distribution for each seed."""
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(width, width))
  return (rng.gamma(2.0, size=(num_images, width)) @ mixing + rng.normal(size=width) * 3).astype(
    np.float32
  )


def _fid(real: np.ndarray, generated: np.ndarray) -> float:
  return metrics.frechet_distance(*map(metrics.feature_statistics, (real, generated)))


# statistics


def test_statistics_equal_numpys():
  features = _features(0)
  found = metrics.feature_statistics(features)
  wide = features.astype(np.float64)
  assert found.num_images == 300 and found.mean.dtype == found.covariance.dtype == np.float64
  np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=1e-12)
  np.testing.assert_allclose(found.covariance, np.cov(wide, rowvar=False), rtol=1e-10)


def test_statistics_of_parts_merge_to_those_of_the_whole():
  # Means 3,000 times the deviations: sums of squares in float32 would lose every digit.
  features = _features(0) + 3e4
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
  features = _features(0, 9000, 3)
  reference = np.cov(features.astype(np.float64), rowvar=False)
  np.testing.assert_allclose(metrics.feature_statistics(features).covariance, reference, rtol=1e-10)


# FID


@pytest.mark.parametrize("num_images", [300, 30])
def test_frechet_distance_equals_scipys_square_root(num_images):
  real, generated = _features(1, 300), _features(2, num_images)
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
  features = _features(3)
  assert _fid(features, features + np.float32(2)) == pytest.approx(6 * 4, rel=1e-6)  # float32 sums
  assert _fid(features, features) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_fewer_images_than_features():
  # Rank 9 of 50: the square root of the product is what is unstable here.
  few = _features(4, 10, 50).astype(np.float64)
  assert _fid(few, few) == pytest.approx(0, abs=1e-8 * np.trace(np.cov(few, rowvar=False)))
  shifted = few + 1
  assert _fid(few, shifted) == pytest.approx(50, rel=1e-8)


def test_frechet_distance_is_symmetric_and_turns_with_the_features():
  a, b = _features(5).astype(np.float64), _features(6).astype(np.float64)
  turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
  assert _fid(a, b) == pytest.approx(_fid(b, a), rel=1e-10)
  assert _fid(a @ turn, b @ turn) == pytest.approx(_fid(a, b), rel=1e-9)


def test_frechet_distance_errors():
  one = metrics.feature_statistics(_features(0, 1))
  two = metrics.feature_statistics(_features(0, 20))
  other = metrics.feature_statistics(_features(0, 20, 5))
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


# KID


def _discrepancy_by_loops(real: np.ndarray, generated: np.ndarray) -> float:
  def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (float(np.dot(x.astype(float), y.astype(float))) / len(x) + 1) ** 3

  def within(rows: np.ndarray) -> float:
    return np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

  between = np.mean([kernel(x, y) for x in real for y in generated])
  return within(real) + within(generated) - 2 * between


def test_kernel_distance_of_whole_sets_equals_loops():
  real, generated = _features(1, 20), _features(2, 20)
  found = metrics.kernel_distance(KEY, real, generated, num_subsets=3, subset_size=20)
  # A subset of all rows is the set, in another order.
  assert found.mean == pytest.approx(_discrepancy_by_loops(real, generated), rel=1e-9)
  assert found.deviation == pytest.approx(0, abs=1e-9 * abs(found.mean))


def test_kernel_distance_by_hand():
  # k is 8 of equal ones, 1 of orthogonal ones, 0 of opposite ones; D = 1.
  real, generated = np.array([[1.0], [1.0]]), np.array([[-1.0], [0.0]])
  # within 8 and 1, between (0 + 1 + 0 + 1) / 4.
  found = metrics.kernel_distance(KEY, real, generated, num_subsets=1, subset_size=2)
  assert found.mean == pytest.approx(8 + 1 - 2 * 0.5, rel=1e-12)


def test_kernel_distance_is_unbiased():
  rng = np.random.default_rng(7)
  one, same, other = rng.normal(size=(3, 2000, 4)) + np.array([0, 0, 0.5])[:, None, None]
  near = metrics.kernel_distance(KEY, one, same, num_subsets=60, subset_size=100)
  far = metrics.kernel_distance(KEY, one, other, num_subsets=60, subset_size=100)
  # Five standard errors of 60 estimates; a biased estimate would be 0.3 above.
  assert abs(near.mean) < 5 * near.deviation / np.sqrt(60) < 0.06
  assert far.mean > 0.3


def test_kernel_distance_draws_by_the_key():
  real, generated = _features(1), _features(2)
  arguments = {"num_subsets": 4, "subset_size": 50}
  first = metrics.kernel_distance(KEY, real, generated, **arguments)
  assert metrics.kernel_distance(KEY, real, generated, **arguments) == first
  assert metrics.kernel_distance(jax.random.key(1), real, generated, **arguments) != first
  assert first.deviation > 0


def test_kernel_distance_errors():
  real = _features(1, 20)
  with pytest.raises(ValueError, match="subset_size: expected an integer from 2 to 20, got 1000"):
    metrics.kernel_distance(KEY, real, _features(2))
  with pytest.raises(ValueError, match="num_subsets"):
    metrics.kernel_distance(KEY, real, real, num_subsets=0, subset_size=5)
  with pytest.raises(ValueError, match="generated: expected 6 features"):
    metrics.kernel_distance(KEY, real, real[:, :5], subset_size=5)
  with pytest.raises(ValueError, match="key: expected one PRNG key"):
    metrics.kernel_distance(0, real, real, subset_size=5)


# precision and recall


def _precision_recall_by_hand(real: np.ndarray, generated: np.ndarray, k: int) -> tuple:
  def share(points: np.ndarray, manifold: np.ndarray) -> float:
    radii = np.sort(distance.cdist(manifold, manifold), axis=1)[:, k]  # Column 0 is itself.
    return float((distance.cdist(points, manifold) <= radii).any(axis=1).mean())

  return share(generated, real), share(real, generated)


@pytest.mark.parametrize("num_neighbours", [1, 3, 5])
def test_precision_recall_equals_all_pairs(num_neighbours):
  every = _features(1, 500, 3)
  real, generated = every[:200], every[200:] + np.float32(0.7)
  found = metrics.precision_recall(real, generated, num_neighbours=num_neighbours)
  expected = _precision_recall_by_hand(real, generated, num_neighbours)
  assert found == pytest.approx(expected, abs=1e-12)
  assert 0.05 < found.recall < 1 and 0.05 < found.precision < 1
  assert found.precision != found.recall


def test_precision_recall_of_a_collapsed_model():
  # All samples in one dense spot of the real images: realistic, and nearly nothing is reached.
  real = np.random.default_rng(0).normal(size=(400, 2))
  generated = np.random.default_rng(1).normal(size=(400, 2)) * 0.05
  found = metrics.precision_recall(real, generated)
  assert found.precision == 1 and found.recall < 0.05
  # A swap of real and generated is another question.
  swapped = metrics.precision_recall(generated, real)
  assert swapped == (found.recall, found.precision)


def test_precision_recall_of_sets_apart_and_of_equal_sets():
  real = _features(1, 100)
  assert metrics.precision_recall(real, real + np.float32(1e3)) == (0, 0)
  assert metrics.precision_recall(real, real) == (1, 1)


def test_precision_recall_errors():
  real = _features(1, 5)
  with pytest.raises(ValueError, match="num_neighbours: expected an integer from 1 to 4, got 5"):
    metrics.precision_recall(real, _features(2))


# copies


def test_nearest_equals_all_pairs():
  training, queries = _features(1), _features(1, 420)[300:]
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
    with pytest.raises(ValueError, match="held_out: expected finite distances"):
      metrics.compare_distances(bad, np.ones(3))
