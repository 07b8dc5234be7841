"""Two sides of units that see each other alone: conditionals, free energy and Gibbs steps.

    p(v, h) = m(v) exp(v.b + h.c + v W h) / Z

is a restricted Boltzmann machine (Smolensky 1986), its hidden units h binary, its visible ones v
binary (m = 1) or normal of variance 1 (m = exp(-v^2 / 2)). Any Boltzmann machine whose layers see
their neighbours alone is one, too: its odd layers are one side and its even ones the other.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nsn_jax.numerics import PRECISION

__all__ = [
  "BINARY",
  "GAUSSIAN",
  "Parameters",
  "Units",
  "contrast",
  "draw_binary",
  "energy",
  "free_energy",
  "gibbs",
  "hidden_logits",
  "init",
  "statistics",
  "visible_logits",
]

#: Standard deviation of the first weights, by Hinton's guide (2010, section 8).
_SPREAD = 0.01


class Parameters(NamedTuple):
  """Of V visible and H hidden units; also their gradient.

  Attributes:
    weights: W, float32 [V, H].
    visible_bias: b, float32 [V].
    hidden_bias: c, float32 [H].
  """

  weights: jax.Array
  visible_bias: jax.Array
  hidden_bias: jax.Array


class Units(NamedTuple):
  """A kind of visible units: p(v | x) = m(v) exp(v x - A(x)), where x are their logits.

  Attributes:
    mean: of v, from x.
    draw: v, from a key and x.
    log_partition: A, from x.
    log_measure: log m, from v.
  """

  mean: Callable[[jax.Array], jax.Array]
  draw: Callable[[jax.Array, jax.Array], jax.Array]
  log_partition: Callable[[jax.Array], jax.Array]
  log_measure: Callable[[jax.Array], jax.Array]


def draw_binary(key: jax.Array, logits: jax.Array) -> jax.Array:
  """0 or 1, float32 of the logits' shape, 1 with the probability that is their sigmoid."""
  return jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(jnp.float32)


def _draw_normal(key: jax.Array, mean: jax.Array) -> jax.Array:
  return mean + jax.random.normal(key, mean.shape, jnp.float32)


BINARY = Units(jax.nn.sigmoid, draw_binary, jax.nn.softplus, jnp.zeros_like)
GAUSSIAN = Units(
  lambda x: x,
  _draw_normal,
  lambda x: (x**2 + math.log(2 * math.pi)) / 2,
  lambda v: -(v**2) / 2,
)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
  # Energies are sums of hundreds of products, and differences of them count to a tenth of a nat.
  return jnp.dot(a, b, precision=PRECISION)


def init(key: jax.Array, num_visible: int, num_hidden: int) -> Parameters:
  """Small normal weights, biases of 0."""
  weights = _SPREAD * jax.random.normal(key, (num_visible, num_hidden), jnp.float32)
  return Parameters(
    weights, jnp.zeros(num_visible, jnp.float32), jnp.zeros(num_hidden, jnp.float32)
  )


def hidden_logits(parameters: Parameters, visible: jax.Array) -> jax.Array:
  """Log-odds of the hidden units, [N, H], from the visible ones, [N, V]."""
  return _dot(visible, parameters.weights) + parameters.hidden_bias


def visible_logits(parameters: Parameters, hidden: jax.Array) -> jax.Array:
  """Logits of the visible units, [N, V], from the hidden ones, [N, H]."""
  return _dot(hidden, parameters.weights.T) + parameters.visible_bias


def energy(parameters: Parameters, visible: jax.Array, hidden: jax.Array) -> jax.Array:
  """-log p(v, h) - log Z of binary units, [N]; their mean, given means of independent units."""
  linear = _dot(visible, parameters.visible_bias)
  return -(linear + (hidden * hidden_logits(parameters, visible)).sum(axis=1))


def free_energy(units: Units, parameters: Parameters, visible: jax.Array) -> jax.Array:
  """-log p(v) - log Z, with the hidden units summed out.

  Args:
    units: kind of the visible ones.
    parameters: of the machine.
    visible: float32 [N, V].

  Returns:
    float32 [N].
  """
  linear = _dot(visible, parameters.visible_bias) + units.log_measure(visible).sum(axis=1)
  return -(linear + jax.nn.softplus(hidden_logits(parameters, visible)).sum(axis=1))


def gibbs(
  key: jax.Array,
  units: Units,
  parameters: Parameters,
  visible: jax.Array,
  num_steps: int,
  *,
  up: float = 1.0,
  down: float = 1.0,
) -> jax.Array:
  """Draws all hidden units from the visible ones and these from them, several times.

  Args:
    key: PRNG key.
    units: kind of the visible ones.
    parameters: of the machine.
    visible: that chains begin with, float32 [N, V].
    num_steps: of both sides.
    up: factor of the hidden units' logits; other than 1 in a deep machine's pretraining.
    down: factor of the visible units' logits.

  Returns:
    The visible units after it, float32 [N, V].
  """

  def step(index: jax.Array, visible: jax.Array) -> jax.Array:
    hidden_key, visible_key = jax.random.split(jax.random.fold_in(key, index))
    hidden = draw_binary(hidden_key, up * hidden_logits(parameters, visible))
    return units.draw(visible_key, down * visible_logits(parameters, hidden))

  return jax.lax.fori_loop(0, num_steps, step, visible)


def contrast(
  parameters: Parameters, data: jax.Array, fantasies: jax.Array, *, up: float = 1.0
) -> Parameters:
  """The gradient that descent follows: the fantasies' statistics less the data's.

  d log p(v) / d W = E[v h | data] - E[v h | model] (Hinton 2002), the model's mean taken over
  what chains have come to. Hidden units are summed out on both sides, which has less variance.

  Args:
    parameters: of the machine.
    data: float32 [N, V].
    fantasies: the chains' visible units, float32 [M, V].
    up: as in `gibbs`.

  Returns:
    Minus the estimated gradient of the mean log-likelihood.
  """
  of_data, of_model = (
    statistics(visible, jax.nn.sigmoid(up * hidden_logits(parameters, visible)))
    for visible in (data, fantasies)
  )
  return jax.tree.map(jnp.subtract, of_model, of_data)


def statistics(visible: jax.Array, hidden: jax.Array) -> Parameters:
  """Means over [N, V] and [N, H] of what each parameter is multiplied by in -E."""
  both = _dot(visible.T, hidden) / len(visible)
  return Parameters(both, visible.mean(axis=0), hidden.mean(axis=0))
