"""Annealed importance sampling: normalisers by brute force, and errors that are as told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.baselines.energy_based import annealed_importance
from nsn_jax.baselines.energy_based.annealed_importance import Base
from nsn_jax.baselines.energy_based.boltzmann import BINARY, GAUSSIAN
from tests.baselines.energy_based import enumeration
from tests.baselines.helpers import KEY

_BASE = Base(jnp.array([0.5, -1.0, 0.0, 2.0]), jnp.array([0.3, 0.0, -0.7, 1.0]))


def _estimate(units, machine, base=_BASE, key=KEY, temperatures=100, chains=100):
  return annealed_importance.log_partition(
    key, units, machine, base, num_temperatures=temperatures, num_chains=chains
  )


@pytest.mark.parametrize("units", [BINARY, GAUSSIAN])
def test_the_estimate_is_the_sum_over_all_states(units):
  machine = enumeration.machine(0, 4, 4, spread=0.7)
  expected = enumeration.log_partition(machine, gaussian=units is GAUSSIAN)
  found = [_estimate(units, machine, key=jax.random.key(seed)) for seed in range(20)]
  values = np.array([one.value for one in found])
  errors = np.array([one.standard_error for one in found])
  assert errors.max() < 0.2
  # Twenty estimates, and their mean: within four of its deviations.
  assert abs(values.mean() - expected) < 4 * errors.mean() / np.sqrt(20)
  # And they spread as they say, but for what twenty leave open: a fifth either way, thrice.
  assert 0.5 < values.std(ddof=1) / errors.mean() < 1.6
  assert all(1 <= one.effective_chains <= 100 + 1e-6 for one in found)


def test_one_temperature_is_importance_sampling():
  # One leap from the base: the weights are wild, their mean is right all the same.
  machine = enumeration.machine(0, 4, 4, spread=0.7)
  found = _estimate(BINARY, machine, temperatures=1, chains=20_000)
  assert abs(found.value - enumeration.log_partition(machine)) < 4 * found.standard_error
  assert found.standard_error < 0.05 and found.effective_chains < 10_000


@pytest.mark.parametrize("units", [BINARY, GAUSSIAN])
def test_the_base_itself_is_exact(units):
  machine = enumeration.machine(0, 4, 4)._replace(
    weights=jnp.zeros((4, 4)), visible_bias=_BASE.visible_bias, hidden_bias=_BASE.hidden_bias
  )
  found = _estimate(units, machine)
  expected = enumeration.log_partition(machine, gaussian=units is GAUSSIAN)
  assert found.value == pytest.approx(expected, rel=1e-6)  # float32
  assert found.standard_error == 0 and found.effective_chains == pytest.approx(100)


def test_chains_end_with_the_machines_distribution():
  machine = enumeration.machine(6, 4, 4)
  begin_key, key = jax.random.split(KEY)
  begin = annealed_importance.draw_base(begin_key, BINARY, _BASE, 20_000)
  np.testing.assert_allclose(
    begin.mean(axis=0), enumeration.sigmoid(np.asarray(_BASE.visible_bias)), atol=0.02
  )
  steps = jnp.asarray(annealed_importance.temperatures(100))
  anneal = jax.jit(annealed_importance.anneal, static_argnums=1)
  visible, weights = anneal(key, BINARY, machine, _BASE, steps, begin)
  expected = enumeration.probabilities(machine) @ enumeration.states(4)
  # 0.5 / sqrt(20,000) = 0.0035, and what a hundred steps have not made up for.
  np.testing.assert_allclose(visible.mean(axis=0), expected, atol=0.02)
  assert weights.shape == (20_000,)


def test_temperatures_are_the_papers():
  steps = annealed_importance.temperatures(14_500)
  assert steps.dtype == np.float32 and len(steps) == 14_501
  np.testing.assert_allclose(steps[[0, 500, 4_500, 14_500]], [0, 0.5, 0.9, 1], rtol=1e-6)
  for number in (1, 2, 50):
    steps = annealed_importance.temperatures(number)
    assert steps[0] == 0 and steps[-1] == 1 and (np.diff(steps) > 0).all()


def test_errors():
  machine = enumeration.machine(0, 4, 4)
  with pytest.raises(ValueError, match="num_temperatures: expected an integer of at least 1"):
    _estimate(BINARY, machine, temperatures=0)
  with pytest.raises(ValueError, match="num_chains: expected an integer of at least 2, got 1"):
    _estimate(BINARY, machine, chains=1)
  with pytest.raises(ValueError, match="key: expected one PRNG key"):
    _estimate(BINARY, machine, key=3)
