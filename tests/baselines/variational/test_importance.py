"""The importance-weighted bound: by numpy, growing with k, and against an exact density."""

import dataclasses
import itertools
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsn_jax.baselines.variational import importance
from nsn_jax.baselines.variational.auto_encoder import AutoEncoder
from nsn_jax.baselines.variational.variational_model import VAEState
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY

#: Of the linear model: its columns are orthogonal, so that its posterior is a diagonal normal.
_WEIGHTS = np.array([[0.5, 0.2], [0.5, -0.2], [-0.3, 0.4], [-0.3, -0.4]])
_BIAS, _NOISE = np.array([0.1, -0.2, 0.0, 0.3]), 0.4
_PIXELS = np.random.default_rng(0).integers(0, 256, (103, 2, 2, 1)).astype(np.uint8)


def test_the_bound_equals_numpys():
  log_weights = np.random.default_rng(0).normal(size=(7, 5)) * 3
  expected = np.log(np.exp(log_weights).mean(axis=0))
  np.testing.assert_allclose(importance.bound(log_weights.astype(np.float32)), expected, rtol=1e-5)
  # Weights that are 0 or infinite in float32; by hand.
  far = jnp.array([[-2000.0, 900.0], [-2000.0, 900.0 + math.log(3)]])
  np.testing.assert_allclose(importance.bound(far), [-2000, 900 + math.log(2)], rtol=1e-6)


def test_one_draw_is_its_own_bound():
  log_weights = jax.random.normal(KEY, (1, 6))
  np.testing.assert_array_equal(importance.bound(log_weights), log_weights[0])


def test_the_bound_grows_with_the_draws():
  weights = np.random.default_rng(0).normal(size=6).astype(np.float32)
  means = []
  for k in range(1, 7):
    # All draws of k of six weights: the mean over them is exact.
    subsets = np.array(list(itertools.combinations(weights, k))).T
    means.append(float(importance.bound(subsets).mean()))
  assert (np.diff(means) > 1e-3).all()
  assert means[0] == pytest.approx(weights.mean(), rel=1e-5)
  assert means[-1] == pytest.approx(np.log(np.exp(weights).mean()), rel=1e-5)


def test_its_gradient_is_of_normalised_weights():
  log_weights = jax.random.normal(KEY, (5, 3))
  found = jax.grad(lambda x: importance.bound(x).sum())(log_weights)
  weights = np.exp(np.asarray(log_weights, np.float64))
  np.testing.assert_allclose(found, weights / weights.sum(axis=0), rtol=1e-5)  # Eq 14


@pytest.mark.parametrize("num_draws", [1, 4, 8, 10])
def test_chunks_are_one_bound(num_draws):
  chunks = []

  def draw(key, num):
    return 3 * jax.random.normal(key, (num, 2))

  for chunk, first in enumerate(range(0, num_draws, 4)):
    chunks.append(draw(jax.random.fold_in(KEY, chunk), min(4, num_draws - first)))
  found = importance.bound_of_many(KEY, draw, num_draws, 4)
  np.testing.assert_allclose(found, importance.bound(jnp.concatenate(chunks)), rtol=1e-5)


def test_numbers_of_draws_that_are_refused():
  for name, numbers in (("num_draws", (0, 1)), ("at_once", (1, 0))):
    with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
      importance.bound_of_many(KEY, lambda *_: None, *numbers)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Linear(AutoEncoder):
  """Probabilistic PCA: pixels are normal around a linear map of the latent."""

  title: ClassVar[str] = "linear"
  of: ClassVar[str] = "pixels"

  latent: int = 2

  @property
  def _encoder(self):
    return nn.Dense(2 * self.latent)

  @property
  def _decoder(self):
    return nn.Dense(4)

  def encoder_input(self, images):
    return images.reshape(len(images), -1)

  def reconstruction(self, decoder, latent, images):
    rest = (self.encoder_input(images) - self._decoder.apply(decoder, latent)) / _NOISE
    return (rest**2 / 2 + math.log(_NOISE) + math.log(2 * math.pi) / 2).sum(axis=-1)

  def mean_images(self, decoder, latent):
    return self._decoder.apply(decoder, latent).reshape(-1, *self.image_shape)

  def observed(self, images):
    return to_signed(images)


def _linear(shift: float, log_spread: float) -> tuple[_Linear, VAEState]:
  """The model, its posterior's mean moved and its log-variance raised."""
  precision = 1 + (_WEIGHTS**2).sum(axis=0) / _NOISE**2
  to_mean = _WEIGHTS / _NOISE**2 / precision
  kernel = np.concatenate([to_mean, np.zeros((4, 2))], axis=1)
  bias = np.concatenate([shift - _BIAS @ to_mean, log_spread - np.log(precision)])
  weights = {"kernel": _WEIGHTS.T, "bias": _BIAS}
  params = [{"params": x} for x in ({"kernel": kernel, "bias": bias}, weights)]
  params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
  return _Linear(image_shape=(2, 2, 1)), VAEState(*params, None)


def _exact() -> np.ndarray:
  """Log-density of the images, in nats [N]."""
  covariance = _WEIGHTS @ _WEIGHTS.T + _NOISE**2 * np.eye(4)
  signed = np.asarray(to_signed(_PIXELS), np.float64).reshape(-1, 4)
  return stats.multivariate_normal(_BIAS, covariance).logpdf(signed)


def test_every_weight_of_the_exact_posterior_is_the_density():
  model, (encoder, decoder, _) = _linear(0.0, 0.0)
  log_weights = jax.jit(model.log_weights, static_argnums=4)(
    KEY, encoder, decoder, to_signed(_PIXELS), 3
  )
  # float32 sums of terms up to 40.
  np.testing.assert_allclose(log_weights, np.tile(_exact(), (3, 1)), rtol=1e-4, atol=1e-4)


def test_the_bound_comes_near_the_exact_density():
  model, state = _linear(0.3, 0.4)
  bits = -_exact().mean() / (4 * math.log(2))
  # One draw loses the divergence from the exact posterior, here in closed form, on average.
  precision = 1 + (_WEIGHTS**2).sum(axis=0) / _NOISE**2
  divergence = ((np.exp(0.4) + 0.3**2 * precision - 1 - 0.4) / 2).sum() / (4 * math.log(2))
  one = np.mean([model.held_out_density(k, state, _PIXELS).bits for k in jax.random.split(KEY, 20)])
  # Of 2,060 draws: five standard errors of 0.3 bits a value over their root.
  assert one == pytest.approx(bits + divergence, abs=0.035) and divergence > 0.1
  many = model.importance_density(KEY, state, _PIXELS, num_draws=4_000)
  # An image's error is 1 / sqrt(4,000) nats, the mean's a tenth of it.
  assert many.bits == pytest.approx(bits, abs=2e-3)
  assert many.kind == "k=4000 importance-weighted bound, bits a value, of pixels"
