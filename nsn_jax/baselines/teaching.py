"""How a generator is taught images of known inputs: where it begins, its optimizer, and its loop.

There is one right image of each input, so that a squared error teaches it, as no adversary must.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

__all__ = ["OnStep", "adam", "begun_at_mean", "run"]

#: Called now and then with (steps done, num_steps, loss of the last one).
OnStep = Callable[[int, int, float], None]

_State = TypeVar("_State")

#: Steps between two looks at the loss, which wait for the device.
_REPORTED = 50


def begun_at_mean(images: npt.NDArray[np.uint8] | jax.Array) -> jax.Array:
  """What the mean of uint8 images [N, H, W, C] is the tanh of, in [-1, 1]: float32 [H, W, C]."""
  mean = jnp.asarray(images, jnp.float32).mean(axis=0)
  # A pixel that is always black should not be out of reach.
  return jnp.arctanh(0.99 * (mean / 127.5 - 1))


def adam(learning_rate: float, num_steps: int) -> optax.GradientTransformation:
  """Adam, whose learning rate falls to 0 over the steps, by a cosine."""
  return optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))


def run(
  key: jax.Array,
  step: Callable[[jax.Array, _State], tuple[_State, jax.Array]],
  state: _State,
  *,
  num_steps: int,
  learning_rate: float,
  progress: OnStep | None,
) -> _State:
  """The state after all steps.

  Args:
    key: PRNG key; step i has `fold_in(key, i)`.
    step: by a key from a state to the next, and the loss.
    state: the first.
    num_steps: >= 1.
    learning_rate: that the error names.
    progress: called every 50 steps, and after the last.

  Raises:
    FloatingPointError: where the loss is not finite.
  """
  for index in range(num_steps):
    state, loss = step(jax.random.fold_in(key, index), state)
    done = index + 1
    if done % _REPORTED and done < num_steps:
      continue
    if not np.isfinite(loss):
      raise FloatingPointError(
        f"the loss is {loss} after {done} steps: try a learning_rate below {learning_rate}"
      )
    if progress is not None:
      progress(done, num_steps, float(loss))
  return state
