"""Dense networks of the Improved GAN's semi-supervised MNIST (Salimans et al. 2016).

Weight normalisation is Salimans and Kingma's (2016, arXiv:1602.07868). Both work on pixels in
[0, 1] and speak of images in [-1, 1] to the outside.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax.baselines import binary_pixels

__all__ = ["ClassCritic", "NormalisedDense", "SoftplusGenerator"]

#: Deviations of the noise: of pixels, of units.
_PIXEL_NOISE, _UNIT_NOISE = 0.3, 0.5
#: Least deviation of a unit over the first batch: where all rows are alike it is 0.
_LEAST = 1e-3


class NormalisedDense(nn.Module):
  """A dense layer of weights scale * v / |v|, v of each unit, where scale may stay as it began.

  The rows that parameters are made for say how they begin: each unit has mean 0 and variance 1.
  """

  units: int
  is_scale_trained: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[N, F] to [N, units]."""
    shape = (x.shape[-1], self.units)
    direction = self.param("direction", nn.initializers.normal(0.1), shape, jnp.float32)
    raw = x @ (direction / jnp.linalg.norm(direction, axis=0))
    deviation = jnp.maximum(raw.std(axis=0), _LEAST)
    scale = self.param("scale", lambda _: 1.0 / deviation)
    bias = self.param("bias", lambda _: -raw.mean(axis=0) / deviation)
    if not self.is_scale_trained:
      scale = jax.lax.stop_gradient(scale)
    return scale * raw + bias


class ClassCritic(nn.Module):
  """Images [N, H, W, C] to logits of classes [N, K], and the last hidden units [N, F].

  Rectified units of normalised weights. Normal noise is added to pixels and to what each layer
  gives, where it is given.
  """

  image_shape: tuple[int, int, int]
  widths: tuple[int, ...]
  num_classes: int

  def noise(self, key: jax.Array, num: int) -> jax.Array:
    """Noise of so many images, of pixels and then of each layer's units: float32 [num, values].

    In one draw: each takes XLA seconds to compile.
    """
    pixels, units = math.prod(self.image_shape), sum(self.widths)
    drawn = jax.random.normal(key, (num, pixels + units), jnp.float32)
    return jnp.where(jnp.arange(pixels + units) < pixels, _PIXEL_NOISE, _UNIT_NOISE) * drawn

  @nn.compact
  def __call__(
    self, images: jax.Array, noise: jax.Array | None = None
  ) -> tuple[jax.Array, jax.Array]:
    """Logits; features are without the noise that the last layer sees."""
    features = binary_pixels.as_probabilities(images)
    if noise is None:
      noise = jnp.zeros((1, features.shape[1] + sum(self.widths)), jnp.float32)
    sizes = np.cumsum([features.shape[1], *self.widths])
    of_pixels, *of_units, _ = jnp.split(noise, sizes, axis=1)
    x = features + of_pixels
    for width, of_unit in zip(self.widths, of_units, strict=True):
      features = nn.relu(NormalisedDense(width)(x))
      x = features + of_unit
    return NormalisedDense(self.num_classes, is_scale_trained=True)(x), features


class SoftplusGenerator(nn.Module):
  """Noise [N, latent] to images [N, H, W, C] in (-1, 1): two layers of softplus, batches normal."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, noise: jax.Array, *, is_training: bool) -> jax.Array:
    """Generates; in training the batch's own moments normalise."""
    x = noise
    for _ in range(2):
      x = nn.Dense(self.width, use_bias=False)(x)
      x = nn.BatchNorm(not is_training, momentum=0.9, epsilon=1e-6, use_scale=False)(x)
      x = nn.softplus(x)
    x = nn.WeightNorm(nn.Dense(math.prod(self.image_shape)))(x)
    return jnp.tanh(x / 2).reshape(-1, *self.image_shape)  # 2 sigmoid - 1
