"""NSN-Gen: the network run backwards, from noise or from a feature map to pixels (Eq 4-5).

At each position of a feature map h, for every layer from the top down,

    p = softmax(gamma * h)
    w = Multinomial(T, p) / T                                       (Eq 4)
    s_j = mu_j + alpha * sqrt(v_j / D) * eps_j,  eps_j ~ N(0, I)    (Eq 5)
    patch = beta * sum_j w_j s_j

and the patches are stitched by averaging. Sums of independent normals are normal, so neither the K
tensors s_j nor the patches' noise is drawn: a stitched value is normal with mean
beta * stitch(w @ mu) and variance (alpha * beta)^2 * sum over its patches of (sum_j w_j^2 v_j / D),
over its number of patches squared. One draw a value gives the same distribution.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import budgets, checks, numerics
from nsn_jax.config import LayerConfig, SamplerConfig
from nsn_jax.curves import with_curves
from nsn_jax.decoders import Decoder, corrections, from_coordinates, linear_patches, seen_by
from nsn_jax.filters import Filters
from nsn_jax.gains import with_gains
from nsn_jax.network import NSN, Contrast, check_trained, decoded_sizes
from nsn_jax.patches import overlap_count, stitch_patches, sum_patches
from nsn_jax.placement import AXIS, P, Placement, local_place
from nsn_jax.prior import draw_maps
from nsn_jax.whitening import Whitening, unwhiten

__all__ = ["decode", "decode_layer", "draw_weights", "sample", "settings", "with_contrast"]

#: Samples up to which a group is as large as what was asked for; more are filled up to a multiple,
#: as a prime number of samples would have no batches.
_FILLED_FROM = 8


class _Knobs(NamedTuple):
  """The sampler's numbers for one layer, traced: a sweep over them compiles once."""

  gamma: jax.typing.ArrayLike
  alpha: jax.typing.ArrayLike
  beta: jax.typing.ArrayLike


class _Static(NamedTuple):
  """What a program is compiled for, for one layer.

  Attributes:
    layer: its window.
    num_draws: T.
    noisy: whether alpha is not 0.
    batch: maps whose patches are there at once.
  """

  layer: LayerConfig
  num_draws: int
  noisy: bool
  batch: int


def _cumulative_odds(
  keys: jax.Array, feature_map: jax.Array, gamma: jax.typing.ArrayLike, num_draws: int
) -> tuple[jax.Array, jax.Array]:
  """Sums of odds up to each filter, [N, h, w, K], and T heights among them, [N, h, w, T]."""
  h, w = feature_map.shape[1:3]
  # Sums of exponentials rise with the filters, so T uniform numbers a position pick as well as K
  # Gumbel numbers would, and are K times cheaper to draw.
  # The largest is taken off before gamma, which may be large enough to overflow with it.
  odds = jnp.exp(gamma * (feature_map - jnp.max(feature_map, axis=-1, keepdims=True)))
  cumulative = jnp.cumsum(odds, axis=-1)
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (h, w, num_draws), jnp.float32))(keys)
  return cumulative, uniform * cumulative[..., -1:]


def _at_height(cumulative: jax.Array, height: jax.Array) -> jax.Array:
  """The first filter whose sum is above a height [N, h, w, 1]: int32 [N, h, w]."""
  index = jnp.sum(cumulative <= height, axis=-1, dtype=jnp.int32)
  return jnp.minimum(index, cumulative.shape[-1] - 1)


def _draw_filters(
  keys: jax.Array, feature_map: jax.Array, gamma: jax.typing.ArrayLike
) -> jax.Array:
  """Eq 4 with T = 1: the filter of each position, int32 [N, h, w]."""
  return _at_height(*_cumulative_odds(keys, feature_map, gamma, 1))


def draw_weights(
  keys: jax.Array, feature_map: jax.Array, gamma: jax.typing.ArrayLike, num_draws: int
) -> jax.Array:
  """Eq 4: the weights of the filters at each position, w = Multinomial(T, softmax(gamma h)) / T.

  Args:
    keys: one PRNG key a map, [N].
    feature_map: h, float32 [N, h, w, K].
    gamma: dynamic range of the similarities.
    num_draws: T.

  Returns:
    w, float32 [N, h, w, K]; each position's weights are multiples of 1/T and add up to 1.
  """
  cumulative, height = _cumulative_odds(keys, feature_map, gamma, num_draws)
  rank = jnp.arange(feature_map.shape[-1])

  def draw(t: jax.Array, total: jax.Array) -> jax.Array:
    drawn = jax.lax.dynamic_slice_in_dim(height, t, 1, axis=-1)
    return total + (_at_height(cumulative, drawn)[..., None] == rank)

  # A loop: unrolled, a hundred draws take seconds to compile.
  total = jax.lax.fori_loop(0, num_draws, draw, jnp.zeros(feature_map.shape, jnp.float32))
  return total / num_draws


def decode_layer(
  keys: jax.Array,
  feature_map: jax.Array,
  filters: Filters,
  knobs: _Knobs,
  static: _Static,
  decoder: Decoder | None = None,
) -> jax.Array:
  """One layer backwards: its feature map [N, h, w, K] to the map below, [N, H, W, C].

  With a decoder, patches are its own in place of filters' means; a linear one draws nothing, and
  has no noise.

  Args:
    keys: one PRNG key a map, [N].
    feature_map: h.
    filters: the layer's K filters.
    knobs: gamma, alpha and beta.
    static: window, number of draws, whether alpha is not 0, and how many maps are decoded at a
      time, a divisor of N.
    decoder: of this layer; a corrected one takes T = 1.
  """
  draw_keys, noise_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  stride, batch = static.layer.stride, static.batch
  beta = jnp.asarray(knobs.beta)

  def stitched(patches: jax.Array, per_value: jax.Array, keys: jax.Array) -> jax.Array:
    below = beta * stitch_patches(patches, stride)
    return _noised(keys, below, per_value, patches, knobs, stride) if static.noisy else below

  if decoder is not None and decoder.kind == "linear":

    def mapped(maps: jax.Array) -> jax.Array:
      return beta * stitch_patches(linear_patches(maps, decoder), stride)

    return _in_batches(mapped, batch, feature_map)

  if decoder is None and static.num_draws > 1:

    def mixed(draw_keys: jax.Array, noise_keys: jax.Array, maps: jax.Array) -> jax.Array:
      weights = draw_weights(draw_keys, maps, knobs.gamma, static.num_draws)
      patches = jnp.tensordot(weights, filters.mean, 1, precision=numerics.PRECISION)
      per_value = jnp.dot(
        weights * weights, filters.variance / filters.num_values, precision=numerics.PRECISION
      )
      return stitched(patches, per_value, noise_keys)

    return _in_batches(mixed, batch, draw_keys, noise_keys, feature_map)

  # One filter a position: its number says what weights would.
  def chosen(keys: jax.Array, maps: jax.Array) -> tuple[jax.Array, jax.Array | None]:
    seen = None if decoder is None else seen_by(decoder, maps)
    return _draw_filters(keys, maps, knobs.gamma), seen

  def single(keys: jax.Array, index: jax.Array, along: jax.Array | None) -> jax.Array:
    patches = filters.mean[index]
    if decoder is not None and along is not None:
      patches = patches + from_coordinates(along, decoder)
    return stitched(patches, filters.variance[index] / filters.num_values, keys)

  index, seen = _in_batches(chosen, batch, draw_keys, feature_map)
  # Of all maps together: each filter's own map is read once for all positions that drew it.
  along = None if decoder is None else corrections(seen, index, decoder)
  return _in_batches(single, batch, noise_keys, index, along)


def _in_batches(step: Callable[..., Any], batch: int, *arrays: jax.Array | None) -> Any:
  """A step over the rows of arrays, so many at a time, a divisor of all, one after the other."""
  if batch == jax.tree.leaves(arrays)[0].shape[0]:
    return step(*arrays)
  parts = jax.tree.map(lambda x: x.reshape(-1, batch, *x.shape[1:]), arrays)
  found = jax.lax.map(lambda part: step(*part), parts)
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


def _noised(
  keys: jax.Array,
  below: jax.Array,
  per_value: jax.Array,
  patches: jax.Array,
  knobs: _Knobs,
  stride: int,
) -> jax.Array:
  """Eq 5's noise on a stitched map; `per_value` is sum_j w_j^2 v_j / D of each position."""
  _, h, w, kh, kw, _ = patches.shape
  spread = jnp.broadcast_to(per_value[..., None, None, None], (*per_value.shape, kh, kw, 1))
  count = jnp.maximum(overlap_count(h, w, (kh, kw), stride), 1.0)
  deviation = jnp.asarray(knobs.alpha) * knobs.beta * jnp.sqrt(sum_patches(spread, stride)) / count
  eps = jax.vmap(lambda key: jax.random.normal(key, below.shape[1:], jnp.float32))(keys)
  return below + deviation * eps


def _decode(
  keys: jax.Array,
  feature_map: jax.Array,
  filters: tuple[Filters, ...],
  knobs: tuple[_Knobs, ...],
  static: tuple[_Static, ...],
  decoders: tuple[Decoder | None, ...],
) -> jax.Array:
  """Layers backwards, the last of `filters` first. Number i of them uses fold_in(key, i)."""
  for index in reversed(range(len(filters))):
    layer_keys = jax.vmap(lambda key, index=index: jax.random.fold_in(key, index))(keys)
    feature_map = decode_layer(
      layer_keys, feature_map, filters[index], knobs[index], static[index], decoders[index]
    )
  return feature_map


def _to_pixels(decoded: jax.Array, nsn: NSN, contrast: Contrast | None) -> jax.Array:
  """Un-whitens; a patch smaller than the images is taken from the middle of a mean image."""
  pixels = decoded if nsn.whitening is None else _unwhitened(decoded, nsn.whitening)
  return pixels if contrast is None else with_contrast(pixels, contrast)


def with_contrast(pixels: jax.Array, contrast: Contrast) -> jax.Array:
  """Un-whitened samples [N, H, W, C] with their contrast.

  Gains and curves are of whole images: what is of another size has the factor alone.
  """
  size, (height, width) = contrast.center.shape, pixels.shape[1:3]
  if height > size[0] or width > size[1]:  # without whitening maps may be of any size
    center = jnp.mean(contrast.center, axis=(0, 1))
  else:
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    center = contrast.center[top : top + height, left : left + width]
  about, whole = pixels - center, (height, width) == size[:2]
  if contrast.gains is not None and whole:
    about = with_gains(about, contrast.gains)
  pixels = center + contrast.factor * about
  for curves in contrast.curves or () if whole else ():
    pixels = with_curves(pixels, curves)
  return pixels


def _unwhitened(decoded: jax.Array, whitening: Whitening) -> jax.Array:
  size = whitening.mean.shape
  height, width = decoded.shape[1:3]
  top, left = (size[0] - height) // 2, (size[1] - width) // 2
  rest = ((top, size[0] - height - top), (left, size[1] - width - left))
  pixels = unwhiten(jnp.pad(decoded, ((0, 0), *rest, (0, 0))), whitening)
  return pixels[:, top : top + height, left : left + width]


@functools.partial(jax.jit, static_argnames=("static", "pixels", "lowest", "decoder", "place"))
def _decode_group(
  key: jax.Array,
  indices: jax.Array,
  feature_map: jax.Array | None,
  nsn: NSN,
  knobs: tuple[_Knobs, ...],
  share: jax.Array | None,
  temperature: jax.Array,
  *,
  decoder: str,
  static: tuple[_Static, ...],
  pixels: bool,
  lowest: int,
  place: Placement | None,
) -> jax.Array:
  """Decodes samples number `indices`, those of a mesh a device.

  Without a map they start from N(0, I), or, where filters' shares are given, from the prior: one
  layer down, as that draws what the last layer decodes to.
  """
  if place is not None:
    whole = functools.partial(
      _decode_group,
      decoder=decoder,
      static=static,
      pixels=pixels,
      lowest=lowest,
      place=None,
    )
    specs = (P(), P(AXIS), P(AXIS), P(), P(), P(), P())
    return place.on_devices(whole, specs, P(AXIS))(
      key, indices, feature_map, nsn, knobs, share, temperature
    )
  keys = jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)
  used = nsn.filters[lowest : lowest + len(static)]
  top = lowest + len(static) - 1
  decoders = _decoders(nsn, decoder, top)[lowest : top + 1]
  noise_keys, decode_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  last = len(used) - 1
  if share is not None:  # and no map
    drawn = draw_maps(noise_keys, used[last], share, temperature)
    decoded = jnp.asarray(knobs[last].beta) * drawn
    decoded = _decode(decode_keys, decoded, used[:last], knobs, static, decoders)
  else:
    if feature_map is None:
      shape = (1, 1, used[last].num_filters)
      feature_map = jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(noise_keys)
    decoded = _decode(decode_keys, feature_map, used, knobs, static, decoders)
  contrast = None if decoder == "exact" else nsn.contrast
  return _to_pixels(decoded, nsn, contrast) if pixels else decoded


def _decoders(nsn: NSN, decoder: str, top: int) -> tuple[Decoder | None, ...]:
  """One decoder a layer, `top` the last that is decoded; None where filters' means are drawn.

  Exact ones are for maps of real images, and what `top` decodes to is none: below it filters are
  drawn, which brings real images back closer than one linear map after the other.
  """
  found = {"drawn": None, "fed": nsn.fed, "exact": nsn.exact}[decoder]
  if found is None:
    return (None,) * nsn.num_layers
  if decoder == "exact":
    return tuple(x if index == top else None for index, x in enumerate(found))
  return found


def _prepare(
  nsn: NSN, sampler: SamplerConfig, lowest: int, top: int, batches: tuple[int, ...]
) -> tuple[tuple[_Knobs, ...], tuple[_Static, ...]]:
  """Knobs and static parts of layers lowest, ..., top."""
  count = len(nsn.config.layers)
  gamma, alpha, beta, draws = (
    sampler.per_layer(name, count)[lowest : top + 1]
    for name in ("gamma", "alpha", "beta", "num_draws")
  )
  layers = nsn.config.layers[lowest : top + 1]
  number = np.float32
  knobs = tuple(
    _Knobs(number(g), number(a), number(b)) for g, a, b in zip(gamma, alpha, beta, strict=True)
  )
  static = tuple(
    _Static(layer, int(t), a > 0, batch)
    for layer, t, a, batch in zip(layers, draws, alpha, batches, strict=True)
  )
  return knobs, static


class _Group(NamedTuple):
  """How many samples a program draws.

  Attributes:
    size: samples whose maps are held at once.
    batches: of each layer, lowest first, samples whose patches are there at once; they divide the
      size.
  """

  size: int
  batches: tuple[int, ...]


def _group(nsn: NSN, size: tuple[int, int], lowest: int, top: int, num_samples: int) -> _Group:
  """By what a sample takes on the way down from a map of this size."""
  budget, held, patches = budgets.of_backend(), 1, []
  layers = nsn.config.layers[lowest : top + 1]
  maps = decoded_sizes(size, layers)[1:]
  for (h, w), layer, filters in zip(maps, layers, nsn.filters[lowest : top + 1], strict=True):
    k = filters.num_filters
    held = max(held, h * w * max(k, layer.num_features))
    patches.append(h * w * max(k, filters.num_values))
  most = max(budget.group_values // held, budgets.IMAGES_AT_ONCE)
  most = 1 << (most.bit_length() - 1)  # with many divisors
  if num_samples < most:
    step = _FILLED_FROM if num_samples > _FILLED_FROM else 1
    most = -(-num_samples // step) * step
  limits = [max(budget.sample_values // values, 1) for values in patches]
  return _Group(most, tuple(_divisor(most, limit) for limit in limits))


def _divisor(number: int, limit: int) -> int:
  """The largest divisor that is at most so large."""
  return max(d for d in range(1, min(number, limit) + 1) if number % d == 0)


def _run(
  key: jax.Array,
  nsn: NSN,
  sampler: SamplerConfig,
  feature_map: np.ndarray | jax.Array | None,
  num_samples: int,
  lowest: int,
  top: int,
  label: int | None = None,
  mesh: jax.sharding.Mesh | None = None,
) -> jax.Array:
  """Group by group: sample i depends on (key, i) alone, not on the group or the device.

  A program draws a group, and so reads the whitening's inverse and the decoders once for many.
  """
  place = None if mesh is None else local_place(mesh)
  share = None if feature_map is not None else _share(nsn, sampler, top, label)
  height, width = (1, 1) if feature_map is None else feature_map.shape[1:3]
  group, batches = _group(nsn, (height, width), lowest, top, num_samples)
  knobs, static = _prepare(nsn, sampler, lowest, top, batches)
  found = []
  if place is not None:
    nsn, share = place.replicate((nsn, share))
    group *= place.num_devices
  for start in range(0, num_samples, group):
    # A last group is drawn whole and cut, so that one shape is compiled.
    indices = np.arange(start, start + group, dtype=np.int32)
    part = None
    if feature_map is not None:
      part = jnp.asarray(feature_map[np.minimum(indices, num_samples - 1)], jnp.float32)
    found.append(
      _decode_group(
        key,
        indices,
        part,
        nsn,
        knobs,
        share,
        np.float32(sampler.temperature),
        decoder=sampler.decoder,
        static=static,
        pixels=lowest == 0,
        lowest=lowest,
        place=place,
      )
    )
  return jnp.concatenate(found)[:num_samples] if len(found) > 1 else found[0][:num_samples]


def _share(nsn: NSN, sampler: SamplerConfig, top: int, label: int | None) -> jax.Array | None:
  """How often each filter is drawn; None where sampling starts from noise.

  Raises:
    ValueError: where the network does not keep what is asked for.
  """
  if sampler.prior == "noise":
    if label is not None:
      raise ValueError(
        f"label: expected None where sampling starts from noise, got {label!r}: classes are of "
        'prior="mixture"'
      )
    return None
  if nsn.prior is None or top != nsn.num_layers - 1:
    raise ValueError(
      'prior: expected "noise", as only whole networks keep the proportions of their last layer, '
      f'got "mixture" for layer {top} of {nsn.num_layers}'
    )
  if label is None:
    return nsn.prior.share
  if nsn.prior.class_share is None:
    raise ValueError(f"label: expected None, as training had no labels, got {label!r}")
  checks.integer("label", label, 0, nsn.prior.class_share.shape[0] - 1)
  return nsn.prior.class_share[int(label)]


def _layer_index(name: str, layer: int | None, nsn: NSN) -> int:
  check_trained(nsn)
  if layer is None:
    return nsn.num_layers - 1
  checks.integer(name, layer, 0, nsn.num_layers - 1)
  return int(layer)


def settings(nsn: NSN, sampler: SamplerConfig | None) -> SamplerConfig:
  """The given sampler, or the network's own."""
  if sampler is None:
    return nsn.config.sampler
  checks.instance("sampler", sampler, SamplerConfig)
  return sampler


def sample(
  key: jax.Array,
  nsn: NSN,
  num_samples: int,
  sampler: SamplerConfig | None = None,
  layer: int | None = None,
  label: int | None = None,
  *,
  mesh: jax.sharding.Mesh | None = None,
) -> jax.Array:
  """Draws samples from the network's prior, or from noise z ~ N(0, I) at the top of a layer.

  Sample i depends on the key and on i alone: fewer samples are the first ones of more.

  Args:
    key: PRNG key.
    nsn: the network.
    num_samples: N, at least 1.
    sampler: gamma, T, alpha, beta; by default the network's own.
    layer: where to start, 0 nearest the pixels; by default the last. A lower layer gives patches
      of its receptive field; with whitening, as they look in the middle of a mean image. These
      start from noise.
    label: the class to draw, where training had labels and the prior is the mixture.
    mesh: devices of this process, each of which draws some; None for the default one. The samples
      are the same.

  Returns:
    Pixel values as they come, float32 [N, H, W, C]: not whitened, not clipped to [0, 1].

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  checks.integer("num_samples", num_samples, 1)
  top = _layer_index("layer", layer, nsn)
  sampler = settings(nsn, sampler)
  if layer is not None and top < nsn.num_layers - 1:
    sampler = dataclasses.replace(sampler, prior="noise")
  return _run(key, nsn, sampler, None, int(num_samples), 0, top, label, mesh)


def decode(
  key: jax.Array,
  nsn: NSN,
  feature_map: np.ndarray | jax.Array,
  sampler: SamplerConfig | None = None,
  layer: int | None = None,
  stop_layer: int | None = None,
  *,
  mesh: jax.sharding.Mesh | None = None,
) -> jax.Array:
  """Decodes feature maps, given or made up, to pixels or to a lower feature map.

  Args:
    key: PRNG key; map i uses `fold_in(key, i)`.
    nsn: the network.
    feature_map: h of `layer`, float [N, h, w, K_layer], finite.
    sampler: gamma, T, alpha, beta; by default the network's own.
    layer: whose map it is, 0 nearest the pixels; by default the last.
    stop_layer: the layer whose feature map is wanted, below `layer`; by default pixels.
    mesh: as of `sample`.

  Returns:
    Pixel values as they come, float32 [N, H, W, C], not whitened, not clipped; or the map of
    `stop_layer`, [N, h', w', K_stop].

  Raises:
    ValueError: for arguments that are not as above, or, where the network whitens, a map that
      decodes to more than one image.
  """
  key = checks.key("key", key)
  top = _layer_index("layer", layer, nsn)
  feature_map = checks.feature_maps("feature_map", feature_map, nsn.filters[top].num_filters)
  lowest = 0
  if stop_layer is not None:
    if top == 0:
      raise ValueError(
        f"stop_layer: expected None where layer is 0, the lowest, got {stop_layer!r}"
      )
    checks.integer("stop_layer", stop_layer, 0, top - 1)
    lowest = int(stop_layer) + 1
  if nsn.whitening is not None and lowest == 0:
    height, width = decoded_sizes(feature_map.shape[1:3], nsn.config.layers[: top + 1])[0]
    limit = nsn.whitening.mean.shape
    if height > limit[0] or width > limit[1]:
      raise ValueError(
        f"feature_map: expected one that decodes to at most {limit[0]} x {limit[1]} pixels, as the "
        f"whitening was fitted, got one of {height} x {width}"
      )
  count = feature_map.shape[0]
  return _run(key, nsn, settings(nsn, sampler), feature_map, count, lowest, top, mesh=mesh)
