"""Annealed importance sampling of a Boltzmann machine (Salakhutdinov & Murray 2008; Neal 2001).

Chains begin with independent units, whose normaliser is known, and are drawn by machines between
these and the one in question, each a little nearer to it:

    log p_t(v) = t log p_1(v) + (1 - t) log p_0(v) + constant,    t from 0 to 1

with biases between both and weights t W. What a chain's density gains by each small change of t
adds up to the logarithm of its weight; the mean weight estimates the ratio of the normalisers
without bias, so that its logarithm is below the truth on average.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.energy_based import boltzmann
from nsn_jax.baselines.energy_based.boltzmann import Parameters, Units
from nsn_jax.numerics import PRECISION

__all__ = ["Base", "LogPartition", "anneal", "draw_base", "log_partition", "temperatures"]


class Base(NamedTuple):
  """Biases of the independent units that chains begin with.

  Attributes:
    visible_bias: float32 [V].
    hidden_bias: float32 [H].
  """

  visible_bias: jax.Array
  hidden_bias: jax.Array


class LogPartition(NamedTuple):
  """An estimate of log Z.

  Attributes:
    value: in nats.
    standard_error: of it, from the spread of the chains' weights; too small where few chains have
      nearly all of the weight.
    effective_chains: chains of equal weight that were as good, from 1 to their number.
  """

  value: float
  standard_error: float
  effective_chains: float


def temperatures(number: int) -> npt.NDArray[np.float32]:
  """Values of t from 0 to 1, float32 [number + 1], densest at its end.

  In the proportion of the paper's 500 up to 0.5, 4,000 up to 0.9 and 10,000 up to 1: there chains
  are slow, and densities steep.
  """
  share = np.linspace(0.0, 14_500, number + 1)
  return np.interp(share, [0, 500, 4_500, 14_500], [0.0, 0.5, 0.9, 1.0]).astype(np.float32)


def draw_base(key: jax.Array, units: Units, base: Base, num_chains: int) -> jax.Array:
  """Independent visible units, float32 [num_chains, V]."""
  logits = jnp.broadcast_to(base.visible_bias, (num_chains, len(base.visible_bias)))
  return units.draw(key, logits)


def anneal(
  key: jax.Array,
  units: Units,
  parameters: Parameters,
  base: Base,
  steps: jax.Array,
  visible: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """A Gibbs step at each temperature; pure.

  Args:
    key: PRNG key.
    units: kind of the visible ones.
    parameters: of the machine at t = 1.
    base: of the independent units at t = 0.
    steps: the values of t, float32 [T + 1]; the first is that which `visible` is drawn by.
    visible: where chains begin, float32 [N, V].

  Returns:
    The visible units at their end, float32 [N, V], and the logarithms of the weights, float32 [N].
  """
  change = parameters.visible_bias - base.visible_bias

  def biases(t: jax.Array) -> Base:
    return Base(
      base.visible_bias + t * change,
      base.hidden_bias + t * (parameters.hidden_bias - base.hidden_bias),
    )

  def step(
    carry: tuple[jax.Array, jax.Array], at: tuple[jax.Array, jax.Array, jax.Array]
  ) -> tuple[tuple[jax.Array, jax.Array], None]:
    visible, weight = carry
    index, before, t = at
    hidden_key, visible_key = jax.random.split(jax.random.fold_in(key, index))
    # One product serves both temperatures and the draw.
    product = jnp.dot(visible, parameters.weights, precision=PRECISION)
    bias = biases(t)
    logits, logits_before = bias.hidden_bias + t * product, biases(before).hidden_bias
    logits_before = logits_before + before * product
    # Unit by unit, for the sums are large and their difference is small.
    gain = (jax.nn.softplus(logits) - jax.nn.softplus(logits_before)).sum(axis=1)
    gain += (t - before) * jnp.dot(visible, change, precision=PRECISION)
    hidden = boltzmann.draw_binary(hidden_key, logits)
    back = jnp.dot(hidden, parameters.weights.T, precision=PRECISION)
    return (units.draw(visible_key, bias.visible_bias + t * back), weight + gain), None

  weight = jnp.zeros(len(visible), jnp.float32)
  index = jnp.arange(len(steps) - 1, dtype=jnp.int32)
  (visible, weight), _ = jax.lax.scan(step, (visible, weight), (index, steps[:-1], steps[1:]))
  return visible, weight


@functools.partial(jax.jit, static_argnums=(1, 5))
def _log_weights(
  key: jax.Array,
  units: Units,
  parameters: Parameters,
  base: Base,
  steps: jax.Array,
  num_chains: int,
) -> tuple[jax.Array, jax.Array]:
  """Logarithms of the weights, [num_chains], and of the base's normaliser."""
  begin_key, chain_key = jax.random.split(key)
  visible = draw_base(begin_key, units, base, num_chains)
  _, weights = anneal(chain_key, units, parameters, base, steps, visible)
  of_base = units.log_partition(base.visible_bias).sum() + jax.nn.softplus(base.hidden_bias).sum()
  return weights, of_base


def log_partition(
  key: jax.Array,
  units: Units,
  parameters: Parameters,
  base: Base,
  *,
  num_temperatures: int,
  num_chains: int,
) -> LogPartition:
  """Estimates log Z.

  Args:
    key: PRNG key.
    units: kind of the visible ones.
    parameters: of the machine.
    base: of the independent units that chains begin with: the nearer their means to the machine's,
      the better.
    num_temperatures: steps of a chain, at least 1.
    num_chains: at least 2.

  Returns:
    The estimate, with its error.

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  checks.integer("num_temperatures", num_temperatures, 1)
  checks.integer("num_chains", num_chains, 2)
  steps = jnp.asarray(temperatures(num_temperatures))
  found, of_base = _log_weights(key, units, parameters, base, steps, num_chains)
  log_weights = np.asarray(found, np.float64)
  top = log_weights.max()
  weights = np.exp(log_weights - top)
  mean = weights.mean()
  # Of a logarithm: the relative error of what it is taken of.
  error = weights.std(ddof=1) / (mean * np.sqrt(num_chains))
  effective = weights.sum() ** 2 / (weights**2).sum()
  return LogPartition(float(of_base) + float(top + np.log(mean)), float(error), float(effective))
