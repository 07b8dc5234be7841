"""A convolutional variational auto-encoder of 8-bit pixels, grey or in colour."""

import dataclasses
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.encoder_decoder import Encoder, decoded
from nsn_jax.baselines.variational import discretised_logistic
from nsn_jax.baselines.variational.auto_encoder import AutoEncoder
from nsn_jax.pixel_range import to_signed

__all__ = ["ConvVAE"]

#: Near what it is trained to: from 1 Adam takes thousands of steps.
_FIRST_SCALE = 0.1


class _Decoder(nn.Module):
  """Latents [N, L] to the pixels' means [N, H, W, C] and log-scales [C]: the way back."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, latent: jax.Array) -> tuple[jax.Array, jax.Array]:
    means = decoded(latent, self.image_shape, self.width)
    first = nn.initializers.constant(math.log(_FIRST_SCALE))
    return means, self.param("log_scale", first, self.image_shape[-1:], jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvVAE(AutoEncoder):
  """A VAE whose networks are convolutions; pixels are discretised logistics, 8-bit as they are.

  The maps are those of the GANs here (Radford et al. 2016, arXiv:1511.06434), without batch
  normalisation, by which an image's bound would depend on the others; so the weights are He's. The
  likelihood is of Kingma et al. 2016 (arXiv:1606.04934): a mean for each value, a learned scale for
  each channel. A scale for each pixel would lower the bits where a background never changes, and
  let blurred means pass for uncertain ones. A sample is the mean, clipped.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the encoder's first layer, doubled in each further one; the decoder's are the
      same in reverse.
    latent: values of the latent.
    num_importance: draws of an image and step; 1 trains the evidence lower bound.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "VAE, convolutional"
  default_epochs: ClassVar[int] = 30
  width_field: ClassVar[str | None] = "width"
  of: ClassVar[str] = "8-bit pixels"

  width: int = 32
  latent: int = 64

  def __post_init__(self) -> None:
    super().__post_init__()
    networks.map_sides(self.image_shape)
    checks.integer("width", self.width, 1)

  @property
  def _encoder(self) -> Encoder:
    return Encoder(self.image_shape, self.width, 2 * self.latent)

  @property
  def _decoder(self) -> _Decoder:
    return _Decoder(self.image_shape, self.width)

  def encoder_input(self, images: jax.Array) -> jax.Array:
    """Images as they are."""
    return images

  def reconstruction(self, decoder: Any, latent: jax.Array, images: jax.Array) -> jax.Array:
    """Minus the log-probability of 8-bit pixels, in nats: latents [..., N, L] to [..., N]."""
    means, log_scale = self._pixels(decoder, latent)
    found = discretised_logistic.log_probability(images, means, log_scale)
    return -found.sum(axis=(-3, -2, -1))

  def mean_images(self, decoder: Any, latent: jax.Array) -> jax.Array:
    """Means, clipped: float32 [N, H, W, C] in [-1, 1]."""
    return jnp.clip(self._pixels(decoder, latent)[0], -1.0, 1.0)

  def _pixels(self, decoder: Any, latent: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means [..., N, H, W, C] and log-scales [C]."""
    found: Any = self._decoder.apply(decoder, latent.reshape(-1, self.latent))
    means, log_scale = found
    return means.reshape(*latent.shape[:-1], *self.image_shape), log_scale

  def observed(self, images: npt.NDArray[np.uint8]) -> jax.Array:
    """8-bit images in [-1, 1]."""
    return to_signed(images)
