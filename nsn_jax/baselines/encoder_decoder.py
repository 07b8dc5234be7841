"""Convolutions from images to codes and back, without normalisation.

The maps are those of the GANs here (Radford et al. 2016, arXiv:1511.06434), halved down to 4x4 and
doubled again. No batch normalises, so that an image's code depends on it alone; the weights are
He's therefore.
"""

import flax.linen as nn
import jax

from nsn_jax.baselines import networks

__all__ = ["Decoder", "Encoder", "decoded"]


class Encoder(nn.Module):
  """Images [N, H, W, C] to codes [N, size].

  Attributes:
    image_shape: [H, W, C].
    width: channels of the first layer, doubled in each further one.
    size: of a code.
  """

  image_shape: tuple[int, int, int]
  width: int
  size: int

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """Encodes."""
    x = images
    for layer, side in enumerate(networks.map_sides(self.image_shape)[:-1]):
      x = nn.relu(networks.halving(self.width << layer, side, kernel_init=networks.HE)(x))
    return nn.Dense(self.size)(x.reshape(len(x), -1))


def decoded(codes: jax.Array, image_shape: tuple[int, int, int], width: int) -> jax.Array:
  """Images, or maps of any channels, by layers of the module whose compact method calls this.

  Args:
    codes: [N, size].
    image_shape: [H, W, C].
    width: channels of the last map but the image.

  Returns:
    [N, H, W, C], near 0 at first.
  """
  side, *between, last = reversed(networks.map_sides(image_shape))
  channels = width << len(between)
  x = nn.relu(nn.Dense(side * side * channels, kernel_init=networks.HE)(codes))
  x = x.reshape(-1, side, side, channels)
  for layer, side in enumerate(between, 1):
    doubling = networks.Doubling(
      channels >> layer, side, use_bias=True, kernel_init=networks.HE_DOUBLED
    )
    x = nn.relu(doubling(x))
  # Its weights are small: all images begin grey.
  return networks.Doubling(image_shape[-1], last, use_bias=True)(x)


class Decoder(nn.Module):
  """Codes [N, size] to images, or maps of any channels, [N, H, W, C]: `decoded` alone.

  Attributes:
    image_shape: [H, W, C].
    width: channels of the last map but the image.
  """

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, codes: jax.Array) -> jax.Array:
    """Decodes."""
    return decoded(codes, self.image_shape, self.width)
