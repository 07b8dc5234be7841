"""The VAE: its loss by hand and by numpy, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
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
