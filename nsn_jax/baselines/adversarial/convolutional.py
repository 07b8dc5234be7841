"""What the GANs of DCGAN's networks share."""

import dataclasses
from typing import ClassVar

import flax.linen as nn

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.adversarial.adversarial_model import AdversarialModel

__all__ = ["ConvolutionalGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvolutionalGAN(AdversarialModel):
  """A GAN of DCGAN's networks, without its losses, which a subclass gives.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the critic's first layer, doubled in each further one; the generator's are
      the same in reverse.
    latent: values of noise an image.
    batch_size: images a step.
    learning_rate: of both networks.

  Raises:
    ValueError: for values that are not as above.
  """

  width_field: ClassVar[str | None] = "width"

  width: int = 64

  def __post_init__(self) -> None:
    super().__post_init__()
    networks.map_sides(self.image_shape)
    checks.integer("width", self.width, 1)

  @property
  def _generator(self) -> nn.Module:
    return networks.Generator(self.image_shape, self.width)

  @property
  def _critic(self) -> nn.Module:
    return networks.Critic(self.image_shape, self.width)
