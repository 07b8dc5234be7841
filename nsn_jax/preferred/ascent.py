"""Ascent within a box, of which no step falls."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Climbed", "climb"]

#: What a step's length is multiplied by where it rose, and where it did not.
_LONGER, _SHORTER = 1.5, 0.5


class Climbed(NamedTuple):
  """Where an ascent ended.

  Attributes:
    codes: float32 [N, ...].
    values: of each code before the first step and after each, float32 [num_steps + 1, N].
  """

  codes: jax.Array
  values: jax.Array


class _State(NamedTuple):
  """Where it is: codes with their values and gradients, and lengths of the next steps [N]."""

  codes: jax.Array
  values: jax.Array
  gradients: jax.Array
  lengths: jax.Array


def climb(
  objective: Callable[[jax.Array], jax.Array],
  start: jax.Array,
  *,
  weight: float,
  upper: float,
  num_steps: int,
) -> Climbed:
  """Raises phi(y) - weight |y|^2 over codes y in [0, upper], each on its own. Pure.

  A step goes along the gradient and is clipped to the box. Where the value has not risen, the code
  stays as it was and its next step is half as long; else the next is half again as long. Nguyen et
  al. have steps of one length instead.

  Args:
    objective: phi, of codes [N, ...] to values [N]; no value depends on another's code.
    start: codes float32 [N, ...]; they are clipped first.
    weight: of the squared norm, >= 0.
    upper: >= 0.
    num_steps: >= 0.
  """

  def valued(codes: jax.Array) -> tuple[jax.Array, jax.Array]:
    def total(codes: jax.Array) -> tuple[jax.Array, jax.Array]:
      squares = (codes**2).reshape(len(codes), -1).sum(axis=1)
      values = objective(codes) - weight * squares
      return values.sum(), values

    gradients, values = jax.grad(total, has_aux=True)(codes)
    return values, gradients

  def step(state: _State, _: None) -> tuple[_State, jax.Array]:
    across = (-1, *[1] * (start.ndim - 1))
    codes = state.codes + state.lengths.reshape(across) * state.gradients
    codes = jnp.clip(codes, 0.0, upper)
    values, gradients = valued(codes)
    rose = values > state.values  # Not where it is NaN.

    def chosen(new: jax.Array, old: jax.Array) -> jax.Array:
      return jnp.where(rose.reshape(across[: new.ndim]), new, old)

    state = _State(
      chosen(codes, state.codes),
      chosen(values, state.values),
      chosen(gradients, state.gradients),
      state.lengths * jnp.where(rose, _LONGER, _SHORTER),
    )
    return state, state.values

  codes = jnp.clip(start, 0.0, upper)
  state = _State(codes, *valued(codes), jnp.ones(len(codes), jnp.float32))
  ended, values = jax.lax.scan(step, state, None, length=num_steps)
  return Climbed(ended.codes, jnp.concatenate([state.values[None], values]))
