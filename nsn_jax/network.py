"""The network: a stack of layers of filters, and its encoder."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import budgets, checks
from nsn_jax.config import LayerConfig, NetworkConfig
from nsn_jax.curves import Curves, check_curves
from nsn_jax.decoders import Decoder, check_decoder
from nsn_jax.filters import Filters, check_filters, feature_map
from nsn_jax.gains import Gains, check_gains
from nsn_jax.patches import covered_size, extract_patches, num_positions
from nsn_jax.pixel_range import to_unit
from nsn_jax.placement import AXIS, P, Placement, local_place
from nsn_jax.prior import Prior
from nsn_jax.rows import filled
from nsn_jax.whitening import Whitening, whiten

__all__ = [
  "NSN",
  "Contrast",
  "check_images",
  "check_sound",
  "check_trained",
  "decoded_sizes",
  "encode",
  "first_map",
  "layer_map",
  "map_sizes",
  "seen_maps",
]


class Contrast(NamedTuple):
  """Pixels about the mean image are multiplied by a factor (`nsn_jax.find_contrast`).

  Attributes:
    factor: float32 [], above 0.
    center: the mean image, float32 [H, W, C].
    gains: of the leading directions, relative to the factor; None for none.
    curves: of windows, one after the other; None for none.
  """

  factor: jax.Array
  center: jax.Array
  gains: Gains | None = None
  curves: tuple[Curves, ...] | None = None


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["filters", "whitening", "prior", "fed", "exact", "contrast"],
  meta_fields=["config"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class NSN:
  """A trained network: a pytree of arrays, its configuration static.

  Attributes:
    filters: one `Filters` a layer, pixels first. Fewer than configured layers where training was
      interrupted.
    whitening: of the images, or None for a network on plain images.
    config: how it was trained, and its sampler's defaults.
    prior: how often each filter of the last layer is drawn; None in a network trained in part, or
      before there was one.
    fed: one decoder a layer for sampling, fitted on what the sampler feeds it; None for layers that
      draw their filters' means, as the paper's do, and for all where there is none.
    exact: one decoder a layer for maps of real images; None where there are none.
    contrast: what gives samples the training images' spread; None for none.
  """

  filters: tuple[Filters, ...]
  whitening: Whitening | None
  config: NetworkConfig
  prior: Prior | None = None
  fed: tuple[Decoder | None, ...] | None = None
  exact: tuple[Decoder | None, ...] | None = None
  contrast: Contrast | None = None

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


def decoded_sizes(size: Sequence[int], layers: tuple[LayerConfig, ...]) -> list[tuple[int, int]]:
  """Sizes (h, w) that a map of the last of some layers decodes to: of pixels, then of each map."""
  sizes = [(size[0], size[1])]
  for layer in reversed(layers):
    h, w = (covered_size(side, layer.kernel, layer.stride) for side in sizes[-1])
    sizes.append((h, w))
  return sizes[::-1]


def layer_map(maps: jax.Array, filters: Filters, layer: LayerConfig) -> jax.Array:
  """One layer: maps below [N, H, W, C] to its feature map h, [N, h, w, K] in [0, 1]."""
  return feature_map(extract_patches(maps, layer.kernel, layer.stride), filters)


def first_map(images: jax.Array, whitening: Whitening | None) -> jax.Array:
  """What layer 0 sees: images as float32 [N, H, W, C], whitened where the network whitens."""
  return to_unit(images) if whitening is None else whiten(images, whitening)


@functools.partial(jax.jit, static_argnames="count")
def seen_maps(nsn: NSN, images: jax.Array, *, count: int) -> tuple[jax.Array, ...]:
  """What the first layer sees, and the maps of the first `count` layers."""
  maps = [first_map(images, nsn.whitening)]
  for filters, layer in zip(nsn.filters[:count], nsn.config.layers[:count], strict=True):
    maps.append(layer_map(maps[-1], filters, layer))
  return tuple(maps)


@functools.partial(jax.jit, static_argnames="place")
def _encode_blocks(nsn: NSN, images: jax.Array, *, place: Placement) -> tuple[jax.Array, ...]:
  """Maps of images, each device's in blocks of `IMAGES_AT_ONCE` one after the other."""

  def encoded(nsn: NSN, images: jax.Array) -> tuple[jax.Array, ...]:
    blocks = images.reshape(-1, budgets.IMAGES_AT_ONCE, *images.shape[1:])
    maps = jax.lax.map(lambda block: seen_maps(nsn, block, count=nsn.num_layers)[1:], blocks)
    return tuple(x.reshape(-1, *x.shape[2:]) for x in maps)

  return place.on_devices(encoded, (P(), P(AXIS)), P(AXIS))(nsn, images)


def encode(
  nsn: NSN, images: np.ndarray | jax.Array, *, mesh: jax.sharding.Mesh | None = None
) -> tuple[jax.Array, ...]:
  """Feature maps of every layer.

  Args:
    nsn: the network. One without whitening takes images of any size that its windows cover.
    images: [N, H, W, C], uint8, or float in [0, 1]. All at once: batches are the caller's.
    mesh: devices of this process, each of which encodes some, in blocks of 64: the same bits on any
      number of them. None for the default one, and all in one block.

  Returns:
    One map a layer, pixels first: float32 [N, h_l, w_l, K_l] in [0, 1].

  Raises:
    ValueError: for images that are not as above, or not what the network was trained on.
  """
  images = check_images(nsn, images)
  if mesh is None:
    return seen_maps(nsn, jnp.asarray(images), count=nsn.num_layers)[1:]
  place, count = local_place(mesh), len(images)
  # At least two blocks a device: XLA unrolls a loop of one turn, and compiles it to other bits.
  blocks = max(-(-count // (budgets.IMAGES_AT_ONCE * place.num_devices)), 2)
  size = blocks * budgets.IMAGES_AT_ONCE * place.num_devices
  maps = _encode_blocks(
    place.replicate(nsn), place.put(filled(np.asarray(images), size)), place=place
  )
  return tuple(x[:count] for x in maps)


def check_sound(name: str, nsn: Any) -> None:
  """Raises ValueError unless the arrays of a network, whole or trained in part, make one.

  Its layers' filters fit their configurations and each other, and the whitening's arrays the
  images; all are float32 and finite, variances above 0.
  """
  checks.instance(name, nsn, NSN)
  config = nsn.config
  checks.instance(f"{name}.config", config, NetworkConfig)
  if not isinstance(nsn.filters, tuple) or len(nsn.filters) > len(config.layers):
    raise ValueError(
      f"{name}.filters: expected a tuple of at most {len(config.layers)}, as many layers as are "
      f"configured, got {len(nsn.filters) if isinstance(nsn.filters, tuple) else nsn.filters!r}"
    )
  channels = None
  if (nsn.whitening is None) != (config.whitening_epsilon is None):
    raise ValueError(
      f"{name}.whitening: expected one where config.whitening_epsilon is given, and none else, got "
      f"{type(nsn.whitening).__name__} and {config.whitening_epsilon}"
    )
  if nsn.whitening is not None:
    channels = _check_whitening(f"{name}.whitening", nsn.whitening, config)
  for index, (filters, layer) in enumerate(zip(nsn.filters, config.layers, strict=False)):
    title = f"{name}.filters[{index}]"
    check_filters(title, filters)
    # Born ones only: +inf is refused.
    _check_arrays(title, filters)
    expected = (layer.kernel, layer.kernel, channels or filters.mean.shape[-1])
    if tuple(filters.mean.shape[1:]) != expected:
      raise ValueError(
        f"{title}.mean: expected shape [K, {', '.join(map(str, expected))}], "
        f"got {tuple(filters.mean.shape)}"
      )
    channels = filters.num_filters
  _check_completion(name, nsn)


def _check_completion(name: str, nsn: NSN) -> None:
  """Checks what follows the layers of a whole network: prior, decoders, contrast."""
  parts = {"prior": nsn.prior, "fed": nsn.fed, "exact": nsn.exact, "contrast": nsn.contrast}
  given = [field for field, value in parts.items() if value is not None]
  if given and nsn.num_layers < len(nsn.config.layers):
    raise ValueError(f"{name}.{given[0]}: expected None, as layers are missing")
  for field in given:
    _check_arrays(f"{name}.{field}", parts[field])
  if nsn.prior is not None:
    checks.instance(f"{name}.prior", nsn.prior, Prior)
    k = nsn.filters[-1].num_filters
    for field, value in nsn.prior._asdict().items():
      if value is None:
        continue
      shape = tuple(value.shape)
      rank = 1 if field == "share" else 2
      if len(shape) != rank or shape[-1] != k or not (np.asarray(value) >= 0).all():
        raise ValueError(
          f"{name}.prior.{field}: expected shares of {k} filters, at least 0, got {list(shape)}"
        )
      if not np.allclose(np.asarray(value).sum(axis=-1), 1.0, atol=1e-3):
        raise ValueError(f"{name}.prior.{field}: expected shares that add up to 1")
  for field, decoders in (("fed", nsn.fed), ("exact", nsn.exact)):
    if decoders is None:
      continue
    if not isinstance(decoders, tuple) or len(decoders) != nsn.num_layers:
      raise ValueError(f"{name}.{field}: expected a tuple of {nsn.num_layers}, one a layer")
    for index, (decoder, filters) in enumerate(zip(decoders, nsn.filters, strict=True)):
      if decoder is not None:
        check_decoder(f"{name}.{field}[{index}]", decoder, filters)
  if nsn.contrast is not None:
    checks.instance(f"{name}.contrast", nsn.contrast, Contrast)
    factor, center, gains, curves = nsn.contrast
    if factor.shape != () or not factor > 0:
      raise ValueError(f"{name}.contrast.factor: expected one number above 0, got {factor}")
    channels = nsn.filters[0].mean.shape[-1]
    if len(center.shape) != 3 or center.shape[-1] != channels:
      raise ValueError(
        f"{name}.contrast.center: expected [H, W, {channels}], got {list(center.shape)}"
      )
    if gains is not None:
      checks.instance(f"{name}.contrast.gains", gains, Gains)
      check_gains(f"{name}.contrast.gains", gains, tuple(center.shape))
    if curves is not None:
      if not isinstance(curves, tuple) or not curves:
        raise ValueError(f"{name}.contrast.curves: expected None, or a tuple of those of windows")
      for index, each in enumerate(curves):
        title = f"{name}.contrast.curves[{index}]"
        checks.instance(title, each, Curves)
        check_curves(title, each, tuple(center.shape))


def _check_whitening(name: str, whitening: Any, config: NetworkConfig) -> int:
  """Checks a whitening's arrays and returns its number of channels."""
  checks.instance(name, whitening, Whitening)
  _check_arrays(name, whitening)
  if len(whitening.mean.shape) != 3:
    raise ValueError(f"{name}.mean: expected [H, W, C], got shape {tuple(whitening.mean.shape)}")
  h, w, c = whitening.mean.shape
  try:
    top = map_sizes((h, w), config.layers)[-1]
  except ValueError as error:
    raise ValueError(f"{name}.mean: {h} x {w} images do not fit the layers: {error}") from None
  if top != (1, 1):
    raise ValueError(f"{name}.mean: expected {h} x {w} images to end at a 1 x 1 map")
  for field in ("transform", "inverse"):
    given = tuple(getattr(whitening, field).shape)
    if given != (c, h * w, h * w):
      raise ValueError(f"{name}.{field}: expected shape {(c, h * w, h * w)}, got {given}")
  return c


def _check_arrays(name: str, value: Any) -> None:
  """`_check_array` of every array of a pytree."""
  for path, leaf in jax.tree_util.tree_leaves_with_path(value):
    _check_array(name + jax.tree_util.keystr(path), leaf)


def _check_array(name: str, value: Any) -> None:
  """Raises ValueError unless an array is float32, not empty, and finite."""
  dtype = getattr(value, "dtype", None)
  # Either byte order; JAX's small floats are of another kind.
  if dtype is None or (dtype.kind, dtype.itemsize) != ("f", 4) or 0 in value.shape:
    given = type(value).__name__ if dtype is None else f"{dtype} {list(value.shape)}"
    raise ValueError(f"{name}: expected a float32 array that is not empty, got {given}")
  checks.extent(name, value)


def check_trained(nsn: NSN) -> None:
  """Raises ValueError for what is no network, or one without a layer."""
  checks.instance("nsn", nsn, NSN)
  if not nsn.filters:
    raise ValueError("nsn: expected a network of at least one trained layer, got none")


def check_images(nsn: NSN, images: np.ndarray | jax.Array) -> np.ndarray | jax.Array:
  """The images, in native byte order.

  Raises:
    ValueError: unless they are such as the network was trained on.
  """
  check_trained(nsn)
  images = checks.images("images", images)
  channels = nsn.filters[0].mean.shape[-1]
  if images.shape[-1] != channels:
    raise ValueError(
      f"images: expected {channels} channels, as the network was trained on, "
      f"got shape {tuple(images.shape)}"
    )
  map_sizes(images.shape[1:3], nsn.config.layers[: nsn.num_layers])
  return images
