"""What the GANs before Adam share: cross-entropy, descended with a momentum that rises."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines.adversarial import momentum
from nsn_jax.baselines.adversarial.adversarial_model import AdversarialModel

__all__ = ["DescendingGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescendingGAN(AdversarialModel):
  """A GAN whose critic drops units, trained by gradient descent; a subclass gives its networks.

  The critic D maximises the mean of log D(x) + log(1 - D(G(z))), halved; the generator G that of
  log D(G(z)), whose gradient does not vanish where D is sure.

  Attributes:
    image_shape: [H, W, C].
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

  critic_draws: ClassVar[bool] = True
  #: Whether steps follow a mean of gradients, as by Torch's own descent, and not their sum.
  damped: ClassVar[bool] = False

  rate_decay: float
  first_momentum: float
  last_momentum: float
  momentum_steps: int

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("momentum_steps", self.momentum_steps, 1)
    checks.number("rate_decay", self.rate_decay, 0.0)
    for name in ("first_momentum", "last_momentum"):
      value = checks.number(name, getattr(self, name), 0.0)
      if value >= 1.0:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value}")

  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """Half the cross-entropy of real and generated, by scores that are log-odds."""
    return (jax.nn.softplus(-real_scores).mean() + jax.nn.softplus(fake_scores).mean()) / 2

  def generator_loss(self, fake_scores: jax.Array) -> jax.Array:
    """Cross-entropy of generated taken for real."""
    return jax.nn.softplus(-fake_scores).mean()

  def rate(self, step: jax.Array) -> jax.Array:
    """Of a step, float32 of its number from 0."""
    return self.learning_rate * jnp.exp(-math.log1p(self.rate_decay) * step)

  def momentum(self, step: jax.Array) -> jax.Array:
    """Of a step, float32 of its number from 0."""
    share = jnp.minimum(step / self.momentum_steps, 1.0)
    return (1 - share) * self.first_momentum + share * self.last_momentum

  def gain(self, step: jax.Array) -> jax.Array:
    """What a step's own gradient is multiplied by: the rate, times 1 - momentum where damped.

    Gradients that stay the same then move a parameter by the rate each step, and not by
    rate / (1 - momentum).
    """
    rate = self.rate(step)
    return rate * (1 - self.momentum(step)) if self.damped else rate

  def optimizer(self) -> optax.GradientTransformation:
    """Gradient descent with momentum."""
    return momentum.descent(self.gain, self.momentum)
