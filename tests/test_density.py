"""The mixture density against scipy's normals, by hand, and over a whole network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import nsn_jax
from nsn_jax import density, em
from nsn_jax.filters import Factors, Filters


def test_one_value_by_hand():
  # Two filters of variance 1 at 0 and 2, a patch at 1: both have the density exp(-1/2)/sqrt(2 pi).
  filters = Filters(jnp.array([0.0, 2.0]).reshape(2, 1, 1, 1), jnp.ones(2))
  found = density.patch_log_density(jnp.ones((1, 1, 1)), filters)
  assert float(found) == pytest.approx(-0.5 - 0.5 * np.log(2 * np.pi), rel=1e-6)


def test_against_scipys_normals():
  rng = np.random.default_rng(0)
  x, mean = rng.normal(size=(20, 2, 3, 2)), rng.normal(size=(5, 2, 3, 2))
  variance = rng.uniform(2, 30, 5)
  d = 12
  logs = np.stack(
    [
      stats.multivariate_normal(mean[j].ravel(), variance[j] / d).logpdf(x.reshape(20, d))
      for j in range(5)
    ]
  )
  expected = special.logsumexp(logs, axis=0, b=1 / 5) / d
  filters = Filters(jnp.asarray(mean, jnp.float32), jnp.asarray(variance, jnp.float32))
  found = density.patch_log_density(jnp.asarray(x, jnp.float32), filters)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # Unborn filters change nothing.
  unborn = Filters(
    jnp.concatenate([filters.mean, filters.mean]),
    jnp.concatenate([filters.variance, jnp.full(5, jnp.inf)]),
  )
  np.testing.assert_allclose(
    density.patch_log_density(jnp.asarray(x, jnp.float32), unborn), expected, rtol=1e-5
  )


def test_it_integrates_to_one():
  filters = Filters(jnp.array([-1.0, 3.0]).reshape(2, 1, 1, 1), jnp.array([0.5, 2.0]))
  x = jnp.linspace(-15, 15, 6001).reshape(-1, 1, 1, 1)
  # The trapezoid rule on smooth functions; float32 densities.
  assert np.trapezoid(np.exp(density.patch_log_density(x, filters)), dx=0.005) == pytest.approx(
    1, 1e-4
  )


def test_em_does_not_lower_it_where_clusters_are_apart():
  rng = np.random.default_rng(1)
  cluster = 20.0 * (np.arange(300) % 3).reshape(300, 1, 1, 1)
  x = jnp.asarray(rng.normal(size=(300, 1, 1, 3)) + cluster, jnp.float32)
  start = Filters(jnp.array([-5.0, 15.0, 50.0]).reshape(3, 1, 1, 1).repeat(3, 3), jnp.full(3, 90.0))
  after = em.m_step(em.e_step(x, start), start)
  assert density.patch_log_density(x, after).mean() > density.patch_log_density(x, start).mean()


def test_layer_fits_are_the_layers_own_numbers(nsn):
  images = nsn_jax.data.load("digits", split="test", limit=25).images
  found = density.layer_fits(nsn, images, batch_size=10)
  seen = [nsn_jax.whiten(images, nsn.whitening), *nsn_jax.encode(nsn, images)[:-1]]
  for fit, maps, filters, layer in zip(found, seen, nsn.filters, nsn.config.layers, strict=True):
    patches = nsn_jax.extract_patches(maps, layer.kernel, layer.stride)
    best = nsn_jax.similarity(patches, filters).max(-1).mean()
    # Batches of another size, and sums in another order.
    assert fit.mean_similarity == pytest.approx(float(best), rel=1e-4)
    share = nsn.prior.share if filters is nsn.filters[-1] else None
    mean = float(density.patch_log_density(patches, filters, share).mean())
    assert fit.log_density == pytest.approx(mean, rel=1e-4)
  # Images unlike the training's are less likely: noise.
  noise = np.asarray(jax.random.uniform(jax.random.key(0), images.shape))
  assert density.layer_fits(nsn, noise)[0].log_density < found[0].log_density


def test_no_images_and_bad_batches_are_refused(nsn):
  with pytest.raises(ValueError, match="images: expected at least one value"):
    density.layer_fits(nsn, np.zeros((0, 28, 28, 1), np.uint8))
  with pytest.raises(ValueError, match="batch_size"):
    density.layer_fits(nsn, np.zeros((1, 28, 28, 1), np.uint8), batch_size=0)
  # As `encode` refuses them.
  with pytest.raises(ValueError, match="expected windows that cover all 27 values"):
    density.layer_fits(dataclasses.replace(nsn, whitening=None), np.zeros((1, 27, 27, 1), np.uint8))
  with pytest.raises(ValueError, match="nsn: expected a network of at least one trained layer"):
    density.layer_fits(dataclasses.replace(nsn, filters=()), np.zeros((1, 28, 28, 1), np.uint8))
  with pytest.raises(ValueError, match="patches: expected"):
    density.patch_log_density(jnp.zeros((3, 1, 1, 1)), nsn.filters[0])


# factors and a whole network


def _factored() -> tuple[np.ndarray, Filters, np.ndarray]:
  """Patches, three filters of rank 2 on 12 values, and their covariances."""
  rng = np.random.default_rng(3)
  mean = rng.normal(size=(3, 2, 3, 2))
  basis = np.linalg.qr(rng.normal(size=(12, 5)))[0].T
  turn = np.linalg.qr(rng.normal(size=(3, 5, 5)))[0][:, :2]
  loading = turn * np.array([2.0, 1.0])[:, None]
  rest = np.array([0.3, 0.5, 0.8])
  w = loading @ basis
  covariance = np.einsum("krd,kre->kde", w, w) + rest[:, None, None] * np.eye(12)
  patches = rng.normal(size=(20, 2, 3, 2))
  arrays = (jnp.asarray(x, jnp.float32) for x in (loading, basis.reshape(5, 2, 3, 2), rest))
  variance = jnp.asarray(np.trace(covariance, axis1=1, axis2=2), jnp.float32)
  return patches, Filters(jnp.asarray(mean, jnp.float32), variance, Factors(*arrays)), covariance


def test_factored_filters_against_scipys_normals():
  patches, filters, covariance = _factored()
  share = np.array([0.5, 0.2, 0.3])
  logs = np.stack(
    [
      stats.multivariate_normal(np.ravel(filters.mean[j]), covariance[j]).logpdf(
        patches.reshape(20, 12)
      )
      for j in range(3)
    ],
    axis=1,
  )
  x = jnp.asarray(patches, jnp.float32)
  found = density.patch_log_density(x, filters, jnp.asarray(share, jnp.float32))
  np.testing.assert_allclose(found, special.logsumexp(logs, axis=1, b=share) / 12, rtol=1e-5)
  equal = special.logsumexp(logs, axis=1, b=1 / 3) / 12
  np.testing.assert_allclose(density.patch_log_density(x, filters), equal, rtol=1e-5)


def test_factored_densities_do_not_lose_digits_far_from_zero():
  patches, filters, _ = _factored()
  near = density.patch_log_density(jnp.asarray(patches, jnp.float32), filters)
  far = density.patch_log_density(
    jnp.asarray(patches, jnp.float32) + 100.0, filters._replace(mean=filters.mean + 100.0)
  )
  # 100 has five digits of float32 behind it.
  np.testing.assert_allclose(far, near, rtol=1e-3)


def test_images_of_another_kind_are_outliers(decoded_digits):
  nsn, images = decoded_digits
  own = density.log_density(nsn, images)
  assert own.shape == (600,) and np.isfinite(own).all()
  upside_down = density.log_density(nsn, 1.0 - images)
  from sklearn.metrics import roc_auc_score

  labels = np.repeat([0, 1], 600)
  assert roc_auc_score(labels, -np.concatenate([own, upside_down])) > 0.95
  np.testing.assert_allclose(density.log_density(nsn, images[:9], batch_size=4), own[:9], rtol=1e-5)


def test_the_last_layers_fit_is_of_the_whole_mixture(decoded_digits):
  nsn, images = decoded_digits
  last = density.layer_fits(nsn, images[:60])[-1]
  assert last.log_density == pytest.approx(
    float(density.log_density(nsn, images[:60]).mean()), 1e-5
  )
  # Not that of filters without factors and of one weight, as they stood in Table 1 once.
  plain = dataclasses.replace(nsn, prior=None, filters=_without_factors(nsn.filters))
  assert abs(density.layer_fits(plain, images[:60])[-1].log_density - last.log_density) > 0.01


def _without_factors(filters: tuple[Filters, ...]) -> tuple[Filters, ...]:
  return (*filters[:-1], filters[-1]._replace(factors=None))


def test_images_of_another_size_have_no_density(nsn):
  plain = dataclasses.replace(nsn, whitening=None)
  with pytest.raises(ValueError, match=r"^images: expected the size .* got 42x42, .* ends at 2x2$"):
    density.log_density(plain, np.zeros((1, 42, 42, 1), np.uint8))


def test_a_network_without_a_prior_has_no_density(decoded_digits):
  nsn, images = decoded_digits
  with pytest.raises(ValueError, match=r"^nsn: expected a whole network, whose prior was trained"):
    density.log_density(dataclasses.replace(nsn, prior=None), images)
