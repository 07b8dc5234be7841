"""Generator and critic of DCGAN (Radford et al. 2016, arXiv:1511.06434), which others share.

Its guidelines: strides instead of pooling, batch normalisation but at the generator's output and
the critic's input, no hidden dense layers, ReLU in the generator, leaky ReLU of slope 0.2 in the
critic, tanh at the end, weights drawn from N(0, 0.02^2). Windows are 4x4 with stride 2, as in its
usual Torch code: they divide evenly, where the paper's 5x5 ones can leave a checkerboard. Maps are
halved, rounding up, until they are 4x4 as the paper's: 28, 14, 7, 4. A critic that ends at 7x7 sees
strokes and never how they fit together, for nothing nonlinear is as wide as the digit.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax.patches import sum_patches

__all__ = [
  "HE",
  "HE_DOUBLED",
  "INIT",
  "SLOPE",
  "Critic",
  "Doubling",
  "Generator",
  "batch_norm",
  "criticised",
  "generated",
  "halving",
  "map_sides",
  "near_one",
]

_KERNEL, _STRIDE = 4, 2
#: Of leaky ReLU.
SLOPE = 0.2
#: Side of the smallest map at most.
_SMALLEST = 4
#: Of weights.
INIT = nn.initializers.normal(0.02)
#: Of weights where nothing normalises: He's.
HE = nn.initializers.he_normal()
#: A pixel of a doubled map is a sum over 2x2 of the window's 4x4, which He's rule counts in full.
HE_DOUBLED = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


def near_one(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
  """An initializer: N(1, 0.02^2), of what normalised values are multiplied by."""
  return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


#: DCGAN's normalisation; to be told whether it `use_running_average`.
batch_norm = functools.partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5, scale_init=near_one)


def map_sides(image_shape: tuple[int, int, int]) -> tuple[int, ...]:
  """Sides of the maps, the image's own first, each half of the one before, rounded up.

  Raises:
    ValueError: for images that are not square, or smaller than 5x5.
  """
  height, width, _ = image_shape
  if height != width or height <= _SMALLEST:
    raise ValueError(
      f"image_shape: expected square images of at least {_SMALLEST + 1} x {_SMALLEST + 1}, "
      f"got {height} x {width}"
    )
  sides = [height]
  while sides[-1] > _SMALLEST:
    sides.append(-(-sides[-1] // 2))
  return tuple(sides)


def halving(
  features: int,
  side: int,
  *,
  use_bias: bool = True,
  kernel_init: nn.initializers.Initializer = INIT,
) -> nn.Conv:
  """Convolution of stride 2, [N, side, side, C] to half the side, rounded up."""
  window, strides, padding = (_KERNEL,) * 2, (_STRIDE,) * 2, ((1, 1 + side % 2),) * 2
  return nn.Conv(features, window, strides, padding, use_bias=use_bias, kernel_init=kernel_init)


class Doubling(nn.Module):
  """Transposed convolution of stride 2, [N, h, w, C] to [N, side, side, features].

  `side` is 2h, or 2h - 1, where the last row and column are left out.

  As one product and a sum of overlapping patches: XLA's own is ten times slower on CPU, where it
  takes the kernel's gradient through a dilated convolution.
  """

  features: int
  side: int
  use_bias: bool = False
  kernel_init: nn.initializers.Initializer = INIT

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Doubles the sides."""
    shape = (x.shape[-1], _KERNEL, _KERNEL, self.features)
    kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
    patches = jnp.tensordot(x, kernel, 1)  # [N, h, w, 4, 4, features]
    y = sum_patches(patches, _STRIDE)[:, 1 : self.side + 1, 1 : self.side + 1]
    if self.use_bias:
      y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
    return y


def generated(
  noise: jax.Array,
  image_shape: tuple[int, int, int],
  width: int,
  norm: Callable[[], nn.Module],
) -> jax.Array:
  """Images of noise, by layers of the module whose compact method calls this.

  Args:
    noise: [N, latent].
    image_shape: [H, W, C].
    width: channels of the last map but the image.
    norm: makes the normalisation of a layer.

  Returns:
    [N, H, W, C] in (-1, 1).
  """
  side, *between, last = reversed(map_sides(image_shape))
  channels = width << len(between)
  x = nn.Dense(side * side * channels, use_bias=False, kernel_init=INIT)(noise)
  x = nn.relu(norm()(x.reshape(-1, side, side, channels)))
  for layer, side in enumerate(between, 1):
    x = nn.relu(norm()(Doubling(channels >> layer, side)(x)))
  return jnp.tanh(Doubling(image_shape[-1], last, use_bias=True)(x))


def criticised(images: jax.Array, image_shape: tuple[int, int, int], width: int) -> jax.Array:
  """The critic's smallest map, by layers of the module whose compact method calls this.

  Args:
    images: [N, H, W, C].
    image_shape: [H, W, C].
    width: channels of the first layer.

  Returns:
    [N, F], flat. Each batch is normalised by its own moments, always.
  """
  x = images
  for layer, side in enumerate(map_sides(image_shape)[:-1]):
    x = halving(width << layer, side, use_bias=layer == 0)(x)
    if layer:
      x = batch_norm(use_running_average=False)(x)
    x = nn.leaky_relu(x, SLOPE)
  return x.reshape(len(x), -1)


class Generator(nn.Module):
  """Noise [N, latent] to images [N, H, W, C] in (-1, 1)."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, noise: jax.Array, *, is_training: bool) -> jax.Array:
    """Generates; in training the batch's own moments normalise."""
    norm = functools.partial(batch_norm, use_running_average=not is_training)
    return generated(noise, self.image_shape, self.width, norm)


class Critic(nn.Module):
  """Images [N, H, W, C] to scores [N]. Each batch is normalised by its own moments, always."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Scores; what a large one means is the model's affair."""
    return nn.Dense(1, kernel_init=INIT)(criticised(images, self.image_shape, self.width))[:, 0]
