"""The semi-supervised GAN: K + 1 classes by SciPy, who counts in which loss, how it begins."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from nsn_jax import baselines
from nsn_jax.baselines.adversarial import semi_supervised_networks as layers
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, begun, empty, same, small

LABELS = jnp.array([2, -1, 0, -1, 1])


def test_losses_are_those_of_one_class_more():
  model = small("semigan")
  rng = np.random.default_rng(0)
  real, fake = 3 * rng.normal(size=(5, 3)), 3 * rng.normal(size=(4, 3))
  # The logit of "generated" is 0.
  of_real, of_fake = (special.softmax(np.insert(x, 3, 0.0, axis=1), axis=1) for x in (real, fake))
  expected = -(np.log(1 - of_real[[1, 3], 3]).mean() + np.log(of_fake[:, 3]).mean()) / 2
  found = model.unsupervised_loss(jnp.asarray(real), jnp.asarray(fake), LABELS)
  assert float(found) == pytest.approx(expected, rel=1e-5)  # float32
  known = of_real[[0, 2, 4], [2, 0, 1]] / (1 - of_real[[0, 2, 4], 3])
  found = model.supervised_loss(jnp.asarray(real), LABELS)
  assert float(found) == pytest.approx(-np.log(known).mean(), rel=1e-5)


def test_losses_by_hand():
  model = small("semigan", num_classes=2)
  # Two logits of 0: an image is of each of three classes with 1 / 3.
  none = jnp.zeros((2, 2))
  found = model.unsupervised_loss(none, none, jnp.array([-1, -1]))
  assert float(found) == pytest.approx(-(np.log(2 / 3) + np.log(1 / 3)) / 2, rel=1e-6)
  assert float(model.supervised_loss(none, jnp.array([0, 1]))) == pytest.approx(np.log(2), rel=1e-6)
  # Means (2, 3) of the others and (1, 1) of generated ones, and a labelled one that is far.
  real = jnp.array([[1.0, 2.0], [3.0, 4.0], [99.0, 99.0]])
  fake = jnp.array([[0.0, 0.0], [2.0, 2.0]])
  found = model.matching_loss(real, fake, jnp.array([-1, -1, 0]))
  assert float(found) == pytest.approx((1 + 4) / 2)


def test_who_counts_in_which_loss():
  model = small("semigan")
  real, fake = jax.random.normal(KEY, (2, 5, 3))
  known = np.array(LABELS) >= 0
  slope = np.abs(jax.grad(model.supervised_loss)(real, LABELS)).max(axis=1)
  np.testing.assert_array_equal(slope > 0, known)
  slope = np.abs(jax.grad(model.unsupervised_loss)(real, fake, LABELS)).max(axis=1)
  np.testing.assert_array_equal(slope > 0, ~known)
  slope = np.abs(jax.grad(model.matching_loss)(real, fake, LABELS)).max(axis=1)
  np.testing.assert_array_equal(slope > 0, ~known)
  nobody, everybody = jnp.full(5, -1), jnp.array([0, 1, 2, 0, 1])
  assert float(model.supervised_loss(real, nobody)) == 0
  assert not np.abs(jax.grad(model.supervised_loss)(real, nobody)).any()
  # Where all are labelled they stand for the others.
  for loss in (model.unsupervised_loss, model.matching_loss):
    assert float(loss(real, fake, everybody)) == pytest.approx(
      float(loss(real, fake, nobody)), rel=1e-6
    )


@pytest.mark.parametrize("is_scale_trained", [False, True])
def test_normalised_weights(is_scale_trained):
  layer = layers.NormalisedDense(3, is_scale_trained)
  x = 5 * jax.random.normal(KEY, (7, 4)) + 2
  first, params = layer.init_with_output(KEY, x)
  # The rows that it begins with: float32 means of 7.
  np.testing.assert_allclose(first.mean(axis=0), 0.0, atol=1e-5)
  np.testing.assert_allclose(first.std(axis=0), 1.0, rtol=1e-5)
  weights = {name: np.asarray(value) for name, value in params["params"].items()}
  other = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
  for unit in range(3):
    v = weights["direction"][:, unit]
    expected = weights["scale"][unit] * (other @ v) / np.sqrt(v @ v) + weights["bias"][unit]
    np.testing.assert_allclose(layer.apply(params, other)[:, unit], expected, rtol=1e-4, atol=1e-5)
  # A direction has no length.
  longer = {"params": params["params"] | {"direction": 7 * params["params"]["direction"]}}
  np.testing.assert_allclose(
    layer.apply(longer, other), layer.apply(params, other), rtol=1e-5, atol=1e-5
  )
  slope = jax.grad(lambda params: (layer.apply(params, other) ** 2).sum())(params)["params"]
  assert (np.abs(slope["scale"]) > 0).all() == is_scale_trained
  assert (np.abs(slope["direction"]) > 0).all() and (np.abs(slope["bias"]) > 0).all()
  # Rows that are all alike have no variance to begin with, and do not break it.
  alike, _ = layer.init_with_output(KEY, jnp.ones((4, 4)))
  np.testing.assert_allclose(alike, 0.0, atol=1e-3)


def test_noise_of_pixels_and_units():
  images = jnp.ones((1, 1, 1, 1))
  for widths in ((), (1,)):
    critic = layers.ClassCritic((1, 1, 1), widths, 1)
    params = jax.tree.map(jnp.ones_like, critic.init(KEY, images))
    if widths:
      params["params"]["NormalisedDense_0"]["bias"] += 5.0  # Far from where units are 0.
    params["params"][f"NormalisedDense_{len(widths)}"]["scale"] *= 2.0
    noise = critic.noise(KEY, 4000)
    drawn = np.asarray(critic.apply(params, jnp.ones((4000, 1, 1, 1)), noise)[0])
    expected = 2 * np.sqrt(0.3**2 + len(widths) * 0.5**2)
    # Of 4,000 draws: five standard errors of a deviation are 5 / sqrt(8000).
    assert drawn.std() == pytest.approx(expected, rel=0.056)
    assert drawn.mean() == pytest.approx(critic.apply(params, images)[0].item(), abs=0.1)


def test_a_step_equals_plain_gradients(images):
  model = small("semigan", unlabelled_weight=0.5)
  batch = to_signed(images[:5])
  step = jax.jit(model.step_with_labels)
  first, _ = step(KEY, begun(model), batch, LABELS)
  key = jax.random.key(1)
  found, told = step(key, first, batch, LABELS)
  noise_key, *keys = jax.random.split(key, 3)
  noise = jax.random.uniform(noise_key, (2, 3))
  critic_noise, generator_noise = (model._critic.noise(key, 5 + 2) for key in keys)

  def make(generator):
    variables = {"params": generator, "batch_stats": first.moments}
    return model._generator.apply(variables, noise, is_training=True, mutable=["batch_stats"])

  def critic_loss(critic):
    both = jnp.concatenate([batch, jax.lax.stop_gradient(make(first.generator)[0])])
    logits, _ = model._critic.apply({"params": critic}, both, critic_noise)
    real, fake = logits[:5], logits[5:]
    supervised = optax.softmax_cross_entropy_with_integer_labels(
      real[::2], jnp.array([2, 0, 1])
    ).mean()
    odds = [jnp.log(jnp.exp(x).sum(axis=1)) for x in (real[1::2], fake)]
    unsupervised = (
      -jnp.log(jax.nn.sigmoid(odds[0])).mean() - jnp.log(jax.nn.sigmoid(-odds[1])).mean()
    )
    return supervised + 0.5 * unsupervised / 2

  updates, _ = model.optimizer().update(
    jax.jit(jax.grad(critic_loss))(first.critic), first.critic_optimizer
  )
  critic = optax.apply_updates(first.critic, updates)

  def generator_loss(generator):
    real, fake = (
      model._critic.apply({"params": critic}, x, noise)[1]
      for x, noise in (
        (batch, generator_noise[:5]),
        (make(generator)[0], generator_noise[5:]),
      )
    )
    return ((real[1::2].mean(axis=0) - fake.mean(axis=0)) ** 2).mean()

  loss, gradient = jax.jit(jax.value_and_grad(generator_loss))(first.generator)
  updates, _ = model.optimizer().update(gradient, first.generator_optimizer)
  generator = optax.apply_updates(first.generator, updates)
  assert float(told["generator_loss"]) == pytest.approx(float(loss), rel=1e-3)
  # As Adam divides by a gradient's size, one that is rounding alone may go either way.
  for one, other in ((found.critic, critic), (found.generator, generator)):
    close = jax.tree.map(lambda a, b: np.isclose(a, b, rtol=1e-3, atol=1e-5).ravel(), one, other)
    assert np.concatenate(jax.tree.leaves(close)).mean() > 0.97
  # The mean of 1 / 11 of the step before and 10 / 11 of this: that of the first step was all of it.
  for mean, before, now in zip(
    *map(jax.tree.leaves, (found.average, first.critic, found.critic)), strict=True
  ):
    np.testing.assert_allclose(mean, before / 11 + 10 * now / 11, rtol=1e-4, atol=1e-6)
  assert same(first.average, first.critic) and int(found.step) == 2


def test_the_first_batch_says_how_the_critic_begins(images):
  model = small("semigan", unlabelled_weight=0.5)
  batch, before = to_signed(images[:5]), begun(model)
  _, key, _ = jax.random.split(KEY, 3)
  noise = model._critic.noise(key, 7)[:5]
  critic = model._fitted(before.critic, batch, noise)
  x = (np.asarray(batch).reshape(5, -1) + 1) / 2 + noise[:, : 8 * 8 * 2]
  layer = critic["NormalisedDense_0"]
  assert same(layer["direction"], before.critic["NormalisedDense_0"]["direction"])
  units = layer["scale"] * (x @ (layer["direction"] / np.linalg.norm(layer["direction"], axis=0)))
  units += layer["bias"]
  # float32 sums of 128 products.
  np.testing.assert_allclose(units.mean(axis=0), 0.0, atol=1e-4)
  np.testing.assert_allclose(units.std(axis=0), 1.0, rtol=1e-3)
  # The first step goes out from there: by Adam it is no longer than its rate.
  after, _ = jax.jit(model.step_with_labels)(KEY, before, batch, LABELS)
  for one, other in zip(*map(jax.tree.leaves, (after.critic, critic)), strict=True):
    np.testing.assert_allclose(one, other, atol=1.01 * model.learning_rate)


def test_what_it_begins_with_is_the_published():
  model = baselines.make("semigan", (28, 28, 1))
  state = jax.eval_shape(model.init, KEY)
  widths = [leaf.shape for leaf in jax.tree.leaves(state.critic) if leaf.ndim == 2]
  assert sorted(widths) == sorted(
    [(784, 1000), (1000, 500), (500, 250), (250, 250), (250, 250), (250, 10)]
  )
  assert {leaf.shape for leaf in jax.tree.leaves(state.generator) if leaf.ndim == 2} == {
    (100, 500),
    (500, 500),
    (500, 784),
  }
  logits = jax.eval_shape(model.logits, state, jax.ShapeDtypeStruct((4, 28, 28, 1), jnp.float32))
  assert logits.shape == (4, 10)
  noise = model.noise(KEY, 40)
  assert noise.shape == (40, 100) and 0 <= noise.min() < 0.01 and 0.99 < noise.max() < 1


def test_what_it_refuses():
  model = small("semigan")
  with pytest.raises(ValueError, match="labels: expected classes below num_classes=3, got 3"):
    model.check_labels(np.array([0, 3, -1]))
  model.check_labels(np.array([0, 2, -1]))
  with pytest.raises(ValueError, match=r"images: expected \[N, 8, 8, 2\], got shape \(4, 8, 8, 1"):
    model.logits(empty(model), jnp.zeros((4, 8, 8, 1)))
  for field, value in (
    ("num_classes", 1),
    ("batch_size", 1),
    ("widths", ()),
    ("widths", 5),
    ("widths", (3, 0)),
    ("hidden", 0),
    ("latent", 0),
    ("unlabelled_weight", -1.0),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected"):
      small("semigan", **{field: value})
  # As a command line gives them.
  listed = dataclasses.replace(model, widths=[6, 5])
  assert listed == model and hash(listed) == hash(model)
