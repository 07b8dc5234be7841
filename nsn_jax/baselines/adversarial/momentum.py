"""Gradient descent whose rate and momentum change with the steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["MomentumState", "descent"]

#: A number of the steps so far, float32.
Schedule = Callable[[jax.Array], jax.Array]


class MomentumState(NamedTuple):
  """What descent keeps.

  Attributes:
    velocity: the last update, a tree like the parameters.
    step: number of steps so far, int32.
  """

  velocity: Any
  step: jax.Array


def descent(rate: Schedule, momentum: Schedule) -> optax.GradientTransformation:
  """Adds v to the parameters, where v becomes momentum(t) v - rate(t) gradient.

  The rate is within the velocity, as in the first GAN's code; optax's `sgd` has it outside, where
  a change of it changes what past gradients count.

  Args:
    rate: of the step's number, from 0.
    momentum: likewise.
  """

  def init(params: Any) -> MomentumState:
    return MomentumState(jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32))

  def update(gradient: Any, state: MomentumState, params: Any = None) -> tuple[Any, MomentumState]:
    del params
    step = state.step.astype(jnp.float32)
    share, size = momentum(step), rate(step)
    velocity = jax.tree.map(lambda v, g: share * v - size * g, state.velocity, gradient)
    return velocity, MomentumState(velocity, state.step + 1)

  return optax.GradientTransformation(init, update)
