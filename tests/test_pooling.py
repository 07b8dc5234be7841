"""Pooled covariances against scipy's Wishart densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nsn_jax import factors, pooling
from nsn_jax.config import LayerConfig
from nsn_jax.density import patch_log_density
from nsn_jax.factor_training import train_factors
from nsn_jax.factors import Moments
from nsn_jax.filters import Filters
from nsn_jax.progress import Log
from nsn_jax.stream import MapStream

B = 4


def _moments(seed: int, counts: list[int], scales: list[float], size: int = B) -> Moments:
  """Moments of normal patches, each filter's about their own mean."""
  rng = np.random.default_rng(seed)
  second = np.zeros((len(counts), size, size))
  for j, (count, scale) in enumerate(zip(counts, scales, strict=True)):
    rows = scale * rng.standard_normal((count, size)) * np.linspace(2.0, 1.0, size)
    rows -= rows.mean(axis=0) if count else 0.0
    second[j] = rows.T @ rows
  square = np.trace(second, axis1=1, axis2=2)
  return Moments(*(jnp.asarray(x, jnp.float32) for x in (counts, second, square)))


def test_the_evidence_is_that_of_scipys_wishart_densities():
  found = _moments(0, [7, 9, 20], [1.0, 1.5, 0.7])
  second, free = np.asarray(found.second, np.float64), np.asarray(found.count) - 1.0
  tried = np.array([1.0, 5.0, 40.0])
  pooled = second.sum(axis=0) / free.sum()
  at = pooled * 1.3  # Bayes' rule holds at every covariance
  expected = []
  for value in tried:
    degrees, total = value + B + 1.0, 0.0
    for s, m in zip(second, free, strict=True):
      prior = scipy.stats.invwishart.logpdf(at, degrees, value * pooled)
      likelihood = scipy.stats.wishart.logpdf(s, m, at)
      posterior = scipy.stats.invwishart.logpdf(at, degrees + m, value * pooled + s)
      total += prior + likelihood - posterior
    expected.append(total)
  got = pooling.evidence(second, free, tried)
  # Up to a constant. A millionth of the trace is added to the pooled covariance.
  np.testing.assert_allclose(np.diff(got), np.diff(expected), rtol=1e-4)


def test_two_filters_by_hand():
  second = jnp.asarray([[[4.0]], [[0.0]]])
  pooled = pooling.pool(Moments(jnp.asarray([3.0, 3.0]), second, jnp.asarray([6.0, 2.0])), 2.0)
  # Four free patches in all, of variance 1 along the direction and 2 as a whole.
  np.testing.assert_allclose(pooled.count, [4.0, 4.0])
  np.testing.assert_allclose(pooled.second[:, 0, 0], [6.0, 2.0])
  np.testing.assert_allclose(pooled.square, [10.0, 6.0])


def test_filters_that_vary_alike_lean_on_each_other_and_others_do_not():
  alike = pooling.find_pooling(_moments(1, [6] * 60, [1.0] * 60))
  apart = pooling.find_pooling(_moments(1, [60] * 60, list(np.geomspace(0.1, 10.0, 60))))
  assert alike > 50 * apart
  assert apart < 20


def test_what_coordinates_the_patches_have_does_not_matter():
  found = _moments(2, [9] * 20, list(np.linspace(0.5, 2.0, 20)))
  mixing = np.random.default_rng(0).standard_normal((B, B)).astype(np.float32)
  mixed = found._replace(second=mixing @ found.second @ mixing.T)
  # One step of those that are tried, for float32's rounding of what is mixed.
  assert pooling.find_pooling(mixed) == pytest.approx(pooling.find_pooling(found), rel=0.11)


def test_pooled_factors_are_likelier_on_held_out_patches_of_few():
  rng = np.random.default_rng(3)
  size, per_filter, spread = 12, 5, np.linspace(3.0, 0.3, 12)
  centers = 40.0 * rng.standard_normal((30, size))
  index = np.repeat(np.arange(30), per_filter)
  train, held = (
    (centers[index] + rng.standard_normal((len(index), size)) * spread)
    .astype(np.float32)
    .reshape(-1, 2, 3, 2)
    for _ in range(2)
  )
  mean = np.stack([train[index == j].mean(axis=0) for j in range(30)])
  variance = np.stack([((train[index == j] - mean[j]) ** 2).sum() / per_filter for j in range(30)])
  filters = Filters(jnp.asarray(mean), jnp.asarray(variance, jnp.float32))
  basis = jnp.asarray(np.eye(size, dtype=np.float32).reshape(size, 2, 3, 2))
  found = factors.moments(factors.coordinates(jnp.asarray(train), filters, basis), num_filters=30)
  densities = []
  for each in (found, pooling.pool(found, pooling.find_pooling(found))):
    own = filters._replace(factors=factors.fit_factors(each, basis, rank=3))
    densities.append(float(jnp.mean(patch_log_density(jnp.asarray(held)[:, None, None], own))))
  assert densities[1] > densities[0] + 0.5


def test_training_pools_where_it_is_asked_to():
  rng = np.random.default_rng(5)
  centers = 30.0 * rng.standard_normal((3, 2, 2, 3))
  index = np.repeat(np.arange(3), [1, 7, 9])
  maps = (centers[index] + rng.standard_normal((17, 2, 2, 3))).astype(np.float32)
  mean = np.stack([maps[index == j].mean(axis=0) for j in range(3)])
  filters = Filters(jnp.asarray(mean), jnp.ones(3))
  found = {}
  for pooled in (False, True):
    config = LayerConfig(kernel=2, stride=1, rank=2, pooled=pooled)
    stream = MapStream(maps)
    trained, members = train_factors(
      jax.random.key(0), stream, filters, config, Log(0, None), 10**9
    )
    np.testing.assert_array_equal(members, index)
    found[pooled] = np.linalg.norm(np.asarray(trained.factors.loading), axis=(1, 2))
  # A filter of one patch has nothing of its own that varies.
  assert found[False][0] == 0 and found[True][0] > 1
  assert (found[True] > 1).all()


@pytest.mark.parametrize("counts", [[0, 0], [1, 1], [1, 0, 5], [8]])
def test_filters_of_few_patches_or_none_have_finite_moments(counts):
  found = _moments(4, counts, [1.0] * len(counts))
  value = pooling.find_pooling(found)
  assert 1.0 <= value <= 1e5
  for got in pooling.pool(found, value):
    assert np.isfinite(got).all()


def test_patches_that_do_not_vary_have_the_least():
  found = Moments(jnp.asarray([5.0, 4.0]), jnp.zeros((2, B, B)), jnp.zeros(2))
  assert pooling.find_pooling(found) == 1.0
  assert not np.asarray(pooling.pool(found, 1.0).second).any()
