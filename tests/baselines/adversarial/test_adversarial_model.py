"""What all GANs share: a step against plain gradients, and generating one image at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nsn_jax.baselines import AdversarialModel, GANState
from tests.baselines.helpers import KEY, begun, small


def _seen(state: GANState) -> GANState:
  """A critic of larger weights: the first GAN's are so small that all scores are alike."""
  return state._replace(critic=jax.tree.map(lambda w: 50 * w, state.critic))


def _model(name: str, **changes: object) -> AdversarialModel:
  """A small model; of the pyramid's levels the one that sees the images as they are."""
  return small("lapgan", **changes).levels[0][0] if name == "lapgan" else small(name, **changes)


@pytest.mark.parametrize("name", ["gan", "lapgan", "dcgan", "wgan", "lsgan"])
def test_a_step_equals_plain_gradients(name, images):
  model = _model(name, **({"head_start": 0, "critic_steps": 1} if name == "wgan" else {}))
  state = _seen(begun(model))
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  found, metrics = jax.jit(model.step)(KEY, state, batch)
  noise_key, critic_key, generator_key = (
    jax.random.split(KEY, 3) if model.critic_draws else (KEY, None, None)
  )
  real_key, fake_key = jax.random.split(critic_key) if model.critic_draws else (None, None)
  noise = model.given(noise_key, batch)

  def make(generator):
    return model._generate(generator, state.moments, noise)

  def critic_loss(critic):
    fake = jax.lax.stop_gradient(make(state.generator)[0])
    scores = model._judge(real_key, critic, batch), model._judge(fake_key, critic, fake)
    return model.critic_loss(*scores, batch, fake)

  loss, gradient = jax.jit(jax.value_and_grad(critic_loss))(state.critic)
  updates, _ = model.optimizer().update(gradient, state.critic_optimizer)
  critic = model.constrain(optax.apply_updates(state.critic, updates))
  met, drawn = (state.critic, fake_key) if model.at_once else (critic, generator_key)

  def generator_loss(generator):
    return model.generator_loss(model._judge(drawn, met, make(generator)[0]))

  other_loss, gradient = jax.jit(jax.value_and_grad(generator_loss))(state.generator)
  updates, _ = model.optimizer().update(gradient, state.generator_optimizer)
  generator = optax.apply_updates(state.generator, updates)
  assert float(metrics["critic_loss"]) == pytest.approx(float(loss), rel=1e-4, abs=1e-6)
  assert float(metrics["generator_loss"]) == pytest.approx(float(other_loss), rel=1e-3, abs=1e-6)
  # Adam's first step is the gradient's sign: where that is rounding, a weight may go either way by
  # the rate. All others agree.
  for one, other in ((found.critic, critic), (found.generator, generator)):
    close = jax.tree.map(lambda a, b: np.isclose(a, b, rtol=1e-3, atol=1e-6).ravel(), one, other)
    assert np.concatenate(jax.tree.leaves(close)).mean() > 0.97
  # Of the generator's running moments a tenth is the batch's.
  expected = make(state.generator)[1]
  for one, other in zip(*map(jax.tree.leaves, (found.moments, expected)), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
  assert int(found.step) == 1


@pytest.mark.parametrize("name", ["gan", "dcgan", "infogan"])
def test_a_small_step_lowers_what_each_network_minimises(name, images):
  # By Adam a weight moves by the rate, by descent by the rate times its gradient.
  rates = {"learning_rate": 0.1 if name == "gan" else 1e-4}
  model = small(name, **rates, **({"generator_rate": 1e-4} if name == "infogan" else {}))
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  state = _seen(begun(model)._replace(step=jnp.int32(1)))

  @jax.jit
  def losses(critic, generator):
    """By the same noise and dropout as the step's."""
    keys = jax.random.split(KEY, 3) if model.critic_draws else (KEY, None, None)
    drawn = jax.random.split(keys[1])[1] if model.at_once else keys[2]
    noise = model.given(keys[0], batch)
    fake, _ = model._generate(generator, state.moments, noise)
    told, _ = model.generator_objective(drawn, critic, batch, fake, noise)
    return model.critic_objective(keys[1], critic, batch, fake, noise), told

  after, metrics = jax.jit(model.step)(KEY, state, batch)
  first, _ = losses(state.critic, state.generator)
  then, before = losses(after.critic, state.generator)
  _, last = losses(after.critic, after.generator)
  if model.at_once:  # The generator's step was against the critic before it.
    _, before = losses(state.critic, state.generator)
    _, last = losses(state.critic, after.generator)
  assert then < first and last < before
  # They are what the step tells; float32, of two programs.
  assert float(metrics["critic_loss"]) == pytest.approx(float(first), rel=1e-4)
  assert float(metrics["generator_loss"]) == pytest.approx(float(before), rel=1e-4)


def test_generating_does_not_depend_on_the_others_drawn(images):
  model = small("dcgan")
  state, step = begun(model), jax.jit(model.step)
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  for index in range(3):  # So that the running moments are not the first ones.
    state, _ = step(jax.random.fold_in(KEY, index), state, batch)
  variables = {"params": state.generator, "batch_stats": state.moments}
  whole = model.generate(KEY, state, 6)
  for index, noise in enumerate(model.noise(KEY, 6)):
    alone = model._generator.apply(variables, noise[None], is_training=False)
    # The running moments normalise, not the batch's; products of other sizes round otherwise.
    np.testing.assert_allclose(whole[index], alone[0], atol=1e-5)
  assert not np.allclose(whole, model.generate(KEY, begun(model), 6), atol=1e-3)
