"""The kernel distance against loops over all pairs, by hand, and what it is on average."""

import jax
import numpy as np
import pytest

from nsn_jax import metrics
from tests.metrics.helpers import random_features

KEY = jax.random.key(0)


def _discrepancy_by_loops(real: np.ndarray, generated: np.ndarray) -> float:
  def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (float(np.dot(x.astype(float), y.astype(float))) / len(x) + 1) ** 3

  def within(rows: np.ndarray) -> float:
    return np.mean([kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j])

  between = np.mean([kernel(x, y) for x in real for y in generated])
  return within(real) + within(generated) - 2 * between


def test_kernel_distance_of_whole_sets_equals_loops():
  real, generated = random_features(1, 20), random_features(2, 20)
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
  real, generated = random_features(1), random_features(2)
  arguments = {"num_subsets": 4, "subset_size": 50}
  first = metrics.kernel_distance(KEY, real, generated, **arguments)
  assert metrics.kernel_distance(KEY, real, generated, **arguments) == first
  assert metrics.kernel_distance(jax.random.key(1), real, generated, **arguments) != first
  assert first.deviation > 0


def test_kernel_distance_errors():
  real = random_features(1, 20)
  with pytest.raises(ValueError, match="subset_size: expected an integer from 2 to 20, got 1000"):
    metrics.kernel_distance(KEY, real, random_features(2))
  with pytest.raises(ValueError, match="num_subsets"):
    metrics.kernel_distance(KEY, real, real, num_subsets=0, subset_size=5)
  with pytest.raises(ValueError, match="generated: expected 6 features"):
    metrics.kernel_distance(KEY, real, real[:, :5], subset_size=5)
  with pytest.raises(ValueError, match="key: expected one PRNG key"):
    metrics.kernel_distance(0, real, real, subset_size=5)
