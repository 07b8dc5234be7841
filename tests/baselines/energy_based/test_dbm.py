"""The DBM: its bound and its normaliser by brute force, its stages and their steps by numpy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from nsn_jax import baselines
from nsn_jax.baselines.energy_based.boltzmann import Parameters
from nsn_jax.pixel_range import to_signed
from tests.baselines.energy_based import enumeration
from tests.baselines.helpers import KEY, SHAPE, begun, empty, same, small, trained

_SHAPE = (2, 2, 1)
_ALL = (enumeration.states(4).reshape(16, *_SHAPE) * 255).astype(np.uint8)


def _tiny(**changes: object) -> baselines.DBM:
  options = {"hidden": 3, "top": 2, "batch_size": 16, "num_temperatures": 200, "num_chains": 200}
  return baselines.make("dbm", _SHAPE, **{**options, **changes})


def _with(model: baselines.DBM, step: int = 0, spread: float = 1.0) -> baselines.DBMState:
  """A state of layers that depend on each other, after some steps."""
  return empty(model)._replace(
    first=enumeration.machine(0, 4, model.hidden, spread),
    second=enumeration.machine(1, model.hidden, model.top, spread),
    particles=jnp.asarray(np.random.default_rng(0).integers(0, 2, (model.batch_size, 6)), "f4"),
    step=jnp.int32(step),
  )


def _log_joint(state: baselines.DBMState) -> np.ndarray:
  """-E of all states, [2^V, 2^H1, 2^H2], by the formula."""
  w1, b, half = enumeration.float64(state.first)
  w2, other_half, c2 = enumeration.float64(state.second)
  c1 = half + other_half
  all_v, all_1, all_2 = (enumeration.states(len(x)) for x in (b, c1, c2))
  return np.array(
    [
      [[v @ w1 @ x + x @ w2 @ y + v @ b + x @ c1 + y @ c2 for y in all_2] for x in all_1]
      for v in all_v
    ]
  )


def test_the_machine_of_two_sides_is_the_deep_one():
  state = _with(_tiny())
  two_sided = enumeration.log_joint(_tiny().machine(state))  # [2^(V + H2), 2^H1]
  np.testing.assert_allclose(
    two_sided.reshape(16, 4, 8), _log_joint(state).transpose(0, 2, 1), atol=1e-5
  )


def test_the_normaliser_is_the_sum_over_all_states():
  model = _tiny()
  state = _with(model)._replace(mean=jnp.array([0.2, 0.5, 0.9, 0.0]))
  found = model.log_partition(KEY, state)
  assert found.standard_error < 0.15
  assert abs(found.value - logsumexp(_log_joint(state))) < 4 * found.standard_error


def test_the_bound_is_below_the_likelihood_and_rises_with_each_update():
  state = _with(_tiny(), spread=1.5)
  exact = logsumexp(_log_joint(state), axis=(1, 2))
  pixels = jnp.asarray(enumeration.states(4), jnp.float32)
  bounds = [_tiny(num_mean_field=n).log_density(state, pixels) for n in (1, 2, 4, 30)]
  for before, after in itertools.pairwise(bounds):
    assert (np.asarray(after - before) > -1e-5).all()  # float32
  gaps = exact - np.asarray(bounds[-1])
  assert (gaps > -1e-5).all() and gaps.max() > 1e-3
  # Where the layers do not see each other the posterior is exact, and so is the bound.
  apart = state._replace(second=state.second._replace(weights=jnp.zeros((3, 2))))
  exact = logsumexp(_log_joint(apart), axis=(1, 2))
  np.testing.assert_allclose(_tiny().log_density(apart, pixels), exact, rtol=1e-5)


def test_posteriors_of_certainty_have_no_entropy():
  model = _tiny()
  state = _with(model)
  sure = state.first._replace(weights=jnp.zeros((4, 3)), hidden_bias=jnp.full(3, 1e3))
  found = model.log_density(state._replace(first=sure), jnp.zeros((1, 4)))
  joint = _log_joint(state._replace(first=sure))[0]
  assert float(found[0]) == pytest.approx(logsumexp(joint), rel=1e-5)


def test_held_out_density_is_the_bound_over_the_normaliser():
  model = _tiny()
  state = _with(model)
  density = model.held_out_density(KEY, state, _ALL)
  found, partition = model.log_likelihoods(KEY, state, _ALL)
  assert density.bits == pytest.approx(-found.mean() / (4 * np.log(2)), rel=1e-6)
  exact = logsumexp(_log_joint(state), axis=(1, 2)) - logsumexp(_log_joint(state))
  assert (found < exact + 4 * partition.standard_error).all()
  assert density.kind.startswith("bound, by annealed importance sampling, bits a value")


def test_each_stage_changes_its_own_layers():
  model = small("dbm", weight_decay=0.1)
  images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE)).astype(np.uint8)
  state, step = begun(model), jax.jit(model.step)
  seen = []
  for index in range(10):
    before = jax.tree.map(np.asarray, state)
    state, metrics = step(jax.random.fold_in(KEY, index), state, to_signed(images))
    layers = [
      not same(getattr(before, name).weights, getattr(state, name).weights)
      for name in ("first", "second")
    ]
    moved = index > 0 and not same(before.particles, state.particles)
    seen.append((int(metrics["stage"]), *layers, moved))
  assert (
    seen
    == [(1, True, False, False)] * 4 + [(2, False, True, False)] * 4 + [(3, True, True, True)] * 2
  )
  np.testing.assert_allclose(state.mean, images.reshape(5, -1).mean(axis=0) / 255, atol=1e-6)


def test_pretraining_doubles_what_a_layer_sees():
  many = 20_000
  options = {"batch_size": many, "momentum": 0.0, "weight_decay": 0.0, "pretraining_rate": 0.5}
  model = _tiny(**options)
  weight = np.random.default_rng(2).dirichlet(np.ones(16))
  rows = np.random.default_rng(3).choice(16, many, p=weight)
  data = jnp.asarray(enumeration.states(4)[rows], jnp.float32)
  state = _with(model)
  # Means of 20,000 binary values are off by 0.0035.
  found, _ = jax.jit(model._train_first)(KEY, state, data)
  expected = enumeration.contrast_of_one_step(state.first, weight, up=2.0)
  for new, old, gradient in zip(found.first, state.first, expected, strict=True):
    np.testing.assert_allclose((old - new) / 0.5, gradient, atol=0.02)
  found, _ = jax.jit(model._train_second)(KEY, state, data)
  weights, _, bias = enumeration.float64(state.first)
  hidden = enumeration.sigmoid(2 * (enumeration.states(4) @ weights + bias))
  chances = [[np.prod(np.where(s, q, 1 - q)) for s in enumeration.states(3)] for q in hidden]
  expected = enumeration.contrast_of_one_step(state.second, weight @ np.array(chances), down=2.0)
  for new, old, gradient in zip(found.second, state.second, expected, strict=True):
    np.testing.assert_allclose((old - new) / 0.5, gradient, atol=0.02)


def test_a_step_of_both_layers_equals_numpys():
  options = {"momentum": 0.0, "weight_decay": 0.01, "learning_rate": 0.2, "decay_steps": 2}
  model = _tiny(first_steps=0, second_steps=1, **options)
  state = _with(model, step=2)
  data = enumeration.states(4)
  found, _ = jax.jit(model._train_both)(KEY, state, jnp.asarray(data, jnp.float32))
  w1, b, half = enumeration.float64(state.first)
  w2, other_half, c2 = enumeration.float64(state.second)
  bias, sigmoid = half + other_half, enumeration.sigmoid
  middle = sigmoid(2 * (data @ w1 + half))
  top = sigmoid(middle @ w2 + c2)
  for _ in range(10):
    middle = sigmoid(data @ w1 + top @ w2.T + bias)
    top = sigmoid(middle @ w2 + c2)
  chains = np.asarray(found.particles, np.float64)
  pixels, above = chains[:, :4], chains[:, 4:]
  seen = sigmoid(pixels @ w1 + above @ w2.T + bias)
  rate = 0.2 / (1 + 1 / 2)  # One step of stage 3 is done.
  expected = {
    "first": (
      w1 + rate * ((data.T @ middle - pixels.T @ seen) / 16 - 0.01 * w1),
      b + rate * (data - pixels).mean(axis=0),
      half + rate * (middle - seen).mean(axis=0),
    ),
    "second": (
      w2 + rate * ((middle.T @ top - seen.T @ above) / 16 - 0.01 * w2),
      other_half,
      c2 + rate * (top - above).mean(axis=0),
    ),
  }
  for name, values in expected.items():
    for one, other in zip(getattr(found, name), values, strict=True):
      np.testing.assert_allclose(one, other, atol=1e-4)


def test_chains_begin_in_all_modes():
  # All units are 0 or all are 1, alike by symmetry: no Gibbs step leads from one to the other.
  model = _tiny(first_steps=1, second_steps=1, batch_size=500, sampling_steps=60, num_gibbs=1)
  state = empty(model)._replace(
    first=Parameters(jnp.full((4, 3), 4.0), jnp.full(4, -6.0), jnp.full(3, -12.0)),
    second=Parameters(jnp.full((3, 2), 4.0), jnp.zeros(3), jnp.full(2, -6.0)),
    mean=jnp.full(4, 0.5),
    particles=jnp.zeros((500, 6)),
  )
  step = jax.jit(model._train_both)
  for at, low, high in ((2, 0.35, 0.65), (3, 0.0, 0.01)):  # 0.5 / sqrt(500) = 0.022
    found, _ = step(KEY, state._replace(step=jnp.int32(at)), jnp.zeros((500, 4)))
    shares = np.asarray(found.particles.mean(axis=1))
    assert ((shares == 0) | (shares == 1)).mean() > 0.9
    assert low <= shares.mean() <= high


def test_samples_have_the_machines_mean():
  model = _tiny(sampling_steps=60)
  state = _with(model, spread=0.7)
  found = np.asarray(jax.jit(model.generate, static_argnums=2)(KEY, state, 5_000))
  joint = logsumexp(_log_joint(state), axis=(1, 2))
  expected = 2 * np.exp(joint - logsumexp(joint)) @ enumeration.states(4) - 1
  # 1 / sqrt(5,000) = 0.014
  np.testing.assert_allclose(found.mean(axis=0).ravel(), expected, atol=0.06)


def test_training_raises_the_exact_likelihood():
  counts = np.full(16, 3)
  counts[[3, 12]] = 60  # Two images more than others, which independent pixels cannot tell.
  share = counts / counts.sum()
  rates = {"learning_rate": 0.2, "pretraining_rate": 0.2, "decay_steps": 1_000}
  steps = {"first_steps": 300, "second_steps": 300}
  model = _tiny(batch_size=int(counts.sum()), **rates, **steps)
  state = trained(model, begun(model), to_signed(np.repeat(_ALL, counts, axis=0)), 1_600)
  joint = logsumexp(_log_joint(state), axis=(1, 2))
  found = share @ (joint - logsumexp(joint))
  # Independent pixels have 4 log 1/2 = -2.77, the shares themselves -1.77.
  assert share @ np.log(share) - 0.2 < found < share @ np.log(share) + 1e-6


def test_wrong_options_are_told():
  for field, value, expected in (
    ("top", 0, "an integer of at least 1"),
    ("num_mean_field", 0, "an integer of at least 1"),
    ("first_steps", -1, "an integer of at least 0"),
    ("pretraining_rate", 0.0, "a finite number above 0"),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected {expected}"):
      baselines.make("dbm", SHAPE, **{field: value})
