"""The network: a stack of layers of filters, and its encoder."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks
from nsn_jax.config import LayerConfig, NetworkConfig
from nsn_jax.filters import Filters, feature_map
from nsn_jax.patches import extract_patches, num_positions
from nsn_jax.pixel_range import to_unit
from nsn_jax.whitening import Whitening, whiten

__all__ = ["NSN", "check_images", "check_trained", "encode", "first_map", "layer_map", "map_sizes"]


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=["filters", "whitening"], meta_fields=["config"]
)
@dataclasses.dataclass(frozen=True)
class NSN:
  """A trained network: a pytree of arrays, its configuration static.

  Attributes:
    filters: one `Filters` a layer, pixels first. Fewer than configured layers where training was
      interrupted.
    whitening: of the images, or None for a network on plain images.
    config: how it was trained, and its sampler's defaults.
  """

  filters: tuple[Filters, ...]
  whitening: Whitening | None
  config: NetworkConfig

  @property
  def num_layers(self) -> int:
    """L, the number of trained layers."""
    return len(self.filters)

  @property
  def num_filters(self) -> tuple[int, ...]:
    """K_l of each layer."""
    return tuple(f.num_filters for f in self.filters)


def map_sizes(size: Sequence[int], layers: tuple[LayerConfig, ...]) -> list[tuple[int, int]]:
  """Sizes (h, w) of each layer's feature map for images of `size`.

  Raises:
    ValueError: where a layer's windows do not fit, or leave values uncovered.
  """
  sizes = []
  for index, layer in enumerate(layers):
    checks.window(size, layer.kernel, layer.stride, index)
    size = (
      num_positions(size[0], layer.kernel, layer.stride),
      num_positions(size[1], layer.kernel, layer.stride),
    )
    sizes.append(size)
  return sizes


def layer_map(maps: jax.Array, filters: Filters, layer: LayerConfig) -> jax.Array:
  """One layer: maps below [N, H, W, C] to its feature map h, [N, h, w, K] in [0, 1]."""
  return feature_map(extract_patches(maps, layer.kernel, layer.stride), filters)


def first_map(images: jax.Array, whitening: Whitening | None) -> jax.Array:
  """What layer 0 sees: images as float32 [N, H, W, C], whitened where the network whitens."""
  return to_unit(images) if whitening is None else whiten(images, whitening)


@jax.jit
def _encode(nsn: NSN, images: jax.Array) -> tuple[jax.Array, ...]:
  maps = first_map(images, nsn.whitening)
  found = []
  for filters, layer in zip(nsn.filters, nsn.config.layers, strict=False):
    maps = layer_map(maps, filters, layer)
    found.append(maps)
  return tuple(found)


def encode(nsn: NSN, images: np.ndarray | jax.Array) -> tuple[jax.Array, ...]:
  """Feature maps of every layer.

  Args:
    nsn: the network. One without whitening takes images of any size that its windows cover.
    images: [N, H, W, C], uint8, or float in [0, 1]. All at once: batches are the caller's.

  Returns:
    One map a layer, pixels first: float32 [N, h_l, w_l, K_l] in [0, 1].

  Raises:
    ValueError: for images that are not as above, or not what the network was trained on.
  """
  check_images(nsn, images)
  return _encode(nsn, jnp.asarray(images))


def check_trained(nsn: NSN) -> None:
  """Raises ValueError for a network without a layer."""
  if not nsn.filters:
    raise ValueError("nsn: expected a network of at least one trained layer, got none")


def check_images(nsn: NSN, images: np.ndarray | jax.Array) -> None:
  """Raises ValueError unless the images are such as the network was trained on."""
  check_trained(nsn)
  checks.images("images", images)
  channels = nsn.filters[0].mean.shape[-1]
  if images.shape[-1] != channels:
    raise ValueError(
      f"images: expected {channels} channels, as the network was trained on, "
      f"got shape {tuple(images.shape)}"
    )
  map_sizes(images.shape[1:3], nsn.config.layers[: nsn.num_layers])
