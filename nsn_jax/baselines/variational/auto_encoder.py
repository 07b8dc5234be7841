"""What variational auto-encoders share whose latent is one draw (Kingma & Welling 2014)."""

import abc
import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines.variational import normal_latent
from nsn_jax.baselines.variational.normal_latent import Posterior
from nsn_jax.baselines.variational.variational_model import Variational

__all__ = ["AutoEncoder"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoEncoder(Variational):
  """Image to posterior, draw to pixels' distribution; a subclass gives networks and likelihood.

  Attributes:
    latent: values of the latent, L.
  """

  latent: int = 20

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("latent", self.latent, 1)

  # What a subclass gives.

  @property
  @abc.abstractmethod
  def _encoder(self) -> nn.Module:
    """To means and log-variances, [N, 2L]."""

  @property
  @abc.abstractmethod
  def _decoder(self) -> nn.Module:
    """From [N, L]."""

  @abc.abstractmethod
  def encoder_input(self, images: jax.Array) -> jax.Array:
    """Images, float32 [N, H, W, C] in [-1, 1], as the encoder takes them."""

  @abc.abstractmethod
  def reconstruction(self, decoder: Any, latent: jax.Array, images: jax.Array) -> jax.Array:
    """Minus log p(x | z), in nats an image.

    Args:
      decoder: parameters.
      latent: float32 [..., N, L].
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [..., N].
    """

  @abc.abstractmethod
  def mean_images(self, decoder: Any, latent: jax.Array) -> jax.Array:
    """What samples are: means, latents [N, L] to float32 [N, H, W, C] in [-1, 1]."""

  # What all share.

  def first(self, key: jax.Array) -> tuple[Any, Any]:
    """Parameters of the encoder and the decoder that training begins with."""
    encoder_key, decoder_key = jax.random.split(key)
    image = jnp.zeros((1, *self.image_shape), jnp.float32)
    encoder = self._encoder.init(encoder_key, self.encoder_input(image))
    decoder = self._decoder.init(decoder_key, jnp.zeros((1, self.latent), jnp.float32))
    return encoder, decoder

  def posterior(self, encoder: Any, images: jax.Array) -> Posterior:
    """q(z | x) of images, float32 [N, H, W, C] in [-1, 1]."""
    codes: Any = self._encoder.apply(encoder, self.encoder_input(images))
    return Posterior(*jnp.split(codes, 2, axis=1))

  def losses(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Reconstruction loss of one draw and divergence of each image, in nats: [N] each."""
    posterior = self.posterior(encoder, images)
    noise = jax.random.normal(key, posterior.mean.shape, jnp.float32)
    draw = normal_latent.drawn(posterior, noise)
    return self.reconstruction(decoder, draw, images), normal_latent.divergence(posterior)

  def log_weights(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array, num_draws: int
  ) -> jax.Array:
    """Of draws of z from q, log p(x | z) + log p(z) - log q(z | x): float32 [num_draws, N]."""
    posterior = self.posterior(encoder, images)
    noise = jax.random.normal(key, (num_draws, *posterior.mean.shape), jnp.float32)
    draws = normal_latent.drawn(posterior, noise)
    return normal_latent.log_ratio(posterior, noise) - self.reconstruction(decoder, draws, images)

  def generate(self, key: jax.Array, state: Any, num_samples: int) -> jax.Array:
    """Means of pixels at draws of the prior, float32 [num_samples, H, W, C] in [-1, 1]."""
    latent = jax.random.normal(key, (num_samples, self.latent), jnp.float32)
    return self.mean_images(state.decoder, latent)
