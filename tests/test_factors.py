"""Factor filters against scikit-learn's PCA and scipy's normal densities."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.decomposition

from nsn_jax import factors, training
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Factors, Filters, check_filters
from nsn_jax.grouped import add_sums

KEY = jax.random.key(0)
WINDOW, RANK = (2, 3, 2), 3
D = 12


def _clusters(count: int = 900) -> tuple[np.ndarray, np.ndarray, Filters]:
  """Patches of three far clusters of different shapes, their members, and their filters."""
  rng = np.random.default_rng(0)
  index = rng.integers(0, 3, count)
  centers = 50.0 * rng.standard_normal((3, D))
  turns = np.linalg.qr(rng.standard_normal((3, D, D)))[0]
  scale = np.array([4.0, 3.0, 2.0] + [0.5] * (D - 3))
  patches = centers[index] + np.einsum(
    "nd,nde->ne", rng.standard_normal((count, D)) * scale, turns[index]
  )
  patches = patches.astype(np.float32)
  mean = np.stack([patches[index == j].mean(axis=0) for j in range(3)])
  square = ((patches - mean[index]) ** 2).sum(axis=1)
  variance = np.stack([square[index == j].mean() for j in range(3)])
  filters = Filters(jnp.asarray(mean.reshape(3, *WINDOW)), jnp.asarray(variance))
  return patches.reshape(count, *WINDOW), index, filters


@pytest.fixture(scope="module")
def fitted() -> tuple[np.ndarray, np.ndarray, Filters]:
  patches, index, filters = _clusters()
  basis = factors.leading_directions(KEY, factors.residuals(jnp.asarray(patches), filters)[1], 256)
  total = None
  for part in (patches[:400], patches[400:]):
    found = factors.coordinates(jnp.asarray(part), filters, basis)
    added = factors.moments(found, num_filters=3)
    total = added if total is None else add_sums(total, added)
  found = factors.fit_factors(total, basis, rank=RANK)
  return patches, index, filters._replace(factors=found)


def test_factors_are_those_of_sklearns_pca(fitted):
  patches, index, filters = fitted
  loading, basis, rest = (np.asarray(x) for x in filters.factors)
  for j in range(3):
    members = patches[index == j].reshape(-1, D).astype(np.float64)
    pca = sklearn.decomposition.PCA(RANK, svd_solver="full").fit(members)
    # sklearn divides by n - 1, maximum likelihood by n.
    share = (len(members) - 1) / len(members)
    # float32 sums of 300 squares near 16.
    assert rest[j] == pytest.approx(pca.noise_variance_ * share, rel=1e-4)
    w = loading[j] @ basis.reshape(-1, D)
    expected = (pca.components_.T * (pca.explained_variance_ * share - rest[j])) @ pca.components_
    np.testing.assert_allclose(w.T @ w, expected, atol=1e-3)


def test_loadings_are_at_right_angles_and_fall(fitted):
  loading = np.asarray(fitted[2].factors.loading)
  for own in loading:
    gram = own @ own.T
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-3)
    assert (np.diff(np.diag(gram)) < 0).all()


def test_the_reconstruction_is_the_posterior_mean(fitted):
  patches, index, filters = fitted
  found = np.asarray(factors.reconstruct(jnp.asarray(patches), filters)).reshape(-1, D)
  loading, basis, rest = (np.asarray(x, np.float64) for x in filters.factors)
  mean = np.asarray(filters.mean, np.float64).reshape(3, D)
  for i in range(0, 900, 90):
    j = index[i]
    w = loading[j] @ basis.reshape(-1, D)
    inner = np.linalg.inv(w @ w.T + rest[j] * np.eye(RANK))
    expected = mean[j] + (inner @ w @ (patches[i].reshape(D) - mean[j])) @ w
    np.testing.assert_allclose(found[i], expected, atol=1e-3)


def test_without_factors_the_reconstruction_is_the_filters_mean(fitted):
  patches, index, filters = fitted
  found = factors.reconstruct(jnp.asarray(patches), filters._replace(factors=None))
  np.testing.assert_array_equal(found, np.asarray(filters.mean)[index])


def test_more_factors_bring_patches_back_closer(fitted):
  patches, _, filters = fitted
  errors = []
  basis = filters.factors.basis
  found = factors.coordinates(jnp.asarray(patches), filters, basis)
  total = factors.moments(found, num_filters=3)
  for rank in (1, 3, 6, 11):
    more = filters._replace(factors=factors.fit_factors(total, basis, rank=rank))
    errors.append(float(jnp.mean((factors.reconstruct(jnp.asarray(patches), more) - patches) ** 2)))
  assert np.diff(errors).max() < 0


def test_filters_of_few_patches_have_finite_factors():
  patches = np.zeros((5, *WINDOW), np.float32)
  patches[4] += 9.0
  filters = Filters(jnp.asarray(patches[[0, 4, 4]]) + 0.0, jnp.asarray([1e-4, 1e-4, 2e-4]))
  basis = factors.leading_directions(KEY, factors.residuals(jnp.asarray(patches), filters)[1], 256)
  found = factors.coordinates(jnp.asarray(patches), filters, basis)
  fitted = factors.fit_factors(factors.moments(found, num_filters=3), basis, rank=2)
  assert all(np.isfinite(x).all() for x in fitted)
  assert not np.asarray(fitted.loading).any() and (np.asarray(fitted.rest) > 0).all()


@pytest.mark.parametrize("most", [40, 256])
def test_leading_directions_of_many_values_are_as_many_as_asked_for(most):
  rng = np.random.default_rng(0)
  patches = jnp.asarray(rng.standard_normal((400, 6, 6, 30)).astype(np.float32))
  filters = Filters(patches[:2], jnp.ones(2))
  found = np.asarray(
    factors.leading_directions(KEY, factors.residuals(patches, filters)[1], most)
  ).reshape(-1, 1080)
  assert len(found) == most
  np.testing.assert_allclose(found @ found.T, np.eye(most), atol=1e-5)


@pytest.mark.parametrize("as_jax", [False, True])
def test_factors_that_do_not_fit_are_refused(fitted, as_jax):
  filters = fitted[2]
  make = jnp.asarray if as_jax else np.asarray
  loading, basis, rest = (make(x) for x in filters.factors)
  wrong = {
    "loading": Factors(loading[:2], basis, rest),
    "basis": Factors(loading, basis[:, :1], rest),
    "rest": Factors(loading, basis, rest[:2]),
  }
  for changed in wrong.values():
    with pytest.raises(ValueError, match=r"^filters.factors: expected loadings \[3, r, B\]"):
      check_filters("filters", filters._replace(factors=changed))
  with pytest.raises(ValueError, match=r"^filters.factors.rest: expected finite numbers above 0"):
    check_filters("filters", filters._replace(factors=Factors(loading, basis, 0 * rest)))
  with pytest.raises(ValueError, match=r"^filters.factors.loading: expected finite"):
    check_filters("filters", filters._replace(factors=Factors(loading * np.nan, basis, rest)))


def test_a_layer_below_the_last_gets_its_factors_too():
  images = np.random.default_rng(0).random((60, 8, 8, 1)).astype(np.float32)
  layers = tuple(
    LayerConfig(
      kernel=k, stride=s, threshold=-0.5, growth_patches=300, exchange_steps=0, rank=r, max_passes=2
    )
    for k, s, r in ((4, 2, 2), (3, 1, 0))
  )
  config = training.NetworkConfig(layers=layers, exact_decoders=False)
  nsn = training.fit(KEY, images, config)
  assert nsn.filters[0].factors is not None and nsn.filters[0].factors.rank == 2
  assert nsn.filters[1].factors is None
  ranked = dataclasses.replace(layers[1], rank=1_000_000)  # more than there are directions
  nsn = training.fit(KEY, images, dataclasses.replace(config, layers=(layers[0], ranked)))
  assert nsn.filters[1].factors is not None
  assert 0 < nsn.filters[1].factors.rank < nsn.filters[1].num_values
