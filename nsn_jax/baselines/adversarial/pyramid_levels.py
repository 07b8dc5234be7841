"""The GANs of LAPGAN's levels (Denton et al. 2015, arXiv:1506.05751), each a model of its own."""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.adversarial import dense_networks, laplacian_pyramid
from nsn_jax.baselines.adversarial.adversarial_model import GANState
from nsn_jax.baselines.adversarial.descending_gan import DescendingGAN

__all__ = ["CoarsestGAN", "DetailGAN"]

#: Share of units that critics drop.
_DROPPED = 0.5
#: Of rectified units: variances stay as they are from layer to layer.
_INIT = nn.initializers.he_normal()
#: Side of the window between the two that halve and double.
_WINDOW = (3, 3)


class _DenseCritic(nn.Module):
  """Images [N, H, W, C] to scores [N], by two layers of rectified units with dropout."""

  units: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Log-odds of being real; where there is a key named "dropout", units are dropped."""
    x = images.reshape(len(images), -1)
    for _ in range(2):
      x = nn.relu(nn.Dense(self.units, kernel_init=_INIT)(x))
      x = nn.Dropout(_DROPPED)(x, deterministic=not self.has_rng("dropout"))
    return nn.Dense(1)(x)[:, 0]


class _DetailGenerator(nn.Module):
  """A plane of noise and a blurred image to the image with details, by three convolutions."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, given: jax.Array, *, is_training: bool) -> jax.Array:
    """[N, H * W * (1 + C)], the plane first, to l + G(z, l), [N, H, W, C]."""
    del is_training
    side, _, channels = self.image_shape
    plane, blurred = jnp.split(given, (side * side,), axis=1)
    blurred = blurred.reshape(-1, side, side, channels)
    x = jnp.concatenate([plane.reshape(-1, side, side, 1), blurred], axis=-1)
    x = nn.relu(networks.halving(self.width, side, kernel_init=_INIT)(x))
    x = nn.relu(nn.Conv(self.width, _WINDOW, kernel_init=_INIT)(x))
    return blurred + networks.Doubling(channels, side, use_bias=True)(x)


class _DetailCritic(nn.Module):
  """Images [N, H, W, C] to scores [N], by two convolutions and dropout."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Log-odds of being real; where there is a key named "dropout", values are dropped."""
    x, side = images, self.image_shape[0]
    for _ in range(2):
      x = nn.relu(networks.halving(self.width, side, kernel_init=_INIT)(x))
      side = laplacian_pyramid.halved(side)
    x = x.reshape(len(x), -1)
    x = nn.Dropout(_DROPPED)(x, deterministic=not self.has_rng("dropout"))
    return nn.Dense(1)(x)[:, 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoarsestGAN(DescendingGAN):
  """The GAN of the pyramid's last images: dense layers.

  Attributes:
    image_shape: [H, W, C].
    hidden: rectified units of the generator's two layers; the critic's two have half as many.
  """

  damped: ClassVar[bool] = True

  hidden: int

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("hidden", self.hidden, 1)

  @property
  def _generator(self) -> nn.Module:
    return dense_networks.DenseGenerator(self.image_shape, self.hidden)

  @property
  def _critic(self) -> nn.Module:
    return _DenseCritic(-(-self.hidden // 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetailGAN(DescendingGAN):
  """The conditional GAN of one level's differences: of l_k = u(d(I_k)) it makes l_k + h_k.

  The critic sees l_k + h_k or l_k + G(z, l_k), as in the paper (Figure 2): the images of this size
  with real or generated details.

  Attributes:
    image_shape: of I_k, [H, W, C]; square.
    width: maps of each convolution.
  """

  damped: ClassVar[bool] = True

  width: int

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("width", self.width, 1)

  @property
  def _generator(self) -> nn.Module:
    return _DetailGenerator(self.image_shape, self.width)

  @property
  def _critic(self) -> nn.Module:
    return _DetailCritic(self.image_shape, self.width)

  @property
  def noise_size(self) -> int:
    """A plane of noise, then the blurred image."""
    side, _, channels = self.image_shape
    return side * side * (1 + channels)

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """A plane, uniform in [-1, 1], and a blurred image that is grey: [num_samples, noise_size]."""
    return self._given(key, jnp.zeros((num_samples, *self.image_shape), jnp.float32))

  def given(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """A plane, uniform in [-1, 1], and these images blurred: [N, noise_size]."""
    height, width, _ = self.image_shape
    return self._given(key, laplacian_pyramid.up(laplacian_pyramid.down(images), height, width))

  def _given(self, key: jax.Array, blurred: jax.Array) -> jax.Array:
    pixels = math.prod(self.image_shape[:2])
    plane = jax.random.uniform(key, (len(blurred), pixels), jnp.float32, minval=-1.0)
    return jnp.concatenate([plane, blurred.reshape(len(blurred), -1)], axis=1)

  def refined(self, key: jax.Array, state: GANState, coarse: jax.Array) -> jax.Array:
    """Images of twice the sides, with details that are drawn.

    Args:
      key: PRNG key, of the noise.
      state: trained.
      coarse: I_k+1, float32 [N, ceil(H / 2), ceil(W / 2), C].

    Returns:
      float32 [N, H, W, C], in about [-1, 1].
    """
    height, width, _ = self.image_shape
    return self._sample(state, self._given(key, laplacian_pyramid.up(coarse, height, width)))
