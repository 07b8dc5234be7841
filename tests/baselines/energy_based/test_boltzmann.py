"""Machines of two sides: energies, Gibbs steps and gradients, by going through all states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from nsn_jax.baselines.energy_based import boltzmann
from nsn_jax.baselines.energy_based.boltzmann import BINARY, GAUSSIAN
from tests.baselines.energy_based import enumeration
from tests.baselines.helpers import KEY

_MACHINE = enumeration.machine(0, 4, 3)
#: Chains; a mean of binary values over them is off by 0.5 / sqrt(20,000) = 0.0035.
_MANY = 20_000


@functools.partial(jax.jit, static_argnums=1)
def _gibbs(key, units, parameters, visible, num_steps, up=1.0, down=1.0):
  return boltzmann.gibbs(key, units, parameters, visible, num_steps, up=up, down=down)


def _histogram(visible: jax.Array) -> np.ndarray:
  """Share of each of the 2^V states, in the order of `enumeration.states`."""
  index = np.asarray(visible, np.int64) @ (1 << np.arange(visible.shape[1])[::-1])
  return np.bincount(index, minlength=1 << visible.shape[1]) / len(visible)


def test_the_free_energy_sums_the_hidden_units_out():
  states = enumeration.states(4)
  found = boltzmann.free_energy(BINARY, _MACHINE, jnp.asarray(states, jnp.float32))
  joint = enumeration.log_joint(_MACHINE)
  np.testing.assert_allclose(-found, logsumexp(joint, axis=1), rtol=1e-5)
  of_gaussian = boltzmann.free_energy(GAUSSIAN, _MACHINE, jnp.asarray(states, jnp.float32))
  np.testing.assert_allclose(of_gaussian - found, (states**2).sum(axis=1) / 2, atol=1e-5)


def test_the_energy_is_its_formula():
  states, above = enumeration.states(4), enumeration.states(3)
  rows, columns = np.meshgrid(np.arange(16), np.arange(8), indexing="ij")
  found = boltzmann.energy(
    _MACHINE, *(jnp.asarray(x, jnp.float32) for x in (states[rows.ravel()], above[columns.ravel()]))
  )
  np.testing.assert_allclose(-found.reshape(16, 8), enumeration.log_joint(_MACHINE), atol=1e-5)


def test_free_energies_of_large_logits_are_finite():
  machine = jax.tree.map(lambda x: 1e4 * x, _MACHINE)
  found = boltzmann.free_energy(BINARY, machine, jnp.ones((1, 4)))
  expected = logsumexp(enumeration.log_joint(machine)[-1])
  assert float(-found[0]) == pytest.approx(expected, rel=1e-6)


def test_gibbs_steps_leave_the_machines_distribution_alone():
  expected = enumeration.probabilities(_MACHINE)
  drawn = np.random.default_rng(0).choice(16, _MANY, p=expected)
  begin = jnp.asarray(enumeration.states(4)[drawn], jnp.float32)
  after = _gibbs(KEY, BINARY, _MACHINE, begin, 2)
  assert np.abs(_histogram(after) - expected).max() < 0.02  # five deviations of a share
  assert (np.asarray(after) != np.asarray(begin)).any(axis=1).mean() > 0.5


def test_a_gibbs_step_goes_where_the_conditionals_say():
  joint = enumeration.log_joint(_MACHINE)
  given_visible = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
  given_hidden = np.exp(joint - logsumexp(joint, axis=0, keepdims=True))
  step = given_visible @ given_hidden.T
  # What is drawn so is in detailed balance.
  flow = enumeration.probabilities(_MACHINE)[:, None] * step
  np.testing.assert_allclose(flow, flow.T, atol=1e-12)
  for row in (0, 5, 15):
    begin = jnp.tile(jnp.asarray(enumeration.states(4)[row], jnp.float32), (_MANY, 1))
    found = _histogram(_gibbs(KEY, BINARY, _MACHINE, begin, 1))
    assert np.abs(found - step[row]).max() < 0.02


def test_normal_units_have_the_mixtures_moments():
  # Far from where they belong at first; this machine's chains forget within some steps.
  machine = enumeration.machine(1, 3, 2, spread=0.7)
  weights, b, c = enumeration.float64(machine)
  above = enumeration.states(2)
  log_weight = above @ c + ((b + above @ weights.T) ** 2).sum(axis=1) / 2
  weight = np.exp(log_weight - logsumexp(log_weight))
  centres = b + above @ weights.T
  mean = weight @ centres
  covariance = np.eye(3) + (centres - mean).T @ (weight[:, None] * (centres - mean))
  found = np.asarray(_gibbs(KEY, GAUSSIAN, machine, jnp.full((_MANY, 3), 5.0), 30))
  # Deviations are near 1, and over sqrt(20,000) 0.007; of a product of two normals somewhat more.
  np.testing.assert_allclose(found.mean(axis=0), mean, atol=0.05)
  np.testing.assert_allclose(np.cov(found.T), covariance, atol=0.08)


def test_contrastive_divergence_of_many_steps_is_the_likelihoods_gradient():
  weight = np.random.default_rng(2).dirichlet(np.ones(16))
  states = jnp.asarray(enumeration.states(4), jnp.float32)

  def loss(parameters):
    free = boltzmann.free_energy(BINARY, parameters, states)
    return jnp.asarray(weight, jnp.float32) @ free + jax.nn.logsumexp(-free)

  expected = jax.jit(jax.grad(loss))(_MACHINE)
  drawn = np.random.default_rng(3).choice(16, _MANY, p=weight)
  data = states[drawn]
  found = boltzmann.contrast(_MACHINE, data, _gibbs(KEY, BINARY, _MACHINE, data, 30))
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, atol=0.02)
  assert max(float(jnp.abs(x).max()) for x in expected) > 0.1


def test_factors_of_the_logits_are_a_deep_machines():
  weight = np.random.default_rng(4).dirichlet(np.ones(16))
  drawn = np.random.default_rng(5).choice(16, _MANY, p=weight)
  data = jnp.asarray(enumeration.states(4)[drawn], jnp.float32)
  for up, down in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)):
    expected = enumeration.contrast_of_one_step(_MACHINE, weight, up=up, down=down)
    chains = _gibbs(KEY, BINARY, _MACHINE, data, 1, up, down)
    found = boltzmann.contrast(_MACHINE, data, chains, up=up)
    for one, other in zip(found, expected, strict=True):
      np.testing.assert_allclose(one, other, atol=0.02)
