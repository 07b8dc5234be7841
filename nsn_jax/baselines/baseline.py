"""What a baseline is: a model with a state, a training step and a sampler."""

import functools
import math
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks

#: Parameters and whatever else a step changes: a pytree.
State = Any
#: Scalars of a step, by name.
Metrics = Mapping[str, jax.Array]


class Baseline(Protocol):
  """A model; hashable, so that it can be a static argument.

  Attributes:
    image_shape: [H, W, C].
    batch_size: of a training step.
  """

  @property
  def image_shape(self) -> tuple[int, int, int]: ...  # noqa: D102

  @property
  def batch_size(self) -> int: ...  # noqa: D102

  def init(self, key: jax.Array) -> State:
    """The state that training begins with."""
    ...

  def step(self, key: jax.Array, state: State, images: jax.Array) -> tuple[State, Metrics]:
    """One step on a batch, float32 [batch_size, H, W, C] in [-1, 1]. Pure."""
    ...

  def generate(self, key: jax.Array, state: State, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1]. Pure."""
    ...

  def generating(self, state: State) -> Any:
    """The parameters that sampling needs."""
    ...


def to_signed(images: npt.NDArray[np.uint8] | jax.Array) -> jax.Array:
  """8-bit images to float32 in [-1, 1]."""
  return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def sample(
  key: jax.Array, model: Baseline, state: State, num_samples: int, *, batch_size: int = 500
) -> npt.NDArray[np.uint8]:
  """Draws samples, batch by batch.

  Args:
    key: PRNG key.
    model: whose samples.
    state: trained.
    num_samples: N, at least 1.
    batch_size: samples drawn at a time, at least 1; a change of it draws others.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: for arguments that are not as above.
  """
  checks.key("key", key)
  checks.integer("num_samples", num_samples, 1)
  checks.integer("batch_size", batch_size, 1)
  batch_size = min(batch_size, num_samples)
  parts = [
    np.asarray(_generate(model, jax.random.fold_in(key, batch), state, batch_size))
    for batch in range(-(-num_samples // batch_size))
  ]
  return np.concatenate(parts)[:num_samples]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _generate(model: Baseline, key: jax.Array, state: State, num_samples: int) -> jax.Array:
  images = model.generate(key, state, num_samples)
  return jnp.round(jnp.clip((images + 1.0) * 127.5, 0.0, 255.0)).astype(jnp.uint8)


def num_parameters(tree: Any) -> int:
  """Number of values in a pytree of arrays."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
