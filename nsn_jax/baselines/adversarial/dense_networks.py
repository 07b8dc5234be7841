"""Generator and critic of the first GAN (Goodfellow et al. 2014, arXiv:1406.2661): dense layers.

Both work on pixels in [0, 1], as its recipe does, and speak of images in [-1, 1] to the outside.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.baselines import binary_pixels

__all__ = ["LAST", "DenseGenerator", "Maxout", "MaxoutCritic", "beginning_at"]

#: Name of the generator's layer that makes pixels.
LAST = "pixels"
#: Means of pixels are at least this, and at most 1 less this: log-odds stay finite.
_LEAST_MEAN = 1e-7
#: Weights are uniform within these at first.
_GENERATOR_REACH, _CRITIC_REACH = 0.05, 0.005
#: Shares of values that dropout sets to 0: of pixels, and of what layers give.
_PIXELS_DROPPED, _UNITS_DROPPED = 0.2, 0.5


def _within(reach: float) -> nn.initializers.Initializer:
  """Uniform in [-reach, reach]."""

  def init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
    return jax.random.uniform(key, shape, dtype, -reach, reach)

  return init


class Maxout(nn.Module):
  """Each unit is the largest of some linear pieces (Goodfellow et al. 2013, arXiv:1302.4389)."""

  units: int
  pieces: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[N, F] to [N, units]."""
    x = nn.Dense(self.units * self.pieces, kernel_init=_within(_CRITIC_REACH))(x)
    return x.reshape(-1, self.units, self.pieces).max(axis=2)


class DenseGenerator(nn.Module):
  """Noise [N, latent] to images [N, H, W, C] in (-1, 1), by two layers of rectified units."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, noise: jax.Array, *, is_training: bool) -> jax.Array:
    """Generates, in training and after it alike."""
    del is_training
    x = noise
    for _ in range(2):
      x = nn.relu(nn.Dense(self.width, kernel_init=_within(_GENERATOR_REACH))(x))
    values = math.prod(self.image_shape)
    x = nn.Dense(values, kernel_init=_within(_GENERATOR_REACH), name=LAST)(x)
    return jnp.tanh(x / 2).reshape(-1, *self.image_shape)  # 2 sigmoid - 1


def beginning_at(generator: Any, mean: npt.NDArray[np.float64]) -> Any:
  """A `DenseGenerator`'s parameters by which untrained images are this one, [H, W, C] in [0, 1]."""
  mean = np.clip(mean.ravel(), _LEAST_MEAN, 1 - _LEAST_MEAN)
  odds = jnp.asarray(np.log(mean / (1 - mean)), jnp.float32)
  return {**generator, LAST: {**generator[LAST], "bias": odds}}


class MaxoutCritic(nn.Module):
  """Images [N, H, W, C] to scores [N], by two layers of maxout.

  Where there is a key named "dropout", values are dropped, and the others made larger.
  """

  units: int
  pieces: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Scores: log-odds of being real."""
    is_sure = not self.has_rng("dropout")
    x = binary_pixels.as_probabilities(images)
    x = nn.Dropout(_PIXELS_DROPPED)(x, deterministic=is_sure)
    for _ in range(2):
      x = Maxout(self.units, self.pieces)(x)
      x = nn.Dropout(_UNITS_DROPPED)(x, deterministic=is_sure)
    return nn.Dense(1, kernel_init=_within(_CRITIC_REACH))(x)[:, 0]
