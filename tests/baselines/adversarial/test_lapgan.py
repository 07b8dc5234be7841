"""LAPGAN: levels that are trained apart, details by hand, sizes, and that it learns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines.adversarial import laplacian_pyramid
from tests.baselines.helpers import KEY, SHAPE, begun, empty, same, small


def test_sizes_of_the_pyramid():
  for side, sides in (
    (28, (28, 14, 7)),
    (32, (32, 16, 8)),
    (64, (64, 32, 16, 8)),
    (30, (30, 15, 8)),
    (9, (9, 5)),
  ):
    for channels in (1, 3):
      model = baselines.make("lapgan", (side, side, channels))
      assert model.sides == sides and model.num_networks == 2 * len(sides)
      assert model.sequential_steps == len(sides)
      details, last = model.levels
      shapes = [level.image_shape for level in (*details, last)]
      assert shapes == [(side, side, channels) for side in sides]
  # Odd sides, three levels, colours: traced alone.
  model = small("lapgan", image_shape=(11, 11, 3), coarsest=3)
  state = jax.eval_shape(model.init, KEY)
  images = jax.ShapeDtypeStruct((5, 11, 11, 3), jnp.float32)
  assert len(state) == 3 and jax.eval_shape(model.step, KEY, state, images)[0] == state
  made = jax.eval_shape(lambda state: model.generate(KEY, state, 2), state)
  assert made.shape == (2, 11, 11, 3) and made.dtype == jnp.float32
  for shape in ((8, 8, 1), (28, 32, 1)):
    with pytest.raises(ValueError, match="image_shape: expected square images of at least 9 x 9"):
      baselines.make("lapgan", shape)
  for field, value in (
    ("coarsest", 0),
    ("width", 0),
    ("hidden", 0),
    ("latent", 0),
    ("last_momentum", 1.0),
    ("momentum_steps", 0),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected"):
      baselines.make("lapgan", (28, 28, 1), **{field: value})


def test_what_it_begins_with_is_the_published():
  model = baselines.make("lapgan", (28, 28, 1))
  state = jax.eval_shape(model.init, KEY)

  def kernels(tree: dict) -> list[tuple[int, ...]]:
    return sorted(leaf.shape for leaf in jax.tree.leaves(tree) if leaf.ndim > 1)

  # Dense at 7x7: 1200 units a layer of the generator, 600 of the critic.
  assert kernels(state[-1].generator) == [(100, 1200), (1200, 49), (1200, 1200)]
  assert kernels(state[-1].critic) == [(49, 600), (600, 1), (600, 600)]
  # Three convolutions at the others, of which the first sees a plane of noise, too; and two.
  for level, side in zip(state[:-1], (28, 14), strict=True):
    assert [len(shape) for shape in kernels(level.generator)] == [4, 4, 4]
    assert (4, 4, 2, 32) in kernels(level.generator)
    assert kernels(level.critic)[:1] == [(4, 4, 1, 32)]
    assert ((-(-side // 4)) ** 2 * 32, 1) in kernels(level.critic)
  for level in (*model.levels[0], model.levels[1]):
    assert float(level.rate(jnp.float32(0))) == pytest.approx(0.02)
    assert float(level.rate(jnp.float32(1e5))) == pytest.approx(0.02)
    # From 0.5 to 0.8 over 375 epochs of 600 steps.
    for step, share in ((0, 0.5), (112_500, 0.65), (225_000, 0.8), (1e6, 0.8)):
      assert float(level.momentum(jnp.float32(step))) == pytest.approx(share)


def test_momentum_damps_as_torchs_descent_does():
  model = small("lapgan", first_momentum=0.5, last_momentum=0.8, momentum_steps=4)
  gradients = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
  for level in (*model.levels[0], model.levels[1]):
    optimizer = level.optimizer()
    params, velocity = jnp.zeros(3), np.zeros(3)
    state = optimizer.init(params)
    for step, gradient in enumerate(gradients):
      share = 0.5 + 0.3 * min(step / 4, 1)
      velocity = share * velocity + (1 - share) * gradient
      # The rate is outside there; it is constant, so that it does not matter. Float32 sums.
      updates, state = optimizer.update(jnp.asarray(gradient), state)
      np.testing.assert_allclose(updates, -0.02 * velocity, rtol=1e-5, atol=1e-8)
    # A slope that stays is gone down by the rate a step, not by five times that.
    for _ in range(40):
      updates, state = optimizer.update(jnp.ones(3), state)
    np.testing.assert_allclose(updates, -0.02, rtol=1e-3)  # 0.8^40 of what was before


def test_untrained_last_images_are_the_mean_of_the_training_images_halved(images):
  model = small("lapgan", coarsest=2)  # halved twice
  state = model.informed(empty(model), images)
  _, last = model.levels
  halved = laplacian_pyramid.down(laplacian_pyramid.down(jnp.asarray(images) / 127.5 - 1))
  expected = np.tile(halved.mean(axis=0), (3, 1, 1, 1))
  np.testing.assert_allclose(last.generate(KEY, state[-1], 3), expected, atol=1e-5)
  # The other levels' networks are as they were.
  assert same(state[:-1], empty(model)[:-1])


def test_no_level_sees_anothers_networks(images):
  model = small("lapgan")
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  step = jax.jit(model.step)
  first, other = begun(model), begun(model, jax.random.key(1))
  whole, told = step(KEY, first, batch)
  assert told.keys() == {
    f"{name}_{level}" for name in ("critic_loss", "generator_loss") for level in range(2)
  }
  for level in range(2):
    mixed = tuple(first[at] if at == level else other[at] for at in range(2))
    found, other_told = step(KEY, mixed, batch)
    # To the bit: all that differs is the other level.
    assert same(found[level], whole[level]) and not same(found[1 - level], whole[1 - level])
    assert other_told[f"critic_loss_{level}"] == told[f"critic_loss_{level}"]
    for name in ("generator", "critic"):
      assert not same(getattr(whole[level], name), getattr(first[level], name))


def _only_biases(model: baselines.LAPGAN) -> tuple:
  """A state whose details are 0.25 and 1.5, channel by channel, whatever they are given."""
  state = empty(model)
  detail = dict(state[0].generator)
  detail["Doubling_0"] = detail["Doubling_0"] | {"bias": jnp.array([0.25, 1.5])}
  random = begun(model)[-1]  # Weights that make images, so that there is something to blur.
  return state[0]._replace(generator=detail), random


def test_details_are_added_to_what_is_blurred(images):
  model = small("lapgan")
  state = _only_biases(model)
  large, least = model.growing(KEY, state, 4)
  details = jnp.broadcast_to(jnp.array([0.25, 1.5]), (4, *SHAPE))
  assert least.shape == (4, 4, 4, 2) and len(np.unique(least)) > 100
  # The pyramid of these details and the small image; float32 sums of up to 2.5.
  expected = laplacian_pyramid.collapse([details, least])
  np.testing.assert_allclose(large, expected, atol=2e-6)
  np.testing.assert_allclose(model.generate(KEY, state, 4), np.clip(expected, -1.0, 1.0), atol=2e-6)
  assert expected.max() > 1.0
  # In training a real image's own blur stands in the small image's place.
  level = model.levels[0][0]
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  difference, _ = laplacian_pyramid.build(batch, 1)
  fake, _ = level._generate(state[0].generator, {}, level.given(KEY, batch))
  np.testing.assert_allclose(fake, batch - difference + details[0], atol=2e-6)


def test_details_depend_on_noise_and_on_what_is_blurred():
  model = small("lapgan")
  state, level = begun(model), model.levels[0][0]
  low, other = jax.random.uniform(KEY, (2, 3, 4, 4, 2), minval=-1.0)
  blurred = [laplacian_pyramid.up(x, 8, 8) for x in (low, other)]
  details = level.refined(KEY, state[0], low) - blurred[0]
  # The last layer begins small.
  assert jnp.abs(details).mean() > 1e-3
  again = level.refined(jax.random.key(1), state[0], low) - blurred[0]
  assert not np.allclose(details, again, atol=1e-4)
  elsewhere = level.refined(KEY, state[0], other) - blurred[1]
  assert not np.allclose(details, elsewhere, atol=1e-4)
  # The plane is uniform, an image's own, and the blur comes after it as it is.
  given = np.asarray(level._given(KEY, blurred[0]))
  assert given.shape == (3, 8 * 8 * 3) and len(np.unique(given[:, :64])) == 3 * 64
  assert given[:, :64].min() < -0.9 and given[:, :64].max() > 0.9
  np.testing.assert_array_equal(given[:, 64:], blurred[0].reshape(3, -1))


def test_critics_drop_units_in_training_alone():
  model = small("lapgan")
  state = begun(model)
  for level, at, shape in (
    (model.levels[0][0], 0, SHAPE),
    (model.levels[1], 1, (4, 4, 2)),
  ):
    images = jax.random.uniform(KEY, (3, *shape), minval=-1.0)
    judge = functools.partial(level._judge, critic=state[at].critic, images=images)
    sure = judge(None)
    np.testing.assert_array_equal(sure, judge(None))
    drawn = jax.jit(jax.vmap(judge))(jax.random.split(KEY, 400))
    # Each image's own; right on average where the last layer alone is behind it.
    assert (drawn.std(axis=0) > 0.01).all(), level
    if at == 0:
      error = drawn.std(axis=0) / np.sqrt(400)
      # Three scores, five standard errors.
      assert (jnp.abs(drawn.mean(axis=0) - sure) < 5 * error).all()


def test_checkpoints_hold_all_levels(tmp_path):
  model = small("lapgan")
  state = begun(model)
  with baselines.Checkpoints(tmp_path / "c") as kept:
    kept.save(0, state)
    _, found = kept.restore(jax.eval_shape(model.init, KEY))
  assert jax.tree.structure(found) == jax.tree.structure(state) and same(found, state)
