"""Fitting decoders: exact ones on real maps, fed ones on what the layers above decode to."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import decoder_features, decoders, factors
from nsn_jax.decoder_choice import choose_decoder
from nsn_jax.decoders import Decoder, DecoderSums
from nsn_jax.filters import Filters, feature_map
from nsn_jax.grouped import add_sums
from nsn_jax.host_random import generator
from nsn_jax.network import NSN, map_sizes, seen_maps
from nsn_jax.patches import extract_patches
from nsn_jax.progress import OnFraction
from nsn_jax.rows import Rows
from nsn_jax.sampler import decode

__all__ = ["kept_maps", "train_exact", "train_fed"]

#: Positions that a fed decoder is fitted on: its filters' own maps need some thousands each. One
#: map for all needs fewer.
_POSITIONS, _EXACT_POSITIONS = 1_080_000, 150_000
#: Images that a decoder sees at the least, at most, and at a time: where sums are taken more of
#: them, as these are most of a gigabyte in a middle layer, and are added up once a batch.
_LEAST_IMAGES, _MOST_IMAGES = 1_000, 30_000
_MOST_AT_ONCE, _MOST_SUMMED_AT_ONCE = 100, 400
#: Values that the positions of a batch see, at most.
_VALUES_AT_ONCE = 1 << 25
#: Positions that features and directions are found of.
_FIRST_POSITIONS = 4_096
#: Directions of patches that linear decoders speak of, at most.
_LINEAR_DIRECTIONS = 512
#: Features of an exact decoder, at most.
_MOST_FEATURES = 1_024
#: Images, and share of all at most, that decide between decoders and that none is fitted on.
_HELD_OUT, _HELD_OUT_SHARE = 400, 0.25
#: Ridges, as shares of a feature's variance.
_EXACT_RIDGE, _FED_RIDGE = 1e-4, 1e-2

#: Feature map and patches below of some rows of the images, by the batch's key.
_Pairs = Callable[[jax.Array, npt.NDArray[np.integer]], tuple[jax.Array, jax.Array]]


def _some(key: jax.Array, images: Rows) -> npt.NDArray:
  """Random images that decoders are fitted on."""
  rng = generator(key)
  return images.take(rng.permutation(len(images))[:_MOST_IMAGES])


def _exact_pairs(nsn: NSN, images: npt.NDArray, index: int) -> _Pairs:
  layer = nsn.config.layers[index]

  def pairs(_: jax.Array, rows: npt.NDArray[np.integer]) -> tuple[jax.Array, jax.Array]:
    maps = seen_maps(nsn, jnp.asarray(images[rows]), count=index + 1)
    return maps[index + 1], extract_patches(maps[index], layer.kernel, layer.stride)

  return pairs


def _kept(nsn: NSN, images: npt.NDArray) -> factors.Kept:
  """What the last layer's filters keep of images' maps, on the host: a kilobyte or two an image."""
  top = nsn.config.layers[-1]
  found: list[factors.Kept] = []
  size = min(_MOST_AT_ONCE, len(images))
  for i in range(0, len(images), size):
    batch = np.resize(images[i : i + size], (size, *images.shape[1:]))  # a last one filled up
    maps = seen_maps(nsn, jnp.asarray(batch), count=nsn.num_layers - 1)
    patches = extract_patches(maps[-1], top.kernel, top.stride)[:, 0, 0]
    found.append(jax.device_get(factors.keep(patches, nsn.filters[-1])))
  return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(images)], *found)


def kept_maps(nsn: NSN, images: npt.NDArray) -> jax.Array:
  """What the last layer's filters keep of images' maps: where the sampler's decoding begins.

  Args:
    nsn: the network, whole.
    images: [N, H, W, C] as it was trained on.

  Returns:
    Maps of the layer below the last, float32 [N, h, w, C].
  """
  return factors.from_kept(_kept(nsn, images), nsn.filters[-1])


def _fed_pairs(nsn: NSN, images: npt.NDArray, starts: factors.Kept, index: int) -> _Pairs:
  layer = nsn.config.layers[index]

  def pairs(key: jax.Array, rows: npt.NDArray[np.integer]) -> tuple[jax.Array, jax.Array]:
    maps = seen_maps(nsn, jnp.asarray(images[rows]), count=index)
    # Made again in each batch: maps of all images are gigabytes.
    fed = factors.from_kept(jax.tree.map(lambda x: jnp.asarray(x[rows]), starts), nsn.filters[-1])
    if index < nsn.num_layers - 2:
      fed = decode(key, nsn, fed, layer=nsn.num_layers - 2, stop_layer=index)
    return fed, extract_patches(maps[index], layer.kernel, layer.stride)

  return pairs


def _fit(
  key: jax.Array,
  nsn: NSN,
  index: int,
  images: npt.NDArray,
  pairs: _Pairs,
  kinds: Sequence[str],
  *,
  logits: bool,
  context: int,
  num_features: int,
  position_features: int,
  num_positions: int,
  ridge: float,
  report: OnFraction,
) -> dict[str, Decoder]:
  """Fits a layer's decoders of some kinds on the first images, which are in random order."""
  filters = nsn.filters[index]
  feature_key, rows_key, basis_key, draw_key = jax.random.split(key, 4)
  height, width = map_sizes(images.shape[1:3], nsn.config.layers)[index]
  positions = height * width
  count = min(max(num_positions // positions, _LEAST_IMAGES), len(images))
  context = min(context, *(side if side % 2 else side - 1 for side in (height, width)))
  values = positions * max(context**2 * filters.num_filters, filters.num_values)
  size = min(max(_VALUES_AT_ONCE // values, 1), _MOST_SUMMED_AT_ONCE, count)
  batches = np.arange(count // size * size).reshape(-1, size)  # of one shape
  keys = jax.random.split(draw_key, len(batches))
  num_first = -(-_FIRST_POSITIONS // (positions * size))
  first = [pairs(k, b) for k, b in zip(keys, batches[:num_first], strict=False)]
  # Joined on the host: jax would compile each of these for every layer.
  some_maps = np.concatenate([np.asarray(maps) for maps, _ in first])
  kept = filters.num_filters
  if context > 1:  # a position alone is seen whole
    kept = min(position_features or kept, kept)
  num_features = min(num_features, context**2 * kept, some_maps[..., 0].size)
  of = decoder_features.fit_features(
    feature_key,
    jnp.asarray(some_maps),
    context=context,
    logits=logits,
    size=num_features,
    most=position_features or None,
  )
  window = filters.mean.shape[1:]
  below = np.concatenate([np.asarray(patches).reshape(-1, *window) for _, patches in first])
  rng = generator(rows_key)
  rows = jnp.asarray(below[rng.permutation(len(below))[:_FIRST_POSITIONS]])
  starts: dict[str, Filters | jax.Array] = {}
  bases: dict[str, jax.Array] = {}
  for kind in kinds:
    if kind == "corrected":
      starts[kind] = filters
      residual = factors.residuals(rows, filters)[1]
      most = nsn.config.layers[index].num_directions
    else:
      mean = jnp.asarray(below.mean(axis=0))
      starts[kind] = mean
      residual, most = rows - mean, _LINEAR_DIRECTIONS
    bases[kind] = factors.leading_directions(basis_key, residual, most)
  totals: dict[str, DecoderSums] = {}
  for done, (k, batch) in enumerate(zip(keys, batches, strict=True), 1):
    # What is fed is the dear part: once for all kinds.
    feature_map, patches = first[done - 1] if done <= len(first) else pairs(k, batch)
    seen = decoder_features.features(feature_map, of)
    for kind in kinds:
      found = decoders.decoder_sums(seen, patches, bases[kind], starts[kind])
      totals[kind] = add_sums(totals[kind], found) if kind in totals else found
    report(done / len(batches))
  decoded = {}
  for kind in kinds:
    # As many patches like everyone's as there are features to weigh.
    common = num_features if kind == "corrected" else 0
    bias, weight = decoders.solve_decoder(totals[kind], ridge, common)
    start = starts[kind]
    fitted = Decoder(of, None if isinstance(start, Filters) else start, bases[kind], bias, weight)
    decoded[kind] = decoders.folded(fitted)
  return decoded


def _part(report: OnFraction, done: int, count: int) -> OnFraction:
  """Tells of one of so many decoders as a part of all."""
  return lambda fraction: report((done + fraction) / count)


def train_exact(key: jax.Array, nsn: NSN, rows: Rows, report: OnFraction) -> tuple[Decoder, ...]:
  """A linear decoder a layer, from real maps' logits to the patches below."""
  images, found = _some(jax.random.fold_in(key, nsn.num_layers), rows), []
  for index, filters in enumerate(nsn.filters):
    fitted = _fit(
      jax.random.fold_in(key, index),
      nsn,
      index,
      images,
      _exact_pairs(nsn, images, index),
      ("linear",),
      logits=True,
      # As many distances as values determine a patch; of fewer, the neighbours' help.
      context=1 if filters.num_filters >= filters.num_values else 3,
      num_features=min(3 * filters.num_filters, _MOST_FEATURES),
      position_features=0,
      num_positions=_EXACT_POSITIONS,
      ridge=_EXACT_RIDGE,
      report=_part(report, index, nsn.num_layers),
    )
    found.append(fitted["linear"])
  return tuple(found)


def train_fed(
  key: jax.Array, nsn: NSN, rows: Rows, report: OnFraction
) -> tuple[Decoder | None, ...] | None:
  """The decoders that layers are configured to have, from the last but one down.

  Where a layer's is to be found, all kinds are tried on images that none was fitted on
  (`nsn_jax.decoder_choice`). The last layer has none: the prior draws what it decodes to.
  """
  wanted = [index for index, layer in enumerate(nsn.config.layers[:-1]) if layer.decoder != "drawn"]
  if not wanted:
    return None
  images = _some(jax.random.fold_in(key, nsn.num_layers), rows)
  starts = _kept(nsn, images)
  finds = any(nsn.config.layers[index].decoder == "found" for index in wanted)
  num_held = min(_HELD_OUT, int(_HELD_OUT_SHARE * len(images))) if finds else 0
  fitted_on, held = np.split(np.arange(len(images)), [len(images) - num_held])
  held = held if num_held else fitted_on  # of three images none can be spared
  found: list[Decoder | None] = [None] * nsn.num_layers
  for done, index in enumerate(reversed(wanted)):
    layer = nsn.config.layers[index]
    above = dataclasses.replace(nsn, fed=tuple(found))
    fit_key, fed_key, choice_key = jax.random.split(jax.random.fold_in(key, index), 3)
    pairs = _fed_pairs(above, images, starts, index)
    kinds = ("corrected", "linear") if layer.decoder == "found" else (layer.decoder,)
    fitted = _fit(
      fit_key,
      nsn,
      index,
      images[fitted_on],
      pairs,
      kinds,
      logits=False,
      context=layer.context,
      num_features=layer.num_features,
      position_features=layer.position_features,
      num_positions=_POSITIONS,
      ridge=_FED_RIDGE,
      report=_part(report, done, len(wanted)),
    )
    kind = kinds[0]
    if layer.decoder == "found":
      batches = _held_out(fed_key, pairs, held, nsn.filters[index])
      kind, _ = choose_decoder(choice_key, above, index, {**fitted, "drawn": None}, batches)
    found[index] = fitted.get(kind)  # none where filters' means are drawn
  return tuple(found)


def _held_out(
  key: jax.Array, pairs: _Pairs, rows: npt.NDArray[np.integer], filters: Filters
) -> Iterator[tuple[jax.Array, jax.Array]]:
  """Batches of a layer's maps of some images: as the layers above decode them, and true ones."""
  size = min(_MOST_AT_ONCE, len(rows))
  for number, i in enumerate(range(0, len(rows) // size * size, size)):
    fed, patches = pairs(jax.random.fold_in(key, number), rows[i : i + size])
    yield fed, feature_map(patches, filters)
