"""Improved GAN: each technique by itself, against numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nsn_jax.baselines import networks, num_parameters
from nsn_jax.baselines.adversarial import minibatch_discrimination, virtual_batch_norm
from nsn_jax.baselines.adversarial.historical_averaging import historical_averaging
from tests.baselines.helpers import KEY, SHAPE, begun, same, small

SWITCHES = (
  "feature_matching",
  "minibatch_discrimination",
  "historical_averaging",
  "label_smoothing",
  "virtual_normalisation",
)
PLAIN = dict.fromkeys(SWITCHES, False)


def test_minibatch_discrimination_equals_loops():
  layer = minibatch_discrimination.MinibatchDiscrimination(3, 2, networks.INIT)
  x = jax.random.normal(KEY, (4, 5))
  params = jax.tree.map(lambda w: 20 * w, layer.init(KEY, x))
  kernel = np.asarray(params["params"]["kernel"])
  expected = np.zeros((4, 3))
  for i in range(4):
    for j in range(4):
      for b in range(3):
        if i != j:
          rows = [np.asarray(x[n]) @ kernel[:, b] for n in (i, j)]
          expected[i, b] += np.exp(-np.abs(rows[0] - rows[1]).sum())
  # float32 sums of 5 products.
  np.testing.assert_allclose(layer.apply(params, x), expected, rtol=1e-4)
  # Samples that are all alike are as close as can be, one alone is close to none.
  np.testing.assert_allclose(layer.apply(params, jnp.ones((4, 5))), 3.0)
  np.testing.assert_array_equal(layer.apply(params, x[:1]), 0.0)


def test_historical_averaging_by_hand():
  optimizer = optax.chain(historical_averaging(0.25), optax.sgd(0.1))
  params = jnp.array([2.0, -4.0])
  state = optimizer.init(params)
  # At first the past is the present: the gradient alone counts.
  updates, state = optimizer.update(jnp.array([1.0, 2.0]), state, params)
  np.testing.assert_allclose(updates, [-0.1, -0.2], rtol=1e-6)
  params = params + updates
  # The mean of (2, -4) and (1.9, -4.2); 2 * 0.25 times half the difference.
  updates, state = optimizer.update(jnp.array([1.0, 2.0]), state, params)
  np.testing.assert_allclose(updates, [-0.1 * (1 - 0.025), -0.1 * (2 - 0.05)], rtol=1e-5)
  np.testing.assert_allclose(state[0].mean, [1.95, -4.1], rtol=1e-6)


def test_virtual_normalisation_equals_numpys():
  layer = virtual_batch_norm.VirtualBatchNorm(reference_rows=3)
  x = jax.random.normal(KEY, (5, 2, 2, 4)) * jnp.arange(1.0, 6.0)[:, None, None, None] + 3
  params = layer.init(KEY, x)
  params["params"]["bias"] += jnp.arange(4.0)
  scale, bias = (np.asarray(params["params"][name]) for name in ("scale", "bias"))
  found = layer.apply(params, x)
  x = np.asarray(x, np.float64)
  for row in range(5):
    # As one batch: the reference, and a sample's own row with it.
    rows = x[:3] if row < 3 else np.concatenate([x[:3], x[row : row + 1]])
    mean, variance = rows.mean(axis=(0, 1, 2)), rows.var(axis=(0, 1, 2))
    expected = scale * (x[row] - mean) / np.sqrt(variance + 1e-5) + bias
    np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_an_image_does_not_depend_on_the_others_in_training():
  noise = small("improvedgan").noise(KEY, 5)
  for is_virtual in (True, False):
    model = small("improvedgan", **PLAIN | {"virtual_normalisation": is_virtual})
    state, make = begun(model), jax.jit(model._generate)
    found, other = (
      make(state.generator, state.moments, x)[0] for x in (noise, noise.at[1:].set(0.7))
    )
    assert not np.allclose(found[1:], other[1:], atol=1e-3)
    # Sums of the same values in the same order; batch normalisation lets others in.
    assert np.allclose(found[0], other[0], atol=1e-6 if is_virtual else 1e-4) == is_virtual


def test_a_step_leaves_the_reference_and_keeps_the_past(images):
  model = small("improvedgan")
  state = begun(model)
  (reference,) = jax.tree.leaves(state.moments)
  assert reference.shape == (5, 3) and (jnp.abs(reference) <= 1).all()
  assert len(np.unique(reference)) == 15
  after, _ = jax.jit(model.step)(KEY, state, jnp.asarray(images[:5], jnp.float32) / 127.5 - 1)
  assert same(after.moments, state.moments) and not same(after.generator, state.generator)
  assert not same(begun(model, jax.random.key(1)).moments, state.moments)
  # Of one step the past is what was before it.
  assert same(after.generator_optimizer[0].mean, state.generator)
  assert same(after.critic_optimizer[0].mean, state.critic)
  # Samples are made as training images are.
  np.testing.assert_allclose(
    jax.jit(model.generate, static_argnums=2)(KEY, state, 4),
    jax.jit(model._generate)(state.generator, state.moments, model.noise(KEY, 4))[0],
    atol=1e-6,
  )


def test_label_smoothing_by_hand():
  real, fake = jnp.array([0.0, np.log(3.0)]), jnp.array([0.0, -np.log(3.0)])
  model = small("improvedgan", **PLAIN | {"label_smoothing": True})
  # Real ones are to be 0.9 real, and are 1/2 and 3/4; generated ones are 1/2 and 3/4 generated.
  on_real = -(0.9 * np.log([1 / 2, 3 / 4]) + 0.1 * np.log([1 / 2, 1 / 4])).mean()
  expected = on_real - np.log([1 / 2, 3 / 4]).mean()
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(expected, rel=1e-6)
  # It is least where the probability is the label.
  slope = jax.grad(lambda score: model.critic_loss(score, fake, None, None))
  assert float(slope(jnp.log(jnp.array([9.0])))[0]) == pytest.approx(0.0, abs=1e-7)
  # The generator's labels are as they were.
  expected = -np.log([1 / 2, 1 / 4]).mean()
  assert float(model.generator_loss(fake)) == pytest.approx(expected, rel=1e-6)


def test_feature_matching_by_hand():
  model = small("improvedgan", **PLAIN | {"feature_matching": True})
  real, fake = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[0.0, 0.0], [2.0, 2.0]])
  # Means (2, 3) and (1, 1).
  assert float(model.matching_loss(real, fake)) == pytest.approx(1 + 4)
  critic = begun(model).critic
  images, other = jax.random.uniform(KEY, (2, 5, *SHAPE), minval=-1.0)
  objective = jax.jit(lambda *both: model.generator_objective(None, critic, *both, None)[0])
  features = [np.asarray(model._judge(None, critic, x)[1]) for x in (images, other)]
  assert features[0].shape == (5, 4 * 4 * 2)
  expected = ((features[0].mean(axis=0) - features[1].mean(axis=0)) ** 2).sum()
  assert float(objective(images, other)) == pytest.approx(expected, rel=1e-4)
  # The same images, in another order; rounding of float32 means.
  assert float(objective(images, images[::-1])) == pytest.approx(0.0, abs=1e-10)


def test_without_all_it_is_dcgan_to_the_bit(images):
  batch = jnp.asarray(images[:5], jnp.float32) / 127.5 - 1
  plain, dcgan = small("improvedgan", **PLAIN), small("dcgan")
  found, expected = (jax.jit(m.step)(KEY, begun(m), batch)[0] for m in (plain, dcgan))
  assert same(found, expected)


def test_switches_of_what_a_state_holds():
  def sizes(**switches: bool) -> dict[str, int]:
    state = jax.eval_shape(small("improvedgan", **PLAIN | switches).init, KEY)
    return {name: num_parameters(getattr(state, name)) for name in state._fields}

  plain = sizes()
  # A kernel of 32 features by 3 by 2, three weights of the last layer, and two moments each.
  discriminating = sizes(minibatch_discrimination=True)
  assert discriminating["critic"] == plain["critic"] + 32 * 3 * 2 + 3
  assert discriminating["critic_optimizer"] == plain["critic_optimizer"] + 2 * (32 * 3 * 2 + 3)
  # The past of all parameters, and its length.
  looking_back = sizes(historical_averaging=True)
  for name in ("generator", "critic"):
    assert looking_back[f"{name}_optimizer"] == plain[f"{name}_optimizer"] + plain[name] + 1
  # Five rows of noise instead of moments.
  virtual = sizes(virtual_normalisation=True)
  assert virtual == plain | {"moments": 5 * 3}
  for name in ("feature_matching", "label_smoothing"):
    assert sizes(**{name: True}) == plain


def test_what_is_no_switch():
  for name in SWITCHES:
    with pytest.raises(ValueError, match=f"{name}: expected a bool, got int"):
      small("improvedgan", **{name: 1})
  with pytest.raises(ValueError, match="real_target: expected"):
    small("improvedgan", real_target=1.5)
