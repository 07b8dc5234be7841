"""What PixelRNNs share: an exact density to train by, samples value by value, and completions."""

import abc
import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.baseline import Baseline, Density, Family, Metrics

__all__ = ["AutoregressiveModel", "AutoregressiveState"]


class AutoregressiveState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    params: of the network, or of all of them.
    optimizer: the optimizer's state.
  """

  params: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoregressiveModel(Baseline):
  """A product over values, each given those before it; a subclass gives the networks.

  Attributes:
    image_shape: [H, W, C].
    batch_size: images a step.
    learning_rate: of RMSProp; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  family: ClassVar[Family] = Family.AUTOREGRESSIVE

  batch_size: int = 16

  # What a subclass gives.

  @abc.abstractmethod
  def first(self, key: jax.Array) -> Any:
    """Parameters that training begins with."""

  @abc.abstractmethod
  def value_bits(self, params: Any, images: jax.Array) -> jax.Array:
    """Negative log2-likelihood of each value, given those before it.

    Args:
      params: of the network.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [N, H, W, C]. Pure.
    """

  @abc.abstractmethod
  def draw(self, key: jax.Array, params: Any, images: jax.Array, known: jax.Array) -> jax.Array:
    """Images of which some pixels are known: as `complete`, unchecked."""

  # What all share.

  @property
  def sequential_steps(self) -> int:
    """A value waits for those before it."""
    return math.prod(self.image_shape)

  def _optimizer(self) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.rmsprop(self.learning_rate))

  def init(self, key: jax.Array) -> AutoregressiveState:
    """The state that training begins with."""
    params = self.first(key)
    return AutoregressiveState(params, self._optimizer().init(params))

  def bits(self, params: Any, images: jax.Array) -> jax.Array:
    """Negative log2-likelihood of each image, in bits a value: float32 [N]."""
    return self.value_bits(params, images).mean(axis=(1, 2, 3))

  def step(
    self, key: jax.Array, state: AutoregressiveState, images: jax.Array
  ) -> tuple[AutoregressiveState, Metrics]:
    """One step of RMSProp; returns the loss before it, in bits a value. Nothing is drawn."""
    del key
    loss, gradient = jax.value_and_grad(lambda p: self.bits(p, images).mean())(state.params)
    updates, optimizer = self._optimizer().update(gradient, state.optimizer)
    params: Any = optax.apply_updates(state.params, updates)
    return AutoregressiveState(params, optimizer), {"bits": loss}

  def generate(self, key: jax.Array, state: AutoregressiveState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1], value by value."""
    blank = jnp.zeros((num_samples, *self.image_shape), jnp.float32)
    return self.draw(key, state.params, blank, jnp.zeros(self.image_shape[:2], bool))

  def complete(
    self, key: jax.Array, state: AutoregressiveState, images: jax.Array, known: jax.Array
  ) -> jax.Array:
    """Occluded images completed: known pixels stay, the others are drawn given all before them.

    Where the known pixels come first, row by row, the others are drawn given all of them, exactly.
    A known pixel has no part in those that are drawn before it.

    Args:
      key: PRNG key; where nothing is known the images are those that `generate` draws by it.
      state: trained.
      images: float32 [N, H, W, C] in [-1, 1]; what is not known has no part in anything.
      known: True where a pixel is known, bool [H, W], or [N, H, W].

    Returns:
      float32 [N, H, W, C] in [-1, 1]. Pure.

    Raises:
      ValueError: for arrays that are not as above.
    """
    images = checks.floats("images", images, "N, H, W, C")
    if images.shape[1:] != self.image_shape:
      raise ValueError(
        f"images: expected [N, {', '.join(map(str, self.image_shape))}], "
        f"got shape {tuple(images.shape)}"
      )
    num, height, width, _ = images.shape
    if known.dtype != np.bool_ or known.shape not in ((height, width), (num, height, width)):
      raise ValueError(
        f"known: expected bool [{height}, {width}] or [{num}, {height}, {width}], "
        f"got {known.dtype} {tuple(known.shape)}"
      )
    return self.draw(key, state.params, images, known)

  def generating(self, state: AutoregressiveState) -> Any:
    """The parameters."""
    return state.params

  def held_out_density(
    self, key: jax.Array, state: AutoregressiveState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The exact negative log-likelihood of 8-bit pixels. Nothing is drawn."""
    del key
    return pixel_values.density(self.bits, state.params, images)
