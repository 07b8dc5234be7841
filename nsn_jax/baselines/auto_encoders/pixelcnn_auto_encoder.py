"""An auto-encoder whose decoder is a PixelCNN (van den Oord et al. 2016, arXiv:1606.05328)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines.auto_encoders.encoding_model import EncodingModel
from nsn_jax.baselines.autoregressive import gated_stack, pixel_values
from nsn_jax.baselines.autoregressive.gated_stack import Condition, GatedStack
from nsn_jax.baselines.baseline import Family
from nsn_jax.baselines.encoder_decoder import Decoder

__all__ = ["PixelCNNAutoEncoder", "PixelCNNDecoder"]


class PixelCNNDecoder(NamedTuple):
  """The decoder's parameters: a pytree.

  Attributes:
    stack: of the layers.
    conditions: of the condition, a layer each.
    map: of the network from a code to a map, m of Eq 5; None where there is none.
  """

  stack: gated_stack.Weights
  conditions: tuple[gated_stack.LayerCondition, ...]
  map: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelCNNAutoEncoder(EncodingModel):
  """An encoder to a code h and a PixelCNN of p(x | h), trained end to end (section 2.4).

  The loss is -log p(x | h), in bits a value. The pixels before a pixel tell how strokes look, so
  that h need not: it holds what they do not tell, and what it leaves open is drawn, not averaged.
  A reconstruction is a draw of p(x | h): sharp, and another one each time.

  h reaches every gate of every layer, as itself (Eq 4 of the paper, `map_features` of 0), or as a
  map of the image's size, s = m(h) by deconvolutions, which tells where things are (Eq 5).

  We depart from the paper: its auto-encoders are of 32x32 patches of photographs in colour, with
  codes of 10 and 100 values, and h is given as in Eq 4, as far as it says; here a map is the
  default, as a digit's strokes are somewhere. The layers are those of `PixelCNN`.

  Attributes:
    image_shape: [H, W, 1]; square, of a side of at least 5.
    width: F, channels of the PixelCNN's layers.
    num_layers: gated layers, see `PixelCNN`.
    map_features: D, channels of the map that a code becomes; 0 for the code itself at all pixels.
    latent: values of a code.
    encoder_width: channels of the encoder's first layer, doubled in each further one, and of the
      last but one layer from a code to its map.
    batch_size: images a step.
    learning_rate: of Adam; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "PixelCNN auto-encoder"
  default_epochs: ClassVar[int] = 5
  family: ClassVar[Family] = Family.AUTOREGRESSIVE
  width_field: ClassVar[str | None] = "width"
  loss_name: ClassVar[str] = "bits"

  width: int = 32
  num_layers: int = 7
  map_features: int = 16

  def __post_init__(self) -> None:
    super().__post_init__()
    GatedStack(self.image_shape, self.width, self.num_layers)  # which checks them
    checks.integer("map_features", self.map_features, 0)

  @property
  def sequential_steps(self) -> int:
    """A pixel waits for those before it."""
    return self.image_shape[0] * self.image_shape[1]

  @property
  def stack(self) -> GatedStack:
    """The decoder's layers."""
    return GatedStack(self.image_shape, self.width, self.num_layers)

  @property
  def _map(self) -> Decoder:
    return Decoder((*self.image_shape[:2], self.map_features), self.encoder_width)

  def optimizer(self) -> optax.GradientTransformation:
    """Of both networks, as of a PixelCNN."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.learning_rate))

  def first_decoder(self, key: jax.Array) -> PixelCNNDecoder:
    """LeCun's normal weights; a map begins near 0."""
    stack_key, condition_key, map_key = jax.random.split(key, 3)
    first = None
    if self.map_features:
      first = self._map.init(map_key, jnp.zeros((1, self.latent), jnp.float32))
    conditions = self.stack.init_condition(condition_key, self.map_features or self.latent)
    return PixelCNNDecoder(self.stack.init(stack_key), conditions, first)

  def condition(self, decoder: PixelCNNDecoder, codes: jax.Array) -> Condition:
    """What codes [N, L] give the layers."""
    if not self.map_features:
      return Condition.everywhere(decoder.conditions, codes)
    maps: Any = self._map.apply(decoder.map, codes)
    return Condition(decoder.conditions, maps)

  def losses(self, decoder: PixelCNNDecoder, codes: jax.Array, images: jax.Array) -> jax.Array:
    """-log2 p(x | h) of each image, in bits a value: float32 [N]."""
    logits = self.stack.logits(decoder.stack, images, self.condition(decoder, codes))
    return pixel_values.bits(logits, images[..., 0]).mean(axis=(1, 2))

  def decode(self, key: jax.Array, decoder: PixelCNNDecoder, codes: jax.Array) -> jax.Array:
    """Draws of p(x | h), of codes [N, L]: float32 [N, H, W, 1] in [-1, 1]."""
    blank = pixel_values.nothing_known(len(codes), self.image_shape)
    return self.stack.draw(key, decoder.stack, *blank, self.condition(decoder, codes))
