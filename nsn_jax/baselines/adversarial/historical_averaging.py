"""Historical averaging (Salimans et al. 2016, arXiv:1606.03498, section 3.3)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["HistoryState", "historical_averaging"]


class HistoryState(NamedTuple):
  """What is kept of the past.

  Attributes:
    mean: of the parameters before each step so far, a tree like theirs.
    step: number of steps so far, int32.
  """

  mean: Any
  step: jax.Array


def historical_averaging(weight: float) -> optax.GradientTransformation:
  """Adds to a loss the distance from past parameters, by its gradient.

  The term of step t is weight * |theta_t - mean of theta_1 ... theta_t|^2, where the mean counts as
  given; its gradient is 2 weight (theta_t - mean). Goes before an optimizer, in `optax.chain`.

  Args:
    weight: of the term.
  """

  def init(params: Any) -> HistoryState:
    return HistoryState(jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32))

  def update(gradient: Any, state: HistoryState, params: Any = None) -> tuple[Any, HistoryState]:
    step = state.step + 1
    share = 1.0 / step.astype(jnp.float32)
    mean = jax.tree.map(lambda m, p: m + share * (p - m), state.mean, params)
    pulled = jax.tree.map(lambda g, p, m: g + 2 * weight * (p - m), gradient, params, mean)
    return pulled, HistoryState(mean, step)

  return optax.GradientTransformation(init, update)
