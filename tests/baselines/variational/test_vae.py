"""The VAE: its loss by hand and by numpy, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsn_jax import baselines
from nsn_jax.baselines import binary_pixels
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, SHAPE, begun, small


def test_vae_loss_of_a_network_of_zeros_by_hand():
  model = small("vae")
  state = jax.tree.map(jnp.zeros_like, begun(model))
  images = jax.random.uniform(KEY, (4, *SHAPE), minval=-1.0)
  reconstruction, divergence = model.negative_elbo(KEY, state.encoder, state.decoder, images)
  # Every pixel has probability 1/2, and the posterior is the prior.
  assert float(reconstruction) == pytest.approx(np.prod(SHAPE) * np.log(2), rel=1e-6)
  assert float(divergence) == 0


def test_vae_divergence_equals_numpys():
  model = small("vae")
  state = begun(model)
  images = jax.random.uniform(KEY, (4, *SHAPE), minval=-1.0)
  _, found = model.negative_elbo(KEY, state.encoder, state.decoder, images)
  codes = np.asarray(
    model._encoder.apply(state.encoder, (images.reshape(4, -1) + 1) / 2), np.float64
  )
  mean, variance = codes[:, :3], np.exp(codes[:, 3:])
  expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1).mean()
  assert float(found) == pytest.approx(expected, rel=1e-5)


def test_an_images_bits_are_its_own_part_of_the_bound(images):
  model = small("vae")
  state = begun(model)
  bits = np.asarray(model.bits(KEY, state, to_signed(images)))
  assert bits.shape == (23,)
  # Sums of float32 in another order.
  assert bits.mean() == pytest.approx(model.held_out_density(KEY, state, images).bits, rel=1e-6)
  # Grey is log 2 a value, one bit, of a decoder of zeros; and what one image is, others do not see.
  zeros = jax.tree.map(jnp.zeros_like, state)
  np.testing.assert_allclose(model.bits(KEY, zeros, to_signed(images)), 1.0, rtol=1e-6)
  others = images.copy()
  others[1:] = 0
  np.testing.assert_allclose(model.bits(KEY, state, to_signed(others))[0], bits[0], rtol=1e-5)


def test_the_vae_learns(images):
  rng = np.random.default_rng(0)
  # Two kinds of images, so that there is something to code.
  pattern = rng.integers(0, 2, (2, *SHAPE)) * 255
  data = pattern[rng.integers(0, 2, 200)].astype(np.uint8)
  losses = []
  baselines.train(
    KEY,
    small("vae", hidden=32, learning_rate=5e-3),
    data,
    num_epochs=15,
    on_epoch=lambda epoch, _: losses.append(sum(epoch.metrics.values())),
  )
  # An untrained one needs 128 log 2 = 89; two kinds of images need log 2, and what is not yet sure.
  assert losses[-1] < 8 < 20 < losses[0] < 89
  assert np.mean(losses[-3:]) < np.mean(losses[4:7]) < losses[0]


def test_log_weights_equal_scipys(images):
  model = small("vae")
  encoder, decoder, _ = begun(model)
  seen = to_signed(images[:4])
  found = jax.jit(model.log_weights, static_argnums=4)(KEY, encoder, decoder, seen, 2)
  pixels = np.asarray((seen.reshape(4, -1) + 1) / 2, np.float64)
  mean, log_variance = np.split(model._encoder.apply(encoder, pixels.astype(np.float32)), 2, axis=1)
  scale = np.exp(log_variance / 2)
  latent = mean + scale * np.asarray(jax.random.normal(KEY, (2, 4, 3)))
  p = 1 / (1 + np.exp(-np.asarray(model._decoder.apply(decoder, latent), np.float64)))
  expected = (pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).sum(axis=-1)
  expected += stats.norm.logpdf(latent).sum(-1) - stats.norm.logpdf(latent, mean, scale).sum(-1)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # The reconstruction is that of the bound of one draw.
  one = model.log_weights(KEY, encoder, decoder, seen, 1)[0]
  reconstruction, _ = model.losses(KEY, encoder, decoder, seen)
  noise = np.asarray(jax.random.normal(KEY, (4, 3)))
  ratio = stats.norm.logpdf(mean + scale * noise).sum(1)
  ratio -= stats.norm.logpdf(noise).sum(1) - log_variance.sum(1) / 2
  np.testing.assert_allclose(one, ratio - reconstruction, rtol=1e-5)


def test_steps_of_several_draws_climb_the_importance_weighted_bound(images):
  model = small("vae", num_importance=3, binarise=True)
  state = begun(model)
  batch = to_signed(images[:5])
  after, metrics = jax.jit(model.step)(KEY, state, batch)
  pixels_key, key = jax.random.split(KEY)
  seen = binary_pixels.binarised(pixels_key, batch)

  def loss(both):
    weights = model.log_weights(key, *both, seen, 3)
    return -jnp.log(jnp.exp(weights - weights.max()).mean(axis=0)).mean() - weights.max()

  value, gradient = jax.jit(jax.value_and_grad(loss))((state.encoder, state.decoder))
  assert metrics.keys() == {"negative_bound"}
  assert float(metrics["negative_bound"]) == pytest.approx(float(value), rel=1e-5)
  # Adam's first step is the rate against the gradient's sign, where that is not rounding.
  moved = jax.tree.map(lambda a, b: a - b, after[:2], state[:2])
  for step, slope in zip(*map(jax.tree.leaves, (moved, gradient)), strict=True):
    sure = np.abs(slope) > 1e-3
    np.testing.assert_allclose(step[sure], -1e-3 * np.sign(slope)[sure], rtol=1e-2)


def test_densities_say_what_they_are_of(images):
  grey, binary = small("vae"), small("vae", binarise=True)
  state = begun(grey)
  assert grey.held_out_density(KEY, state, images).kind == "bound, bits a value"
  found = binary.held_out_density(KEY, state, images)
  assert found.kind == "bound, bits a value, of binarised pixels"
  many = grey.importance_density(KEY, state, images, num_draws=50)
  assert many.kind == "k=50 importance-weighted bound, bits a value, of binarised pixels"
  assert many.bits < found.bits  # It is tighter.
  assert many == binary.importance_density(KEY, state, images, num_draws=50)
  with pytest.raises(ValueError, match="num_draws: expected an integer of at least 1, got 0"):
    grey.importance_density(KEY, state, images, num_draws=0)
