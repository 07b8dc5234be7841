"""What auto-encoders share whose code is the encoder's word, and no draw."""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.baseline import Baseline, Metrics
from nsn_jax.baselines.encoder_decoder import Encoder

__all__ = ["CodeMoments", "EncodingModel", "EncodingState"]

#: By which a step moves the codes' moments to those of its batch: they are of some hundred batches.
_RATE = 0.01


class CodeMoments(NamedTuple):
  """Running moments of codes.

  Attributes:
    mean: float32 [L].
    covariance: float32 [L, L].
  """

  mean: jax.Array
  covariance: jax.Array

  def after(self, codes: jax.Array) -> "CodeMoments":
    """Moved to a batch's, [N, L]."""
    mean = codes.mean(axis=0)
    moved, about = mean - self.mean, codes - mean
    # About each one's own mean: a difference of means of squares would be lost by rounding.
    before = self.covariance + _RATE * jnp.outer(moved, moved)
    covariance = (1 - _RATE) * before + _RATE * (about.T @ about / len(codes))
    return CodeMoments(self.mean + _RATE * moved, covariance)

  def draw(self, key: jax.Array, num_samples: int) -> jax.Array:
    """Codes of the normal distribution of these moments, float32 [num_samples, L]."""
    values, vectors = jnp.linalg.eigh(self.covariance)
    # By rounding a variance of 0 may be below it.
    deviations = jnp.sqrt(jnp.maximum(values, 0.0))
    noise = jax.random.normal(key, (num_samples, len(self.mean)), jnp.float32)
    return self.mean + (noise * deviations) @ vectors.T


class EncodingState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    encoder: parameters.
    decoder: parameters.
    optimizer: the optimizer's state.
    moments: of the codes.
  """

  encoder: Any
  decoder: Any
  optimizer: Any
  moments: CodeMoments


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodingModel(Baseline):
  """Image to code h, by convolutions; a subclass gives the decoder and its loss.

  Nothing says how codes are distributed. So that it can be sampled without an image, codes are
  drawn of a normal distribution of their moments in training, as Ghosh et al. 2020
  (arXiv:1903.12436) do after training; it has no density of images.

  Attributes:
    loss_name: what the loss is called among metrics.
    image_shape: [H, W, C]; square, of a side of at least 5.
    latent: values of a code, L.
    encoder_width: channels of the encoder's first layer, doubled in each further one.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  num_networks: ClassVar[int] = 2
  loss_name: ClassVar[str]

  latent: int = 10
  encoder_width: int = 32

  def __post_init__(self) -> None:
    super().__post_init__()
    networks.map_sides(self.image_shape)
    for name in ("latent", "encoder_width"):
      checks.integer(name, getattr(self, name), 1)

  # What a subclass gives.

  @abc.abstractmethod
  def first_decoder(self, key: jax.Array) -> Any:
    """The decoder's parameters that training begins with."""

  @abc.abstractmethod
  def losses(self, decoder: Any, codes: jax.Array, images: jax.Array) -> jax.Array:
    """What is minimised of each image: float32 [N].

    Args:
      decoder: parameters.
      codes: float32 [N, L].
      images: float32 [N, H, W, C] in [-1, 1].
    """

  @abc.abstractmethod
  def decode(self, key: jax.Array, decoder: Any, codes: jax.Array) -> jax.Array:
    """Images of codes [N, L]: float32 [N, H, W, C] in [-1, 1]."""

  def optimizer(self) -> optax.GradientTransformation:
    """Of both networks."""
    return optax.adam(self.learning_rate)

  # What all share.

  @property
  def _encoder(self) -> Encoder:
    return Encoder(self.image_shape, self.encoder_width, self.latent)

  def init(self, key: jax.Array) -> EncodingState:
    """The state that training begins with; codes are standard normal in it."""
    encoder_key, decoder_key = jax.random.split(key)
    encoder = self._encoder.init(encoder_key, jnp.zeros((1, *self.image_shape), jnp.float32))
    both = encoder, self.first_decoder(decoder_key)
    moments = CodeMoments(
      jnp.zeros(self.latent, jnp.float32), jnp.eye(self.latent, dtype=jnp.float32)
    )
    return EncodingState(*both, self.optimizer().init(both), moments)

  def encode(self, encoder: Any, images: jax.Array) -> jax.Array:
    """Codes of images, float32 [N, H, W, C] in [-1, 1]: float32 [N, L]."""
    codes: Any = self._encoder.apply(encoder, images)
    return codes

  def step(
    self, key: jax.Array, state: EncodingState, images: jax.Array
  ) -> tuple[EncodingState, Metrics]:
    """One step of both networks; returns the loss before it. Nothing is drawn."""
    del key

    def loss(both: tuple[Any, Any]) -> tuple[jax.Array, jax.Array]:
      codes = self.encode(both[0], images)
      return self.losses(both[1], codes, images).mean(), codes

    both = (state.encoder, state.decoder)
    (found, codes), gradient = jax.value_and_grad(loss, has_aux=True)(both)
    updates, optimizer = self.optimizer().update(gradient, state.optimizer)
    encoder, decoder = optax.apply_updates(both, updates)
    changed = EncodingState(encoder, decoder, optimizer, state.moments.after(codes))
    return changed, {self.loss_name: found}

  def reconstruct(self, key: jax.Array, state: EncodingState, images: jax.Array) -> jax.Array:
    """Images from the codes of images, float32 [N, H, W, C] in [-1, 1], and what is drawn. Pure."""
    return self.decode(key, state.decoder, self.encode(state.encoder, images))

  def generate(self, key: jax.Array, state: EncodingState, num_samples: int) -> jax.Array:
    """Images of drawn codes, float32 [num_samples, H, W, C] in [-1, 1]."""
    code_key, pixel_key = jax.random.split(key)
    return self.decode(pixel_key, state.decoder, state.moments.draw(code_key, num_samples))

  def generating(self, state: EncodingState) -> Any:
    """The decoder's parameters, and the codes' moments."""
    return state.decoder, state.moments
