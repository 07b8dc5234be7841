"""What all models share whose pixels are drawn by the layers of a gated PixelCNN."""

import dataclasses
from typing import ClassVar

import optax

from nsn_jax.baselines.autoregressive.autoregressive_model import AutoregressiveModel
from nsn_jax.baselines.autoregressive.gated_stack import GatedStack

__all__ = ["GatedModel"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatedModel(AutoregressiveModel):
  """Gated layers, without what they are given beside the pixels.

  Attributes:
    image_shape: [H, W, 1].
    width: F, channels of the layers.
    num_layers: gated layers, the first of 7x7 and the others of 3x3 windows, dilated by 1, 2, 4 and
      so on from the start.
    batch_size: images a step.
    learning_rate: of Adam; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  default_epochs: ClassVar[int] = 5
  width_field: ClassVar[str | None] = "width"

  width: int = 32
  num_layers: int = 7
  batch_size: int = 64

  def __post_init__(self) -> None:
    super().__post_init__()
    GatedStack(self.image_shape, self.width, self.num_layers)  # which checks them

  @property
  def stack(self) -> GatedStack:
    """The layers."""
    return GatedStack(self.image_shape, self.width, self.num_layers)

  def rule(self) -> optax.GradientTransformation:
    """Adam's."""
    return optax.adam(self.learning_rate)
