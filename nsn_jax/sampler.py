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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import budgets, checks, numerics
from nsn_jax.config import LayerConfig, SamplerConfig
from nsn_jax.decoders import Decoder, decoded_patches
from nsn_jax.filters import Filters
from nsn_jax.network import NSN, Contrast, check_trained
from nsn_jax.patches import covered_size, overlap_count, stitch_patches, sum_patches
from nsn_jax.placement import AXIS, P, Placement, local_place
from nsn_jax.prior import draw_maps
from nsn_jax.whitening import Whitening, unwhiten

__all__ = ["decode", "decode_layer", "draw_weights", "sample"]


class _Knobs(NamedTuple):
  """The sampler's numbers for one layer, traced: a sweep over them compiles once."""

  gamma: jax.typing.ArrayLike
  alpha: jax.typing.ArrayLike
  beta: jax.typing.ArrayLike


class _Static(NamedTuple):
  """What a program is compiled for, for one layer."""

  layer: LayerConfig
  num_draws: int
  noisy: bool


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
  _, h, w, k = feature_map.shape
  # Sums of exponentials rise with the filters, so T uniform numbers a position pick as well as K
  # Gumbel numbers would, and are K times cheaper to draw.
  # The largest is taken off before gamma, which may be large enough to overflow with it.
  odds = jnp.exp(gamma * (feature_map - jnp.max(feature_map, axis=-1, keepdims=True)))
  cumulative = jnp.cumsum(odds, axis=-1)
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (h, w, num_draws), jnp.float32))(keys)
  height = uniform * cumulative[..., -1:]
  rank = jnp.arange(k)

  def draw(t: jax.Array, total: jax.Array) -> jax.Array:
    # The first filter whose sum is above the drawn height.
    drawn = jax.lax.dynamic_index_in_dim(height, t, axis=-1)
    index = jnp.sum(cumulative <= drawn, axis=-1, dtype=jnp.int32)
    return total + (jnp.minimum(index, k - 1)[..., None] == rank)

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
    static: window, number of draws, and whether alpha is not 0.
    decoder: of this layer; a corrected one takes T = 1.
  """
  draw_keys, noise_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  n, h, w, k = feature_map.shape
  window = filters.mean.shape[1:]
  stride = static.layer.stride
  if decoder is not None and decoder.kind == "linear":
    patches = decoded_patches(feature_map, decoder, filters, None)
    return jnp.asarray(knobs.beta) * stitch_patches(patches, stride)
  num_draws = static.num_draws if decoder is None else 1
  weights = draw_weights(draw_keys, feature_map, knobs.gamma, num_draws)
  if decoder is None:
    flat = filters.mean.reshape(k, -1)
    patches = jnp.dot(weights.reshape(-1, k), flat, precision=numerics.PRECISION)
    patches = patches.reshape(n, h, w, *window)
  else:
    patches = decoded_patches(feature_map, decoder, filters, jnp.argmax(weights, axis=-1))
  below = jnp.asarray(knobs.beta) * stitch_patches(patches, stride)
  if not static.noisy:
    return below
  per_value = jnp.dot(
    (weights * weights).reshape(-1, k),
    filters.variance / filters.num_values,
    precision=numerics.PRECISION,
  )
  spread = jnp.broadcast_to(per_value.reshape(n, h, w, 1, 1, 1), (n, h, w, window[0], window[1], 1))
  count = jnp.maximum(overlap_count(h, w, (window[0], window[1]), stride), 1.0)
  deviation = jnp.asarray(knobs.alpha) * knobs.beta * jnp.sqrt(sum_patches(spread, stride)) / count
  eps = jax.vmap(lambda key: jax.random.normal(key, below.shape[1:], jnp.float32))(noise_keys)
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
  if contrast is None:
    return pixels
  size, (height, width) = contrast.center.shape, pixels.shape[1:3]
  if height > size[0] or width > size[1]:  # without whitening maps may be of any size
    center = jnp.mean(contrast.center, axis=(0, 1))
  else:
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    center = contrast.center[top : top + height, left : left + width]
  return center + contrast.factor * (pixels - center)


def _unwhitened(decoded: jax.Array, whitening: Whitening) -> jax.Array:
  size = whitening.mean.shape
  height, width = decoded.shape[1:3]
  top, left = (size[0] - height) // 2, (size[1] - width) // 2
  rest = ((top, size[0] - height - top), (left, size[1] - width - left))
  pixels = unwhiten(jnp.pad(decoded, ((0, 0), *rest, (0, 0))), whitening)
  return pixels[:, top : top + height, left : left + width]


@functools.partial(
  jax.jit, static_argnames=("static", "pixels", "lowest", "batch", "decoder", "place")
)
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
  batch: int,
  place: Placement | None,
) -> jax.Array:
  """Decodes samples number `indices`, so many at a time; those of a mesh a device.

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
      batch=batch,
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
  noise_keys, decode_keys = (x.reshape(-1, batch) for x in (noise_keys, decode_keys))
  given = None if feature_map is None else feature_map.reshape(-1, batch, *feature_map.shape[1:])

  def one(part: tuple[jax.Array, jax.Array, jax.Array | None]) -> jax.Array:
    noise_keys, decode_keys, maps = part
    last = len(used) - 1
    if maps is None and share is not None:
      below = jnp.asarray(knobs[last].beta) * draw_maps(noise_keys, used[last], share, temperature)
      return _decode(decode_keys, below, used[:last], knobs, static, decoders)
    if maps is None:
      shape = (1, 1, used[last].num_filters)
      maps = jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(noise_keys)
    return _decode(decode_keys, maps, used, knobs, static, decoders)

  decoded = jax.lax.map(one, (noise_keys, decode_keys, given))
  decoded = decoded.reshape(-1, *decoded.shape[2:])
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
  nsn: NSN, sampler: SamplerConfig, lowest: int, top: int
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
    _Static(layer, int(t), a > 0) for layer, t, a in zip(layers, draws, alpha, strict=True)
  )
  return knobs, static


def _batch_size(nsn: NSN, size: tuple[int, int], lowest: int, top: int) -> int:
  """Samples a batch, by the largest array that a layer makes on the way down from a map."""
  largest = 1
  for index in range(top, lowest - 1, -1):
    layer, filters = nsn.config.layers[index], nsn.filters[index]
    largest = max(largest, size[0] * size[1] * max(filters.num_filters, filters.num_values))
    size = (
      covered_size(size[0], layer.kernel, layer.stride),
      covered_size(size[1], layer.kernel, layer.stride),
    )
  return max(budgets.of_backend().sample_values // largest, 1)


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
  """Groups of batches: sample i depends on (key, i) alone, not on the batch or the device.

  A program draws a group, its batches one after the other, and reads the whitening's inverse once.
  """
  place = None if mesh is None else local_place(mesh)
  knobs, static = _prepare(nsn, sampler, lowest, top)
  share = None if feature_map is not None else _share(nsn, sampler, top, label)
  height, width = (1, 1) if feature_map is None else feature_map.shape[1:3]
  batch = min(_batch_size(nsn, (height, width), lowest, top), num_samples)
  group = -(-min(max(batch, budgets.IMAGES_AT_ONCE), num_samples) // batch) * batch
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
        batch=batch,
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


def _settings(nsn: NSN, sampler: SamplerConfig | None) -> SamplerConfig:
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
  sampler = _settings(nsn, sampler)
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
    height, width = feature_map.shape[1:3]
    for step in reversed(nsn.config.layers[: top + 1]):
      height = covered_size(height, step.kernel, step.stride)
      width = covered_size(width, step.kernel, step.stride)
    limit = nsn.whitening.mean.shape
    if height > limit[0] or width > limit[1]:
      raise ValueError(
        f"feature_map: expected one that decodes to at most {limit[0]} x {limit[1]} pixels, as the "
        f"whitening was fitted, got one of {height} x {width}"
      )
  count = feature_map.shape[0]
  return _run(key, nsn, _settings(nsn, sampler), feature_map, count, lowest, top, mesh=mesh)
