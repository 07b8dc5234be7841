"""The mixture density against scipy's normals, by hand, and over a whole network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import nsn_jax
from nsn_jax import density, em
from nsn_jax.filters import Filters


def test_one_value_by_hand():
  # Two filters of variance 1 at 0 and 2, a patch at 1: both have the density exp(-1/2)/sqrt(2 pi).
  filters = Filters(jnp.array([0.0, 2.0]).reshape(2, 1, 1, 1), jnp.ones(2))
  found = density.log_density(jnp.ones((1, 1, 1)), filters)
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
  found = density.log_density(jnp.asarray(x, jnp.float32), filters)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # Unborn filters change nothing.
  unborn = Filters(
    jnp.concatenate([filters.mean, filters.mean]),
    jnp.concatenate([filters.variance, jnp.full(5, jnp.inf)]),
  )
  np.testing.assert_allclose(
    density.log_density(jnp.asarray(x, jnp.float32), unborn), expected, rtol=1e-5
  )


def test_it_integrates_to_one():
  filters = Filters(jnp.array([-1.0, 3.0]).reshape(2, 1, 1, 1), jnp.array([0.5, 2.0]))
  x = jnp.linspace(-15, 15, 6001).reshape(-1, 1, 1, 1)
  # The trapezoid rule on smooth functions; float32 densities.
  assert np.trapezoid(np.exp(density.log_density(x, filters)), dx=0.005) == pytest.approx(1, 1e-4)


def test_em_does_not_lower_it_where_clusters_are_apart():
  rng = np.random.default_rng(1)
  cluster = 20.0 * (np.arange(300) % 3).reshape(300, 1, 1, 1)
  x = jnp.asarray(rng.normal(size=(300, 1, 1, 3)) + cluster, jnp.float32)
  start = Filters(jnp.array([-5.0, 15.0, 50.0]).reshape(3, 1, 1, 1).repeat(3, 3), jnp.full(3, 90.0))
  after = em.m_step(em.e_step(x, start), start)
  assert density.log_density(x, after).mean() > density.log_density(x, start).mean()


def test_layer_fits_are_the_layers_own_numbers(nsn):
  images = nsn_jax.data.load("digits", split="test", limit=25).images
  found = density.layer_fits(nsn, images, batch_size=10)
  seen = [nsn_jax.whiten(images, nsn.whitening), *nsn_jax.encode(nsn, images)[:-1]]
  for fit, maps, filters, layer in zip(found, seen, nsn.filters, nsn.config.layers, strict=True):
    patches = nsn_jax.extract_patches(maps, layer.kernel, layer.stride)
    best = nsn_jax.similarity(patches, filters).max(-1).mean()
    # Batches of another size, and sums in another order.
    assert fit.mean_similarity == pytest.approx(float(best), rel=1e-4)
    mean = float(density.log_density(patches, filters).mean())
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
    density.log_density(jnp.zeros((3, 1, 1, 1)), nsn.filters[0])
