"""The variational auto-encoder (Kingma & Welling 2014, arXiv:1312.6114)."""

import dataclasses
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import binary_pixels
from nsn_jax.baselines.baseline import Density
from nsn_jax.baselines.variational.auto_encoder import AutoEncoder
from nsn_jax.baselines.variational.variational_model import VAEState
from nsn_jax.pixel_range import to_signed

__all__ = ["VAE", "VAEState"]


class _Layers(nn.Module):
  """Dense layers with ReLU between them."""

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for width in self.widths[:-1]:
      x = nn.relu(nn.Dense(width)(x))
    return nn.Dense(self.widths[-1])(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VAE(AutoEncoder):
  """Dense encoder and decoder, a normal latent, pixels as Bernoulli probabilities.

  The paper's model for MNIST, with ReLU, a second hidden layer and Adam, which trains better than
  its one layer of tanh with AdaGrad. A sample is the decoder's mean, as usually shown.

  Its `bits` are an outlier score, too: a pixel is the probability of white, so that they are high
  where pixels are grey. With `num_importance` above 1 and `binarise` it is the IWAE of Burda et al.
  2016 (arXiv:1509.00519), in these widths and at one rate.

  Attributes:
    image_shape: [H, W, C].
    hidden: width of the two hidden layers of each network.
    latent: values of the latent.
    num_importance: draws of an image and step; 1 trains the evidence lower bound.
    binarise: whether a step sees pixels that are drawn black or white, each with its brightness as
      the probability of white; else the brightness itself.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "VAE"
  default_epochs: ClassVar[int] = 50
  width_field: ClassVar[str | None] = "hidden"
  of: ClassVar[str] = "binarised pixels"

  hidden: int = 500
  binarise: bool = False

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("hidden", self.hidden, 1)
    checks.instance("binarise", self.binarise, bool)

  @property
  def _encoder(self) -> _Layers:
    return _Layers((self.hidden, self.hidden, 2 * self.latent))

  @property
  def _decoder(self) -> _Layers:
    return _Layers((self.hidden, self.hidden, math.prod(self.image_shape)))

  def encoder_input(self, images: jax.Array) -> jax.Array:
    """Probabilities of white, [N, HWC]."""
    return binary_pixels.as_probabilities(images)

  def reconstruction(self, decoder: Any, latent: jax.Array, images: jax.Array) -> jax.Array:
    """Cross-entropy of pixels, in nats an image: latents [..., N, L] to [..., N]."""
    return binary_pixels.cross_entropy(self._logits(decoder, latent), images)

  def mean_images(self, decoder: Any, latent: jax.Array) -> jax.Array:
    """Probabilities of white, as float32 [N, H, W, C] in (-1, 1)."""
    return binary_pixels.shown(self._logits(decoder, latent), self.image_shape)

  def _logits(self, decoder: Any, latent: jax.Array) -> jax.Array:
    logits: Any = self._decoder.apply(decoder, latent)
    return logits

  def seen(self, key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Grey images as they are, or binarised ones."""
    return binary_pixels.seen(key, images) if self.binarise else (images, key)

  def observed(self, images: npt.NDArray[np.uint8]) -> jax.Array:
    """Binarised pixels, the same for all models."""
    return binary_pixels.held_out(images)

  def held_out_density(
    self, key: jax.Array, state: VAEState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The evidence lower bound, one draw an image, of pixels as probabilities of white.

    Of a model that was trained on binarised pixels it is of these. `importance_density` is of
    binarised pixels always.
    """
    if self.binarise:
      return super().held_out_density(key, state, images)
    bits = np.asarray(jax.jit(self.bits)(key, state, to_signed(images)))
    return Density("bound, bits a value", float(bits.mean(dtype=np.float64)))
