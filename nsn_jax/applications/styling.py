"""Images painted anew by the first layer's filters (Fig 6 of the paper)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.config import SamplerConfig
from nsn_jax.network import NSN, check_trained, encode
from nsn_jax.patches import covered_size, num_positions
from nsn_jax.sampler import decode

__all__ = ["encode_first", "style"]


def style(
  key: jax.Array,
  nsn: NSN,
  images: npt.NDArray | jax.Array,
  num_draws: int = 1,
  *,
  sampler: SamplerConfig | None = None,
) -> jax.Array:
  """Encodes images to the first layer's feature map and decodes that again.

  The first layer is convolutional, so images may have any size. A whitening has one: larger images
  are cut into tiles of it that overlap by half and fade into each other, and the mean of all pixels
  stands for that of each; smaller ones are padded with their border.

  Args:
    key: PRNG key.
    nsn: the network.
    images: [N, H, W, C], uint8, or float in [0, 1].
    num_draws: M, styled images of each, at least 1.
    sampler: its settings; by default the network's own, but with drawn filters: with others an
      image would come back as it was. The contrast that samples need has no part in it.

  Returns:
    float32 [M, N, H, W, C], pixel values as they come.

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  check_trained(nsn)
  images = checks.images("images", images)
  checks.integer("num_draws", num_draws, 1)
  size = images.shape[1:3]
  nsn = dataclasses.replace(nsn, contrast=None)
  if sampler is None:
    sampler = dataclasses.replace(nsn.config.sampler, decoder="drawn")
  if nsn.whitening is not None:
    tile: tuple[int, ...] = nsn.whitening.mean.shape[:2]
  else:
    # Sides that the first layer's windows cover.
    layer = nsn.config.layers[0]
    tile = tuple(_covering(side, layer.kernel, layer.stride) for side in size)
  starts = [_starts(side, of) for side, of in zip(size, tile, strict=True)]
  whole = [max(side, of) for side, of in zip(size, tile, strict=True)]
  border = [(0, full - side) for full, side in zip(whole, size, strict=True)]
  padded = np.pad(np.asarray(images), ((0, 0), *border, (0, 0)), mode="edge")
  if nsn.whitening is not None and tuple(whole) != tile:
    # Tiles lie anywhere in the image. Means of the training images' places leave ghosts of faces.
    mean = jnp.broadcast_to(nsn.whitening.mean.mean((0, 1)), nsn.whitening.mean.shape)
    nsn = dataclasses.replace(nsn, whitening=nsn.whitening._replace(mean=mean))
  weight = _fade(tile)[..., None]
  draws = []
  for draw_key in jax.random.split(key, num_draws):
    total, weights = np.zeros(padded.shape, np.float32), np.zeros((*whole, 1), np.float32)
    for index, (y, x) in enumerate((y, x) for y in starts[0] for x in starts[1]):
      place = np.s_[y : y + tile[0], x : x + tile[1]]
      part = encode_first(nsn, padded[:, *place])
      found = decode(jax.random.fold_in(draw_key, index), nsn, part, sampler, layer=0)
      total[:, *place] += np.asarray(found) * weight
      weights[place] += weight
    draws.append((total / weights)[:, : size[0], : size[1]])
  return jnp.asarray(np.stack(draws))


def encode_first(nsn: NSN, images: npt.NDArray | jax.Array) -> jax.Array:
  """The first layer's feature map alone: images of any size that its windows cover."""
  return encode(NSN(nsn.filters[:1], nsn.whitening, nsn.config), images)[0]


def _covering(side: int, kernel: int, stride: int) -> int:
  """The least side of at least `side` that windows cover."""
  if side <= kernel:
    return kernel
  positions = num_positions(side, kernel, stride)
  covered = covered_size(positions, kernel, stride)
  return covered if covered >= side else covered + stride


def _starts(side: int, tile: int) -> list[int]:
  """Where tiles begin that cover a side and overlap by half or more."""
  last = max(side - tile, 0)
  count = -(-last // max(tile // 2, 1)) + 1
  return sorted({round(i * last / max(count - 1, 1)) for i in range(count)})


def _fade(tile: tuple[int, ...]) -> npt.NDArray[np.float32]:
  """Weights of a tile's pixels, [h, w]: 1 in the middle, near 0 at its border, nowhere 0."""
  sides = [1.0 - np.abs(np.linspace(-1, 1, side + 2)[1:-1]) for side in tile]
  return np.outer(*sides).astype(np.float32)
