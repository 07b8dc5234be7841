"""The first GAN: maxout, dropout, losses and descent against numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from nsn_jax import baselines
from nsn_jax.baselines.adversarial import dense_networks, momentum
from tests.baselines.helpers import KEY, SHAPE, begun, small


def test_maxout_equals_numpys():
  layer = dense_networks.Maxout(units=2, pieces=3)
  x = jax.random.normal(KEY, (4, 5))
  params = layer.init(KEY, x)
  # Biases begin at 0, where a wrong one would not show.
  params = jax.tree.map(lambda w: w + jax.random.normal(KEY, w.shape), params)
  kernel, bias = (np.asarray(params["params"]["Dense_0"][name]) for name in ("kernel", "bias"))
  found = layer.apply(params, x)
  for row in range(4):
    for unit in range(2):
      pieces = [np.dot(x[row], kernel[:, i]) + bias[i] for i in range(3 * unit, 3 * unit + 3)]
      # float32 sums of 5 products.
      assert float(found[row, unit]) == pytest.approx(max(pieces), rel=1e-5, abs=1e-6)


def test_losses_by_hand():
  model = small("gan")
  real, fake = jnp.array([0.0, np.log(3.0)]), jnp.array([0.0, -np.log(3.0)])
  # Probabilities of the truth: 1/2 and 3/4 of both, of which the mean is taken.
  expected = -np.log([1 / 2, 3 / 4]).mean()
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(expected, rel=1e-6)
  # Taken for real: 1/2 and 1/4.
  expected = -np.log([1 / 2, 1 / 4]).mean()
  assert float(model.generator_loss(fake)) == pytest.approx(expected, rel=1e-6)


def test_dropout_drops_pixels_and_units_by_a_key():
  critic = dense_networks.MaxoutCritic(units=40, pieces=2)
  images = jnp.ones((100, 6, 6, 1))
  params = critic.init(KEY, images)
  # Units of 1, whatever comes in: zeros are then dropout's alone.
  params = jax.tree.map(jnp.zeros_like, params)
  for layer in ("Maxout_0", "Maxout_1"):
    params["params"][layer]["Dense_0"]["bias"] += 1.0

  @jax.jit
  def passed(params: dict, key: jax.Array) -> list[jax.Array]:
    _, kept = critic.apply(
      params, images, rngs={"dropout": key}, capture_intermediates=True, mutable=["intermediates"]
    )
    return [kept["intermediates"][f"Dropout_{layer}"]["__call__"][0] for layer in range(3)]

  first, other = passed(params, KEY), passed(params, jax.random.key(1))
  for x, again, share in zip(first, other, (0.2, 0.5, 0.5), strict=True):
    assert set(np.unique(x)) == {np.float32(0), np.float32(1 / (1 - share))}
    # Of at least 3,600 values: four standard errors are 4 * sqrt(0.25 / 3600).
    assert float((x == 0).mean()) == pytest.approx(share, abs=0.034)
    assert (x != again).any()
  # Without a key nothing is drawn.
  assert (critic.apply(params, images) == critic.apply(params, images)).all()


def test_the_critic_that_draws_is_right_on_average():
  # Of one piece a unit is linear, so that dropout's mean is the score without it.
  critic = dense_networks.MaxoutCritic(units=8, pieces=1)
  images = jax.random.uniform(KEY, (3, 4, 4, 1), minval=-1.0)
  params = jax.tree.map(lambda w: 20 * w + 0.1, critic.init(KEY, images))
  keys = jax.random.split(KEY, 4000)
  drawn = jax.jit(jax.vmap(lambda key: critic.apply(params, images, rngs={"dropout": key})))(keys)
  error = drawn.std(axis=0) / np.sqrt(len(keys))
  # Three scores, five standard errors.
  assert (jnp.abs(drawn.mean(axis=0) - critic.apply(params, images)) < 5 * error).all()
  assert (drawn.std(axis=0) > 0).all()


def test_descent_equals_numpys():
  def rate(step):
    return 0.1 / (1 + step)

  def share(step):
    return 0.5 + 0.1 * step

  optimizer = momentum.descent(rate, share)
  params = {"w": jnp.array([1.0, -2.0])}
  state = optimizer.init(params)
  expected, velocity = np.array([1.0, -2.0]), np.zeros(2)
  for step in range(3):
    gradient = {"w": 2 * params["w"] + step}
    updates, state = optimizer.update(gradient, state)
    params = jax.tree.map(jnp.add, params, updates)
    velocity = share(step) * velocity - rate(step) * (2 * expected + step)
    expected = expected + velocity
    np.testing.assert_allclose(params["w"], expected, rtol=1e-5)
  assert int(state.step) == 3


def test_rate_and_momentum_are_the_published_ones():
  model = baselines.make("gan", (28, 28, 1))
  for step in (0, 1, 1000, 125_000):
    at = jnp.float32(step)
    # 1.000004 to the power, of float32 exponents.
    assert float(model.rate(at)) == pytest.approx(0.1 / 1.000004**step, rel=1e-5)
    assert model.gain(at) == model.rate(at)  # Its momentum damps nothing.
    assert float(model.momentum(at)) == pytest.approx(0.5 + 0.2 * step / 125_000, rel=1e-6)
  assert float(model.momentum(jnp.float32(1e6))) == pytest.approx(0.7, rel=1e-6)


def test_what_it_begins_with_is_the_published():
  model = baselines.make("gan", (28, 28, 1))
  state = begun(model)
  # Layers of 1200 units; 240 units of 5 pieces.
  shapes = sorted(x.shape for x in jax.tree.leaves(state.generator) if x.ndim == 2)
  assert shapes == [(100, 1200), (1200, 784), (1200, 1200)]
  shapes = sorted(x.shape for x in jax.tree.leaves(state.critic) if x.ndim == 2)
  assert shapes == [(240, 1), (240, 1200), (784, 1200)]
  for tree, reach in ((state.generator, 0.05), (state.critic, 0.005)):
    for leaf in jax.tree.leaves(tree):
      largest = float(jnp.abs(leaf).max())
      assert largest == 0 if leaf.ndim == 1 else 0.95 * reach < largest <= np.float32(reach)
  noise = np.asarray(model.noise(KEY, 1000)).ravel()
  # Of 100,000 values: Kolmogorov's distance is above 0.006 once in a thousand.
  assert stats.kstest(noise, "norm").statistic < 0.006


def test_untrained_images_are_the_training_images_mean():
  model = small("gan")
  images = np.stack([np.full(SHAPE, value, np.uint8) for value in (0, 51, 102)])
  images[:, 0, 0] = 0, 255
  state = model.informed(jax.tree.map(jnp.zeros_like, begun(model)), images)
  made = (np.asarray(model.generate(KEY, state, 2)) + 1) / 2
  np.testing.assert_allclose(made[:, 1:], 0.2, rtol=1e-5)
  # What is always black or white stays so, and has a gradient still; of float32's tanh.
  np.testing.assert_allclose(made[:, 0, 0], [[1e-7, 1 - 1e-7]] * 2, atol=1e-7)
  assert np.isfinite(state.generator[dense_networks.LAST]["bias"]).all()


def test_training_begins_with_that_mean():
  model = small("gan", learning_rate=1e-9)
  images = np.full((5, *SHAPE), 51, np.uint8)
  state = baselines.train(KEY, model, images, num_epochs=1)
  made = (np.asarray(model.generate(KEY, state, 2)) + 1) / 2
  # Untrained layers of 6 units move log-odds by little: |w| <= 0.05.
  np.testing.assert_allclose(made, 0.2, atol=0.01)


def test_images_of_any_sides():
  model = baselines.make("gan", (1, 3, 2), width=4, latent=1, batch_size=1)
  images = jnp.zeros((1, 1, 3, 2))
  state, metrics = jax.jit(model.step)(KEY, begun(model), images)
  assert model.generate(KEY, state, 2).shape == (2, 1, 3, 2)
  # Scores near 0: all is as likely real as generated.
  assert float(metrics["critic_loss"]) == pytest.approx(np.log(2), abs=0.01)
  assert float(metrics["generator_loss"]) == pytest.approx(np.log(2), abs=0.01)
