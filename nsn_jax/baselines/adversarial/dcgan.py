"""DCGAN (Radford et al. 2016, arXiv:1511.06434)."""

import dataclasses
from typing import ClassVar

import jax
import optax

from nsn_jax.baselines.adversarial.convolutional import ConvolutionalGAN

__all__ = ["DCGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DCGAN(ConvolutionalGAN):
  """The critic tells real from generated images; the generator makes it say real.

  The paper's recipe: Adam of rate 2e-4 and beta1 0.5, batches of 128, 100 values of uniform noise,
  and Goodfellow's second generator loss, -log D, whose gradient does not vanish where D is sure.
  """

  title: ClassVar[str] = "DCGAN"
  default_epochs: ClassVar[int] = 16

  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """Cross-entropy of real and generated, by scores that are log-odds."""
    return jax.nn.softplus(-real_scores).mean() + jax.nn.softplus(fake_scores).mean()

  def generator_loss(self, fake_scores: jax.Array) -> jax.Array:
    """Cross-entropy of generated taken for real."""
    return jax.nn.softplus(-fake_scores).mean()

  def optimizer(self) -> optax.GradientTransformation:
    """Adam with little momentum."""
    return optax.adam(self.learning_rate, b1=0.5)
