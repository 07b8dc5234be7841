"""A convolutional auto-encoder (Masci et al. 2011) of squared error: its images are means."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines.auto_encoders.encoding_model import EncodingModel
from nsn_jax.baselines.encoder_decoder import Decoder

__all__ = ["ConvAutoEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvAutoEncoder(EncodingModel):
  """Deconvolutions give the image back, and are trained by the squared error of its values.

  What a code leaves open becomes a mean: strokes that may be here or there are blurred. It stands
  beside `PixelCNNAutoEncoder`, whose encoder is the same, as in section 3.4 of van den Oord et al.
  2016 (arXiv:1606.05328).

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the decoder's last map but the image, doubled in each one before.
    latent: values of a code.
    encoder_width: channels of the encoder's first layer, doubled in each further one.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "auto-encoder"
  default_epochs: ClassVar[int] = 20
  width_field: ClassVar[str | None] = "width"
  loss_name: ClassVar[str] = "squared_error"

  width: int = 32

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("width", self.width, 1)

  @property
  def _decoder(self) -> Decoder:
    return Decoder(self.image_shape, self.width)

  def first_decoder(self, key: jax.Array) -> Any:
    """Small weights in the last layer: all images begin grey."""
    return self._decoder.init(key, jnp.zeros((1, self.latent), jnp.float32))

  def _means(self, decoder: Any, codes: jax.Array) -> jax.Array:
    means: Any = self._decoder.apply(decoder, codes)
    return means

  def losses(self, decoder: Any, codes: jax.Array, images: jax.Array) -> jax.Array:
    """The mean squared error of each image's values in [-1, 1]: float32 [N]."""
    return jnp.square(self._means(decoder, codes) - images).mean(axis=(1, 2, 3))

  def decode(self, key: jax.Array, decoder: Any, codes: jax.Array) -> jax.Array:
    """Images of codes [N, L], clipped: float32 [N, H, W, C] in [-1, 1]. Nothing is drawn."""
    del key
    return jnp.clip(self._means(decoder, codes), -1.0, 1.0)
