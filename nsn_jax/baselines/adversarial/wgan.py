"""WGAN (Arjovsky et al. 2017, arXiv:1701.07875)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines.adversarial.convolutional import ConvolutionalGAN

__all__ = ["WGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class WGAN(ConvolutionalGAN):
  """The critic's scores differ as far as its clipped weights allow; the generator raises its own.

  The paper's recipe (Algorithm 1): RMSProp of rate 5e-5, batches of 64, weights clipped to
  [-0.01, 0.01], 5 steps of the critic for one of the generator, normal noise. As in the authors'
  code the critic goes ahead at the beginning; theirs does so by 2,500 steps, with 25 of the
  generator between them, and by 100 more every 500 of the generator's, which ours leaves out.

  Attributes:
    critic_steps: of the critic for one of the generator.
    clip: bound of the critic's weights.
    head_start: steps that the generator waits for.
  """

  title: ClassVar[str] = "WGAN"
  default_epochs: ClassVar[int] = 40

  batch_size: int = 64
  learning_rate: float = 5e-5
  critic_steps: int = 5
  clip: float = 0.01
  head_start: int = 500

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("critic_steps", self.critic_steps, 1)
    checks.integer("head_start", self.head_start, 0)
    checks.number("clip", self.clip, 0.0, above=True)

  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """Minus the estimate of the Wasserstein distance, up to the clipped weights' scale."""
    return fake_scores.mean() - real_scores.mean()

  def generator_loss(self, fake_scores: jax.Array) -> jax.Array:
    """Minus the mean score."""
    return -fake_scores.mean()

  def optimizer(self) -> optax.GradientTransformation:
    """RMSProp as Torch has it: no momentum, which the paper found unstable.

    Epsilon stands outside the root: a clipped critic's gradients are of 1e-4 and less, and 1e-8
    inside it would cut the generator's steps to a fifth of the paper's, at first to a hundredth.
    """
    return optax.rmsprop(self.learning_rate, decay=0.99, eps=1e-8, eps_in_sqrt=False)

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """Normal, [num_samples, latent]."""
    return jax.random.normal(key, (num_samples, self.latent), jnp.float32)

  def constrain(self, critic: Any) -> Any:
    """Clips the critic's weights."""
    return jax.tree.map(lambda x: jnp.clip(x, -self.clip, self.clip), critic)

  def trains_generator(self, step: jax.Array) -> jax.Array:
    """Every `critic_steps`-th step, once the critic has had its start."""
    return (step >= self.head_start) & ((step + 1) % self.critic_steps == 0)
