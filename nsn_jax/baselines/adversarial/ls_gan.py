"""LS-GAN, the Loss-Sensitive GAN (Qi 2017, arXiv:1701.06264); not the least-squares one."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines.adversarial.convolutional import ConvolutionalGAN

__all__ = ["LSGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSGAN(ConvolutionalGAN):
  """The critic is a loss L >= 0: a real image's is below a generated one's by their distance.

  The critic minimises the mean of max(0, Delta(x, G(z)) + L(x) - L(G(z))) over pairs, the
  generator that of L(G(z)). As in the author's code the paper's first term, the mean of L(x), has
  weight 0; its recipe is Adam of rate 1e-4 and beta1 0.5, batches of 64, and for Delta the L1
  distance of pixels in [-1, 1], summed over 64x64x3 and times 2e-4. Here it is a mean over an
  image's values, so that the margin does not depend on its size; `margin` is that code's factor.

  Attributes:
    margin: of the mean absolute difference of two images.
  """

  title: ClassVar[str] = "LS-GAN"
  default_epochs: ClassVar[int] = 16

  batch_size: int = 64
  learning_rate: float = 1e-4
  margin: float = 2e-4 * 64 * 64 * 3

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.number("margin", self.margin, 0.0, above=True)

  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """Mean hinge of the margins."""
    margins = self.margin * jnp.abs(real - fake).mean(axis=(1, 2, 3))
    losses = jax.nn.relu(real_scores) - jax.nn.relu(fake_scores)
    return jax.nn.relu(margins + losses).mean()

  def generator_loss(self, fake_scores: jax.Array) -> jax.Array:
    """Mean loss of generated images."""
    return jax.nn.relu(fake_scores).mean()

  def optimizer(self) -> optax.GradientTransformation:
    """Adam with little momentum."""
    return optax.adam(self.learning_rate, b1=0.5)
