"""The first GAN (Goodfellow et al. 2014, arXiv:1406.2661)."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.adversarial import dense_networks
from nsn_jax.baselines.adversarial.adversarial_model import GANState
from nsn_jax.baselines.adversarial.descending_gan import DescendingGAN

__all__ = ["GAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN(DescendingGAN):
  """Dense networks: rectified units make images, maxout with dropout tells them from real ones.

  The critic D maximises the mean of log D(x) + log(1 - D(G(z))), halved as in the authors' code
  (Eq 1 of the paper); the generator G that of log D(G(z)), which the paper trains by as its
  gradient does not vanish where D is sure. The recipe is that code's for MNIST: batches of 100,
  normal noise, gradient descent of rate 0.1 that falls by a factor 1.000004 a step, momentum that
  rises from 0.5 to 0.7 over 250 epochs of 500 steps. Untrained images are the training images'
  mean, and both networks step at once, by the same dropout. That decides: where the generator meets
  the critic after its step and by dropout of its own, as Algorithm 1 has it, the critic wins within
  2,000 steps on MNIST, and stays ahead.

  We depart from that code: the rate has no floor, which there comes after 2.9 million steps.

  Attributes:
    image_shape: [H, W, C].
    width: rectified units of the generator's two layers, and linear pieces of the critic's two.
    pieces: of a maxout unit; there are width / pieces of them in a layer, rounded up.
    latent: values of noise an image.
    batch_size: images a step.
    learning_rate: of the first step.
    rate_decay: by how much of itself the rate falls each step.
    first_momentum: of the first step, below 1.
    last_momentum: after `momentum_steps`, below 1.
    momentum_steps: that momentum changes over.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "GAN"
  default_epochs: ClassVar[int] = 80
  at_once: ClassVar[bool] = True
  width_field: ClassVar[str | None] = "width"

  width: int = 1200
  pieces: int = 5
  batch_size: int = 100
  learning_rate: float = 0.1
  rate_decay: float = 4e-6
  first_momentum: float = 0.5
  last_momentum: float = 0.7
  momentum_steps: int = 250 * 500

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("width", "pieces"):
      checks.integer(name, getattr(self, name), 1)

  @property
  def _generator(self) -> nn.Module:
    return dense_networks.DenseGenerator(self.image_shape, self.width)

  @property
  def _critic(self) -> nn.Module:
    return dense_networks.MaxoutCritic(-(-self.width // self.pieces), self.pieces)

  def informed(self, state: GANState, images: npt.NDArray[np.uint8]) -> GANState:
    """Untrained images become the mean of the training images."""
    mean = images.mean(axis=0, dtype=np.float64) / 255
    return state._replace(generator=dense_networks.beginning_at(state.generator, mean))

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """Standard normal, [num_samples, latent]."""
    return jax.random.normal(key, (num_samples, self.latent), jnp.float32)
