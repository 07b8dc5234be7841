"""What models share that are given nothing beside the pixels: exact densities, completions."""

import abc
import dataclasses
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.autoregressive.autoregressive_model import (
  AutoregressiveModel,
  AutoregressiveState,
)
from nsn_jax.baselines.baseline import Density, Metrics

__all__ = ["CompletingModel"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletingModel(AutoregressiveModel):
  """Each value has a probability given those before it; what is known of an image may be given.

  Attributes:
    image_shape: [H, W, C].
    batch_size: images a step.
    learning_rate: of the optimizer.

  Raises:
    ValueError: for values that are not as above.
  """

  # What a subclass gives.

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

  def bits(self, params: Any, images: jax.Array) -> jax.Array:
    """Negative log2-likelihood of each image, in bits a value: float32 [N]."""
    return self.value_bits(params, images).mean(axis=(1, 2, 3))

  def step(
    self, key: jax.Array, state: AutoregressiveState, images: jax.Array
  ) -> tuple[AutoregressiveState, Metrics]:
    """One step; returns the loss before it, in bits a value. Nothing is drawn."""
    del key
    return self.descend(state, lambda params: self.bits(params, images))

  def generate(self, key: jax.Array, state: AutoregressiveState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1], value by value."""
    return self.draw(key, state.params, *pixel_values.nothing_known(num_samples, self.image_shape))

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
    images = self.check_images(images)
    num, height, width, _ = images.shape
    if known.dtype != np.bool_ or known.shape not in ((height, width), (num, height, width)):
      raise ValueError(
        f"known: expected bool [{height}, {width}] or [{num}, {height}, {width}], "
        f"got {known.dtype} {tuple(known.shape)}"
      )
    return self.draw(key, state.params, images, known)

  def held_out_density(
    self, key: jax.Array, state: AutoregressiveState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The exact negative log-likelihood of 8-bit pixels. Nothing is drawn."""
    del key
    return pixel_values.density(self.bits, state.params, images)
