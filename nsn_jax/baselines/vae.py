"""The variational auto-encoder (Kingma & Welling 2014, arXiv:1312.6114)."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines.baseline import Baseline, Density, Family, Metrics
from nsn_jax.pixel_range import to_signed

__all__ = ["VAE", "VAEState"]


class VAEState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    encoder: parameters.
    decoder: parameters.
    optimizer: the optimizer's state.
  """

  encoder: Any
  decoder: Any
  optimizer: Any


class _Layers(nn.Module):
  """Dense layers with ReLU between them."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for width in self.widths[:-1]:
      x = nn.relu(nn.Dense(width)(x))
    return nn.Dense(self.widths[-1])(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(Baseline):
  """Dense encoder and decoder, a normal latent, pixels as Bernoulli probabilities.

  The paper's model for MNIST, with ReLU, a second hidden layer and Adam, which trains better than
  its one layer of tanh with AdaGrad. A sample is the decoder's mean, as usually shown.

  Attributes:
    image_shape: [H, W, C].
    hidden: width of the two hidden layers of each network.
    latent: values of the latent.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "VAE"
  default_epochs: ClassVar[int] = 50
  num_networks: ClassVar[int] = 2
  family: ClassVar[Family] = Family.VARIATIONAL
  width_field: ClassVar[str | None] = "hidden"

  hidden: int = 500
  latent: int = 20
  batch_size: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("hidden", "latent"):
      checks.integer(name, getattr(self, name), 1)

  @property
  def _encoder(self) -> _Layers:
    return _Layers((self.hidden, self.hidden, 2 * self.latent))

  @property
  def _decoder(self) -> _Layers:
    return _Layers((self.hidden, self.hidden, math.prod(self.image_shape)))

  def _optimizer(self) -> optax.GradientTransformation:
    return optax.adam(self.learning_rate)

  def init(self, key: jax.Array) -> VAEState:
    """The state that training begins with."""
    encoder_key, decoder_key = jax.random.split(key)
    encoder = self._encoder.init(encoder_key, jnp.zeros((1, math.prod(self.image_shape))))
    decoder = self._decoder.init(decoder_key, jnp.zeros((1, self.latent)))
    return VAEState(encoder, decoder, self._optimizer().init((encoder, decoder)))

  def negative_elbo(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Minus the evidence lower bound (Eq 10 of the paper, one draw), in two parts.

    Args:
      key: PRNG key of the draw.
      encoder: parameters.
      decoder: parameters.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      Mean reconstruction loss and mean divergence from the prior, in nats an image.
    """
    reconstruction, divergence = self._losses(key, encoder, decoder, images)
    return reconstruction.mean(), divergence.mean()

  def bits(self, key: jax.Array, state: VAEState, images: jax.Array) -> jax.Array:
    """Minus the evidence lower bound of each image, one draw each, in bits a value.

    An outlier score: a pixel is the probability of white, so that it is high where pixels are grey,
    too. Its mean is `held_out_density`. Pure.

    Args:
      key: PRNG key of the draws.
      state: trained.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [N].
    """
    reconstruction, divergence = self._losses(key, state.encoder, state.decoder, images)
    return (reconstruction + divergence) / (math.prod(self.image_shape) * math.log(2))

  def _losses(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Reconstruction loss and divergence of each image, in nats: [N] each."""
    pixels = (images.reshape(len(images), -1) + 1.0) / 2.0
    codes: Any = self._encoder.apply(encoder, pixels)
    mean, log_variance = jnp.split(codes, 2, axis=1)
    draw = mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape, jnp.float32)
    logits: Any = self._decoder.apply(decoder, draw)
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, pixels).sum(axis=1)
    divergence = (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1) / 2
    return reconstruction, divergence

  def step(self, key: jax.Array, state: VAEState, images: jax.Array) -> tuple[VAEState, Metrics]:
    """One step of Adam; returns both parts of the loss before it, in nats an image."""

    def loss(both: tuple[Any, Any]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
      parts = self.negative_elbo(key, *both, images)
      return parts[0] + parts[1], parts

    both = (state.encoder, state.decoder)
    (_, parts), gradient = jax.value_and_grad(loss, has_aux=True)(both)
    updates, optimizer = self._optimizer().update(gradient, state.optimizer)
    encoder, decoder = cast(tuple[Any, Any], optax.apply_updates(both, updates))
    metrics = {"reconstruction": parts[0], "divergence": parts[1]}
    return VAEState(encoder, decoder, optimizer), metrics

  def generate(self, key: jax.Array, state: VAEState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in (-1, 1)."""
    latent = jax.random.normal(key, (num_samples, self.latent), jnp.float32)
    logits: Any = self._decoder.apply(state.decoder, latent)
    return jnp.tanh(logits / 2).reshape(-1, *self.image_shape)  # 2 sigmoid - 1

  def generating(self, state: VAEState) -> Any:
    """The decoder's parameters."""
    return state.decoder

  def held_out_density(
    self, key: jax.Array, state: VAEState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The evidence lower bound, one draw an image, of pixels as probabilities of white."""
    bits = np.asarray(jax.jit(self.bits)(key, state, to_signed(images)))
    return Density("bound, bits a value", float(bits.mean(dtype=np.float64)))
