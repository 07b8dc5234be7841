"""The convolutional VAE: its pixels' distribution by scipy, its shapes, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsn_jax import baselines
from nsn_jax.baselines.variational import discretised_logistic
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, SHAPE, begun, small

_VALUES = np.arange(256)


def _log_probabilities(mean: float, scale: float) -> np.ndarray:
  """Of all 256 values, by differences of distribution functions in float64."""
  edges = np.concatenate([[-np.inf], (_VALUES[1:] - 0.5) / 127.5 - 1, [np.inf]])
  logistic = stats.logistic(mean, scale)
  # From the side where the function is small.
  below, above = np.diff(logistic.cdf(edges)), -np.diff(logistic.sf(edges))
  with np.errstate(divide="ignore"):
    return np.log(np.where(edges[1:] < mean, below, above))


@pytest.mark.parametrize(
  ("mean", "scale"), [(0.0, 1.0), (0.3, 0.05), (-1.4, 0.2), (0.1, 0.004), (1.0, 30.0), (9.0, 0.1)]
)
def test_pixels_are_discretised_logistics(mean, scale):
  values = to_signed(_VALUES)
  found = discretised_logistic.log_probability(values, mean, jnp.float32(np.log(scale)))
  # float32 of up to 500 nats, of bins that are 1/255 of a scale and more.
  expected = _log_probabilities(mean, scale)
  np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
  assert np.exp(np.asarray(found, np.float64)).sum() == pytest.approx(1, abs=1e-4)


def test_far_values_have_finite_gradients():
  log_probability = discretised_logistic.log_probability
  slope = jax.grad(lambda mean, log_scale: log_probability(1.0, mean, log_scale), (0, 1))
  for mean, log_scale in ((-1.0, -7.0), (0.99, -7.0), (0.0, 8.0)):
    assert np.isfinite(slope(mean, log_scale)).all()
  # By hand: log sigmoid(-x) of a large x falls as x = (1 - 1/255 - mean) / scale.
  assert slope(-1.0, -5.0)[0] == pytest.approx(np.exp(5.0), rel=1e-4)


def test_bits_are_scipys(images):
  model = small("convvae")
  encoder, decoder, optimizer = begun(model)
  decoder = jax.tree.map(jnp.zeros_like, decoder)
  decoder["params"]["log_scale"] = jnp.log(jnp.array([0.5, 2.0]))
  encoder = jax.tree.map(jnp.zeros_like, encoder)
  state = baselines.VAEState(encoder, decoder, optimizer)
  # All means are 0 and the posterior is the prior; each channel has its own scale.
  each = [-_log_probabilities(0.0, scale)[images[..., c]] for c, scale in enumerate((0.5, 2.0))]
  expected = np.stack(each, axis=-1).mean(axis=(1, 2, 3)) / np.log(2)
  found = jax.jit(model.bits)(KEY, state, to_signed(images))
  np.testing.assert_allclose(found, expected, rtol=1e-4)
  density = model.held_out_density(KEY, state, images)
  assert density.kind == "bound, bits a value, of 8-bit pixels"
  assert density.bits == pytest.approx(expected.mean(), rel=1e-4)
  # Where all draws weigh the same, many say what one says.
  many = model.importance_density(KEY, state, images, num_draws=7)
  assert many.kind == "k=7 importance-weighted bound, bits a value, of 8-bit pixels"
  assert many.bits == pytest.approx(expected.mean(), rel=1e-4)


def test_an_image_and_its_draws_do_not_see_the_others(images):
  model = small("convvae")
  encoder, decoder, _ = begun(model)
  latent = jax.random.normal(KEY, (2, 3, model.latent))
  seen = to_signed(images[:3])
  found = model.reconstruction(decoder, latent, seen)
  assert found.shape == (2, 3)
  for k, n in ((0, 0), (1, 2)):
    alone = model.reconstruction(decoder, latent[k, n][None], seen[n][None])
    np.testing.assert_allclose(found[k, n], alone[0], rtol=1e-5)
  posterior = model.posterior(encoder, seen)
  alone = model.posterior(encoder, seen[1:2])
  np.testing.assert_allclose(posterior.mean[1], alone.mean[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64, 3), (28, 28, 1), (27, 27, 1), (5, 5, 2)])
def test_images_of_many_shapes(shape):
  model = baselines.make("convvae", shape, width=2, latent=5)
  state = jax.eval_shape(model.init, KEY)
  drawn = jax.eval_shape(lambda key, state: model.generate(key, state, 3), KEY, state)
  assert drawn.shape == (3, *shape)


def test_parameters_counted_by_hand():
  model = baselines.make("convvae", (28, 28, 1))
  state = jax.eval_shape(model.init, KEY)
  encoder = 16 * 32 + 32 + 16 * 32 * 64 + 64 + 16 * 64 * 128 + 128 + (16 * 128 + 1) * 128
  assert baselines.num_parameters(state.encoder) == encoder
  decoder = 65 * 16 * 128 + 16 * 128 * 64 + 64 + 16 * 64 * 32 + 32 + 16 * 32 + 1
  assert baselines.num_parameters(model.generating(state)) == decoder + 1  # and the scale


def test_signals_keep_their_size_at_the_beginning():
  # He's rule: through four halvings and doublings neither network fades or grows.
  model = baselines.make("convvae", (64, 64, 3), width=4)

  @jax.jit
  def spreads(key):
    encoder, decoder = model.first(key)
    codes = model.posterior(encoder, jax.random.normal(key, (4, 64, 64, 3))).mean
    latent = jax.random.normal(key, (4, 64))
    _, kept = model._decoder.apply(decoder, latent, capture_intermediates=True)
    return codes.std(), kept["intermediates"]["Doubling_2"]["__call__"][0].std()

  # Weights of 0.02, as the GANs begin with, would leave less than 0.1.
  assert all(0.3 < float(spread) < 3 for spread in spreads(KEY))


def test_the_convolutional_vae_learns():
  rng = np.random.default_rng(0)
  pattern = rng.integers(0, 256, (2, *SHAPE))
  kinds = rng.integers(0, 2, 200)
  data = np.clip(pattern[kinds] + rng.integers(-4, 5, (200, *SHAPE)), 0, 255).astype(np.uint8)
  found = []
  model = small("convvae", width=8, learning_rate=5e-3)
  state = baselines.train(
    KEY, model, data, num_epochs=12, on_epoch=lambda epoch, _: found.append(epoch.metrics)
  )
  # Uniform values need 8 bits each; noise of nine values log2 9 = 3.2.
  bits = [sum(x.values()) / np.prod(SHAPE) / np.log(2) for x in found]
  assert 3.1 < bits[-1] < 5 < 7 < bits[0]
  # Each kind of image comes back from its code.
  latent = model.posterior(state.encoder, to_signed(data[:50])).mean
  means = np.asarray(model.mean_images(state.decoder, latent))
  assert np.abs(means - to_signed(pattern[kinds[:50]])).mean() < 0.1
