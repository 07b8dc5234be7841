"""Similarity (Eq 1) against float64, on data that float32 finds hard."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nsn_jax.filters import Filters, feature_map, similarity

WINDOW = (3, 3, 2)
NUM_VALUES = 18
NUM_PATCHES, NUM_FILTERS = 64, 5

_similarity = jax.jit(similarity)


def _oracle(patches: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
  """Eq 1 in float64, by differences."""
  x, mu = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (patches, mean))
  v = np.asarray(variance, np.float64)
  distance = ((x[:, None] - mu[None]) ** 2).sum(axis=2)
  return -distance / (2 * v) - np.log(v) / 2


def _bound(patches: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
  """The error that the docstring states: 2**-23 (||x||^2 + ||mu||^2) / v about the centre."""
  x, mu = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (patches, mean))
  x, mu = x - mu.mean(axis=0), mu - mu.mean(axis=0)
  norms = (x**2).sum(axis=1)[:, None] + (mu**2).sum(axis=1)[None]
  return 2.0**-23 * norms / np.asarray(variance, np.float64)


def _data(offset: float, spread: float, variance: float) -> tuple[np.ndarray, Filters]:
  """Patches near their filters, the filters `spread` apart a value, all about `offset`."""
  rng = np.random.default_rng(0)
  mean = (offset + spread * rng.standard_normal((NUM_FILTERS, *WINDOW))).astype(np.float32)
  v = (variance * rng.uniform(0.5, 2.0, NUM_FILTERS)).astype(np.float32)
  owner = rng.integers(NUM_FILTERS, size=NUM_PATCHES)
  noise = np.sqrt(v[owner] / NUM_VALUES).reshape(-1, 1, 1, 1)
  noise = noise * rng.standard_normal((NUM_PATCHES, *WINDOW))
  return (mean[owner] + noise).astype(np.float32), Filters(jnp.asarray(mean), jnp.asarray(v))


# Offset, spread and variance: plain; far from 0; tight; tight and far from 0; tight, far apart.
HARD = [(0.0, 1.0, 1.0), (100.0, 1.0, 1.0), (0.0, 1.0, 1e-4), (100.0, 1.0, 1e-3), (0.0, 10.0, 1e-4)]


@pytest.mark.parametrize(("offset", "spread", "variance"), HARD)
def test_similarity_equals_float64(offset, spread, variance):
  patches, filters = _data(offset, spread, variance)
  found = np.asarray(_similarity(patches, filters), np.float64)
  expected = _oracle(patches, *filters[:2])
  # Four times the docstring's bound, which is "about", as it counts one rounding; and the rounding
  # of the result itself, and of log(v).
  tolerance = 4 * _bound(patches, *filters[:2]) + 2.0**-22 * (1 + np.abs(expected))
  assert (np.abs(found - expected) <= tolerance).all()


def test_similarity_without_the_centre_would_fail():
  # The same product about 0, on the data far from 0: the form that the centre is there to prevent.
  patches, filters = _data(100.0, 1.0, 1e-3)
  x, mu = patches.reshape(-1, NUM_VALUES), np.asarray(filters.mean).reshape(-1, NUM_VALUES)
  distance = (x * x).sum(1)[:, None] - 2 * x @ mu.T + (mu * mu).sum(1)
  v = np.asarray(filters.variance)
  naive = -distance / (2 * v) - np.log(v) / 2
  expected = _oracle(patches, *filters[:2])
  own = expected.max(axis=1) > -10  # Patches near their filters, where the digits matter.
  assert own.all()
  error = np.abs(naive.max(axis=1) - expected.max(axis=1))
  ours = np.abs(np.asarray(_similarity(patches, filters)).max(axis=1) - expected.max(axis=1))
  assert np.median(error) > 1.0 > 100 * np.median(ours)


def test_similarity_by_hand():
  # ||x - mu||^2 = 9 + 16 = 25; -25 / (2 * 4) - log(4) / 2.
  filters = Filters(jnp.array([[[[3.0, 0.0]]], [[[0.0, 4.0]]]]), jnp.array([4.0, 1.0]))
  found = similarity(jnp.array([[[0.0, 4.0]]]), filters)
  # float32: one rounding of numbers up to 25 / 8.
  np.testing.assert_allclose(found, [-25 / 8 - np.log(4) / 2, 0.0], atol=1e-6)


def test_similarity_is_a_log_density_over_the_number_of_values():
  patches, filters = _data(0.0, 1.0, 1.0)
  mean = np.asarray(filters.mean, np.float64).reshape(NUM_FILTERS, -1)
  variance = np.asarray(filters.variance, np.float64)
  log_density = np.stack(
    [
      scipy.stats.multivariate_normal(m, v / NUM_VALUES * np.eye(NUM_VALUES)).logpdf(
        patches.reshape(-1, NUM_VALUES).astype(np.float64)
      )
      for m, v in zip(mean, variance, strict=True)
    ],
    axis=1,
  )
  constant = np.log(2 * np.pi / NUM_VALUES) / 2  # of D alone
  # Similarities are up to 100 here, and float32 has seven digits.
  np.testing.assert_allclose(
    _similarity(patches, filters), log_density / NUM_VALUES + constant, rtol=1e-5, atol=1e-5
  )


def test_similarity_is_highest_at_the_mean():
  _, filters = _data(0.0, 1.0, 1.0)
  at_mean = np.asarray(similarity(filters.mean, filters))
  np.testing.assert_allclose(np.diag(at_mean), -0.5 * np.log(filters.variance), atol=1e-5)
  assert (at_mean.max(axis=0) == np.diag(at_mean)).all()


def test_similarity_does_not_change_with_a_translation():
  patches, filters = _data(0.0, 1.0, 1.0)
  # Whole numbers of 2**-10, so that adding 64 rounds nothing.
  patches = np.round(patches * 1024) / 1024
  mean = np.round(np.asarray(filters.mean) * 1024) / 1024
  filters = Filters(jnp.asarray(mean), filters.variance)
  moved = Filters(filters.mean + 64.0, filters.variance)
  # The centre itself is rounded at 64: 2**-18 in values of 1, and so twice that in a similarity
  # of up to 100.
  np.testing.assert_allclose(
    _similarity(patches + 64.0, moved), _similarity(patches, filters), rtol=1e-5, atol=1e-4
  )


def test_similarity_follows_a_permutation_of_filters_and_patches():
  patches, filters = _data(0.0, 1.0, 1.0)
  rng = np.random.default_rng(1)
  rows, order = rng.permutation(NUM_PATCHES), rng.permutation(NUM_FILTERS)
  permuted = Filters(filters.mean[order], filters.variance[order])
  # The centre is summed in another order: rounding only.
  np.testing.assert_allclose(
    _similarity(patches[rows], permuted),
    _similarity(patches, filters)[rows][:, order],
    rtol=1e-5,
    atol=1e-5,
  )


def test_similarity_gradient_is_the_closed_form():
  patches, filters = _data(0.0, 1.0, 1.0)
  gradient = jax.grad(lambda x: jnp.sum(similarity(x, filters)[..., 1]))(jnp.asarray(patches))
  expected = -(patches - np.asarray(filters.mean[1])) / np.asarray(filters.variance[1])
  np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)  # of up to 10, in float32


@pytest.mark.parametrize("shape", [(), (1,), (4, 16), (2, 4, 8), (0,)])
def test_similarity_takes_any_leading_axes(shape):
  patches, filters = _data(0.0, 1.0, 1.0)
  count = int(np.prod(shape))
  found = similarity(jnp.asarray(patches[:count].reshape(*shape, *WINDOW)), filters)
  assert found.shape == (*shape, NUM_FILTERS)
  expected = _oracle(patches, *filters[:2])[:count].reshape(found.shape)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_unborn_filters_are_infinitely_unlike():
  patches, filters = _data(0.0, 1.0, 1.0)
  bank = Filters(
    jnp.concatenate([filters.mean, jnp.full([2, *WINDOW], 1e3)]),  # Whatever the mean may be.
    jnp.concatenate([filters.variance, jnp.full([2], jnp.inf)]),
  )
  found = np.asarray(_similarity(patches, bank))
  assert (found[:, NUM_FILTERS:] == -np.inf).all()
  # The centre is of the born filters alone, but summed over other shapes: rounding.
  np.testing.assert_allclose(
    found[:, :NUM_FILTERS], _similarity(patches, filters), rtol=1e-5, atol=1e-5
  )
  assert (np.asarray(feature_map(patches, bank))[:, NUM_FILTERS:] == 0).all()
  none_born = Filters(bank.mean[-2:], bank.variance[-2:])
  assert (np.asarray(similarity(patches, none_born)) == -np.inf).all()


def test_feature_map_is_the_sigmoid():
  patches, filters = _data(0.0, 1.0, 1.0)
  expected = 1 / (1 + np.exp(-_oracle(patches, *filters[:2])))
  np.testing.assert_allclose(feature_map(patches, filters), expected, rtol=1e-4, atol=1e-6)


def test_filters_count_themselves():
  _, filters = _data(0.0, 1.0, 1.0)
  assert (filters.num_filters, filters.num_values) == (NUM_FILTERS, NUM_VALUES)


def test_similarity_errors():
  _, filters = _data(0.0, 1.0, 1.0)
  with pytest.raises(ValueError, match=r"^patches: expected \[\.\.\., 3, 3, 2\].*got shape \(7, 2"):
    similarity(jnp.zeros([7, 2, 2, 2]), filters)
