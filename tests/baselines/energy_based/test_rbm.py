"""The RBM: its steps by numpy, its density by brute force, its samples by exact means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from nsn_jax import baselines
from nsn_jax.baselines.energy_based.boltzmann import Parameters
from nsn_jax.pixel_range import to_signed
from tests.baselines.energy_based import enumeration
from tests.baselines.helpers import KEY, SHAPE, begun, empty, small, trained

_SHAPE = (2, 2, 1)
#: All images of four pixels, black or white.
_ALL = (enumeration.states(4).reshape(16, *_SHAPE) * 255).astype(np.uint8)


def _tiny(**changes: object) -> baselines.RBM:
  options = {"hidden": 3, "batch_size": 16, "num_temperatures": 200, "num_chains": 200, **changes}
  return baselines.make("rbm", _SHAPE, **options)


def _with(model: baselines.RBM, **fields: object) -> baselines.RBMState:
  """A state of a machine whose units depend on each other."""
  state = empty(model)._replace(parameters=enumeration.machine(0, 4, model.hidden))
  return state._replace(step=jnp.int32(1), **fields)


def _free_energy(parameters: list[np.ndarray], visible: np.ndarray) -> np.ndarray:
  logits = visible @ parameters[0] + parameters[2]
  return -(visible @ parameters[1] + np.logaddexp(0, logits).sum(axis=1))


def test_the_first_step_takes_the_biases_of_the_batch():
  model = small("rbm", learning_rate=1e-6)
  images = np.random.default_rng(0).integers(0, 256, (3, 5, *SHAPE)).astype(np.uint8)
  images[:, :, 0, 0, 0] = 0  # A pixel that is always dark is not forever so.
  state, step = begun(model), jax.jit(model.step)
  for index, batch in enumerate(images):
    state, _ = step(jax.random.fold_in(KEY, index), state, to_signed(batch))
  mean = images[0].reshape(5, -1).mean(axis=0) / 255
  shrunk = 0.01 + 0.98 * mean
  # The rate is next to nothing: what is there is what the first step began with.
  np.testing.assert_allclose(
    state.parameters.visible_bias, np.log(shrunk / (1 - shrunk)), rtol=1e-4, atol=1e-4
  )
  np.testing.assert_allclose(
    state.mean, images.reshape(15, -1).mean(axis=0) / 255, rtol=1e-4, atol=1e-6
  )
  assert int(state.step) == 3 and set(np.unique(state.particles)) == {0, 1}


def test_steps_of_chains_that_persist_equal_numpys():
  model = _tiny(momentum=0.5, weight_decay=0.01, learning_rate=0.2, decay_steps=2)
  state, step = _with(model), jax.jit(model.step)
  parameters = [x.astype(np.float64) for x in map(np.asarray, state.parameters)]
  velocity = [np.zeros_like(x) for x in parameters]
  data = enumeration.states(4)  # Black and white alone: nothing is left to the draw.

  def statistics(visible):
    hidden = enumeration.sigmoid(visible @ parameters[0] + parameters[2])
    return visible.T @ hidden / len(visible), visible.mean(axis=0), hidden.mean(axis=0)

  for index in range(2):
    before = np.asarray(state.particles)
    state, metrics = step(jax.random.fold_in(KEY, index), state, to_signed(_ALL))
    chains = np.asarray(state.particles, np.float64)
    assert (chains != before).any()
    gradient = [m - d for m, d in zip(statistics(chains), statistics(data), strict=True)]
    gradient[0] += 0.01 * parameters[0]
    velocity = [0.5 * v + g for v, g in zip(velocity, gradient, strict=True)]
    rate = 0.2 / (1 + (index + 1) / 2)  # The state began with one step done.
    gap = _free_energy(parameters, chains).mean() - _free_energy(parameters, data).mean()
    assert float(metrics["gap"]) == pytest.approx(gap, abs=1e-4)
    parameters = [p - rate * v for p, v in zip(parameters, velocity, strict=True)]
    for one, other in zip(state.parameters, parameters, strict=True):
      np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_step_of_cd_is_the_expected_one():
  many = 20_000
  model = _tiny(persistent=False, batch_size=many, momentum=0.0, weight_decay=0.0)
  state = _with(model)
  weight = np.random.default_rng(2).dirichlet(np.ones(16))
  rows = np.random.default_rng(3).choice(16, many, p=weight)
  found, _ = jax.jit(model.step)(KEY, state, to_signed(_ALL[rows]))
  expected = enumeration.contrast_of_one_step(state.parameters, weight)
  rate = model.learning_rate / (1 + 1 / model.decay_steps)
  for new, old, gradient in zip(found.parameters, state.parameters, expected, strict=True):
    # Means of 20,000 binary values are off by 0.0035; float32 over a small rate by 1e-5.
    np.testing.assert_allclose((old - new) / rate, gradient, atol=0.02)
  assert found.particles is None


def test_a_machine_that_holds_its_data_in_place_has_nothing_to_learn():
  model = baselines.make("rbm", (1, 1, 1), hidden=1, persistent=False, batch_size=2, num_gibbs=3)
  held = _with(model, parameters=Parameters(*map(jnp.float32, ([[80]], [-40], [-40]))))
  images = to_signed(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
  found, metrics = jax.jit(model.step)(KEY, held, images)
  assert float(metrics["gap"]) == 0 and float(metrics["reconstruction"]) < 1e-12
  np.testing.assert_array_equal(found.parameters.visible_bias, held.parameters.visible_bias)


def test_chains_persist_whatever_the_data_are():
  model = baselines.make("rbm", (1, 1, 1), hidden=1, batch_size=2)
  held = Parameters(*map(jnp.float32, ([[80]], [-40], [-40])))
  state = _with(model, parameters=held, particles=jnp.array([[1.0], [0.0]]))
  found, _ = jax.jit(model.step)(KEY, state, -jnp.ones((2, 1, 1, 1)))
  np.testing.assert_array_equal(found.particles, [[1], [0]])  # The machine holds them in place.


def test_binary_densities_are_those_of_all_states():
  model = _tiny()
  state = _with(model, mean=jnp.array([0.2, 0.5, 0.9, 0.0]))
  found, partition = model.log_likelihoods(KEY, state, _ALL)
  expected = np.log(enumeration.probabilities(state.parameters))
  # Log Z is estimated; its error is common to all images.
  assert partition.standard_error < 0.1
  assert abs(found - expected).max() < 4 * partition.standard_error + 1e-4
  assert np.ptp(found - expected) < 1e-4
  assert np.exp(found).sum() == pytest.approx(1, abs=0.3)
  density = model.held_out_density(KEY, state, _ALL)
  assert density.bits == pytest.approx(-found.mean() / (4 * np.log(2)), rel=1e-6)
  assert density.kind == "by annealed importance sampling, bits a value, of binarised pixels"


def test_normal_densities_are_the_mixtures():
  model = _tiny(visible="gaussian", num_temperatures=300)
  mean, scale = np.array([0.1, -0.3, 0.0, 0.5]), 0.4
  machine = enumeration.machine(1, 4, 3, spread=0.7)
  state = _with(model, parameters=machine, mean=jnp.float32(mean), scale=jnp.full(1, scale))
  images = np.random.default_rng(0).integers(0, 256, (50, *_SHAPE)).astype(np.uint8)
  found, partition = model.log_likelihoods(KEY, state, images)
  weights, b, c = enumeration.float64(machine)
  above = enumeration.states(3)
  centres = b + above @ weights.T
  prior = above @ c + (centres**2).sum(axis=1) / 2
  prior -= logsumexp(prior)
  values = ((images.reshape(50, 4) / 127.5 - 1) - mean) / scale
  distance = ((values[:, None] - centres) ** 2).sum(axis=2)
  log_density = logsumexp(prior - distance / 2, axis=1) - 2 * np.log(2 * np.pi)
  expected = log_density - 4 * np.log(127.5 * scale)
  # Noise of a level is 1 / (127.5 * 0.4) = 0.02 deviations wide; densities change by some times it.
  assert partition.standard_error < 0.05
  assert abs(found - expected).max() < 4 * partition.standard_error + 0.2
  assert abs((found - expected).mean()) < 4 * partition.standard_error + 0.02


@pytest.mark.parametrize(
  ("visible", "persistent"), [("binary", True), ("binary", False), ("gaussian", False)]
)
def test_samples_have_the_machines_mean(visible, persistent):
  model = _tiny(visible=visible, persistent=persistent, sampling_steps=60)
  machine = enumeration.machine(1, 4, 3, spread=0.7)
  fields = {} if visible == "binary" else {"scale": jnp.full(1, 0.1)}
  state = _with(model, parameters=machine, **fields)
  found = np.asarray(jax.jit(model.generate, static_argnums=2)(KEY, state, 5_000))
  if visible == "binary":
    expected = 2 * enumeration.probabilities(machine) @ enumeration.states(4) - 1
  else:
    weights, b, c = enumeration.float64(machine)
    above = enumeration.states(3)
    centres = b + above @ weights.T
    weight = above @ c + (centres**2).sum(axis=1) / 2
    expected = 0.1 * (np.exp(weight - logsumexp(weight)) @ centres)
  assert found.shape == (5_000, *_SHAPE) and found.dtype == np.float32
  # Of means given the hidden units, which spread by less than 1: 1 / sqrt(5,000) = 0.014.
  np.testing.assert_allclose(found.mean(axis=0).ravel(), expected, atol=0.06)


def test_chains_without_particles_are_annealed():
  # All units are 1 or all are 0, equally likely; no Gibbs step leads from one to the other, and of
  # independent pixels a third goes to the first.
  model = _tiny(persistent=False, sampling_steps=200)
  parameters = jnp.full((4, 3), 4.0), jnp.full(4, -3.75), jnp.full(3, -11.0)
  state = _with(model, parameters=Parameters(*parameters), mean=jnp.full(4, 0.5))
  found = np.asarray(jax.jit(model.generate, static_argnums=2)(KEY, state, 5_000))
  # 0.5 / sqrt(5,000) = 0.007, and what was not yet made up for when chains no longer cross.
  expected = enumeration.probabilities(state.parameters)[-1]
  assert expected == pytest.approx(0.49, abs=0.01)
  assert (found > 0).mean() == pytest.approx(expected, abs=0.08)


@pytest.mark.parametrize("persistent", [True, False])
def test_training_raises_the_exact_likelihood(persistent):
  counts = np.full(16, 3)
  counts[[3, 12]] = 60  # Two images more than others, which independent pixels cannot tell.
  share = counts / counts.sum()
  rates = {"learning_rate": 0.2, "decay_steps": 1_000}
  model = _tiny(persistent=persistent, batch_size=int(counts.sum()), **rates)
  state = trained(model, begun(model), to_signed(np.repeat(_ALL, counts, axis=0)), 2_000)
  found = share @ np.log(enumeration.probabilities(state.parameters))
  # Independent pixels have 4 log 1/2 = -2.77, the shares themselves -1.77.
  assert share @ np.log(share) - 0.1 < found < share @ np.log(share) + 1e-6


def test_normal_pixels_are_standardised_by_the_first_batch():
  model = small("rbm", visible="gaussian", learning_rate=1e-3)
  images = np.random.default_rng(0).integers(0, 256, (2, 5, *SHAPE)).astype(np.uint8)
  images[..., 1] //= 4
  state, step = begun(model), jax.jit(model.step)
  for index, batch in enumerate(images):
    state, _ = step(jax.random.fold_in(KEY, index), state, to_signed(batch))
  first = images[0] / 127.5 - 1
  np.testing.assert_allclose(state.mean, first.mean(axis=0).ravel(), atol=1e-5)
  expected = np.sqrt(((first - first.mean(axis=0)) ** 2).mean(axis=(0, 1, 2)))
  np.testing.assert_allclose(state.scale, expected, rtol=1e-4)
  # Images that are all alike: nothing to divide by.
  state = begun(model)
  for index in range(3):
    state, metrics = step(jax.random.fold_in(KEY, index), state, jnp.zeros((5, *SHAPE)))
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((state, metrics)))


def test_images_of_another_kind_are_refused():
  model = _tiny()
  for images in (_ALL / np.float32(255), _ALL[:, :1]):
    with pytest.raises(ValueError, match=r"images: expected uint8 \[N, 2, 2, 1\], got"):
      model.log_likelihoods(KEY, empty(model), images)


def test_wrong_options_are_told():
  for field, value, expected in (
    ("hidden", 0, "an integer of at least 1"),
    ("visible", "ternary", "one of binary, gaussian"),
    ("visible", None, "one of binary, gaussian"),
    ("persistent", 1, "a bool"),
    ("momentum", 1.0, "a number from 0 to below 1"),
    ("weight_decay", -1.0, "a finite number of at least 0"),
    ("num_gibbs", 0, "an integer of at least 1"),
    ("num_chains", 1, "an integer of at least 2"),
    ("decay_steps", 0, "an integer of at least 1"),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected {expected}"):
      baselines.make("rbm", SHAPE, **{field: value})
