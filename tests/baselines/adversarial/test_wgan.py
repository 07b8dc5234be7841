"""WGAN: its losses and its optimizer by hand, when it clips and whom it lets wait."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.baselines.helpers import KEY, begun, same, small


def test_wgan_losses_by_hand():
  model = small("wgan")
  real, fake = jnp.array([1.0, 3.0]), jnp.array([0.0, 5.0])
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(0.5)
  assert float(model.generator_loss(fake)) == pytest.approx(-2.5)


def test_wgan_clips_and_waits(images):
  model = small("wgan", head_start=4, critic_steps=3, clip=0.05)
  step = jax.jit(model.step)
  state = begun(model)
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  trained = []
  for index in range(10):
    after, _ = step(jax.random.fold_in(KEY, index), state, batch)
    largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(after.critic))
    assert largest <= np.float32(0.05)
    assert not same(after.critic, state.critic)
    if not same(after.generator, state.generator):
      trained.append(index)
    assert not same(after.moments, state.moments)  # They run along where the generator waits.
    state = after
  # Every third step, once four are past.
  assert trained == [5, 8]


def test_rmsprop_of_small_gradients_by_hand():
  # Of one gradient g: rate * g / (sqrt(0.01 g^2) + 1e-8), as Torch has it, here nearly 10 rates.
  optimizer = small("wgan", learning_rate=5e-5).optimizer()
  gradient = jnp.array([1e-6, -1e-3])
  update, _ = optimizer.update(gradient, optimizer.init(jnp.zeros(2)))
  np.testing.assert_allclose(update, [-5e-5 / 0.11, 5e-5 / 0.10001], rtol=1e-5)
