"""A layer's input maps, streamed in batches: cached where they fit the budget, else recomputed.

Every pass goes through the logical shards in rounds: in one round each device takes one of its
shards, batch by batch (`nsn_jax.placement`).
"""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import budgets, em, factors, placement, processes
from nsn_jax.basis import Basis, coordinates
from nsn_jax.config import LayerConfig
from nsn_jax.factors import Coordinates
from nsn_jax.filters import Filters
from nsn_jax.grouped import add_sums
from nsn_jax.host_random import generator
from nsn_jax.network import first_map, layer_map, map_sizes
from nsn_jax.patches import extract_patches, num_positions
from nsn_jax.placement import AXIS, P, Placement, Shards
from nsn_jax.progress import OnFraction
from nsn_jax.rows import Rows, filled
from nsn_jax.tree_sum import TreeSum
from nsn_jax.whitening import Whitening

__all__ = [
  "Encoder",
  "MapStream",
  "above",
  "accumulate",
  "em_iteration",
  "of_images",
  "patch_coordinates",
  "sample_patches",
]

#: Patches after which a shard's sums begin anew: above so many float32 counts no longer.
_FOLDED_PATCHES = 1 << 24
#: Share of the memory budget that whitened images may take.
_WHITENED_SHARE = 4
#: Patches drawn from one image for growth, where there are images enough. More of fewer images
#: would cost less encoding and show growth less variety.
_PATCHES_PER_IMAGE = 4


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=["whitening", "filters"], meta_fields=["layers"]
)
@dataclasses.dataclass(frozen=True)
class Encoder:
  """What makes a layer's input maps of the base: a pytree, the layers' configurations static.

  Attributes:
    whitening: applied to the base where that is images.
    filters: layers between the base and the maps, lowest first.
    layers: their configurations.
  """

  whitening: Whitening | None = None
  filters: tuple[Filters, ...] = ()
  layers: tuple[LayerConfig, ...] = ()

  def __call__(self, base: jax.Array) -> jax.Array:
    """Maps [n, h, w, C] of a batch of the base."""
    maps = first_map(base, self.whitening)
    for filters, layer in zip(self.filters, self.layers, strict=True):
      maps = layer_map(maps, filters, layer)
    return maps


@dataclasses.dataclass(frozen=True)
class MapStream:
  """The maps that a layer sees, over a whole data set.

  Attributes:
    base: what this process holds, on the host: images [n, H, W, C] (uint8 or float), or the maps of
      a lower layer (float32). Those of one process are all.
    encoder: what makes the maps of it.
    place: the devices, and how many logical shards the images are cut into.
    num_images: N, of all processes; 0 where this one has them all.
  """

  base: np.ndarray
  encoder: Encoder = Encoder()
  place: Placement = dataclasses.field(default_factory=lambda: placement.place(None))
  num_images: int = 0

  def __post_init__(self) -> None:
    """All images are this process's where their number is not given."""
    if not self.num_images:
      object.__setattr__(self, "num_images", len(self.base))

  @property
  def rows(self) -> Rows:
    """The base, as rows of all processes."""
    return Rows(self.base, self.num_images, self.place)

  @property
  def map_shape(self) -> tuple[int, int, int]:
    """(h, w, C) of the maps."""
    encoder = self.encoder
    if not encoder.layers:
      return self.base.shape[1:]
    return (*map_sizes(self.base.shape[1:3], encoder.layers)[-1], encoder.filters[-1].num_filters)


@functools.partial(jax.jit, static_argnames="place")
def _encode_batch(encoder: Encoder, base: jax.Array, *, place: Placement) -> jax.Array:
  return place.on_devices(lambda e, b: e(b), (P(), P(AXIS)), P(AXIS))(encoder, base)


@functools.partial(jax.jit, static_argnames=("window", "place"))
def _gather_batch(
  encoder: Encoder,
  base: jax.Array,
  positions: jax.Array,
  basis: Basis | None,
  *,
  window: tuple[int, int],
  place: Placement,
) -> jax.Array:
  """Patches at flat positions [b, q] of each image's map, [b * q, kh, kw, C], or coordinates."""

  def gather(
    encoder: Encoder, base: jax.Array, positions: jax.Array, basis: Basis | None
  ) -> jax.Array:
    patches = extract_patches(encoder(base), *window)
    b, h, w = patches.shape[:3]
    flat = patches.reshape(b, h * w, *patches.shape[3:])
    found = flat[jnp.arange(b)[:, None], positions].reshape(-1, *patches.shape[3:])
    return found if basis is None else coordinates(found, basis)

  specs = (P(), P(AXIS), P(AXIS), P())
  return place.on_devices(gather, specs, P(AXIS))(encoder, base, positions, basis)


@functools.partial(
  jax.jit, static_argnames=("window", "num_parts", "place"), donate_argnames="total"
)
def accumulate(
  total: em.Statistics,
  filters: Filters,
  threshold: jax.Array,
  encoder: Encoder,
  base: jax.Array,
  num_valid: jax.Array,
  *,
  window: tuple[int, int],
  num_parts: int,
  place: Placement,
) -> em.Statistics:
  """Adds a batch's E-step to each device's total; images from `num_valid` on are filling.

  The batch is encoded at once; its patches are made and looked at in parts.
  """

  def added(
    total: em.Statistics,
    filters: Filters,
    threshold: jax.Array,
    encoder: Encoder,
    base: jax.Array,
    num_valid: jax.Array,
  ) -> em.Statistics:
    maps = encoder(base)
    size = len(maps) // num_parts

    def add(total: em.Statistics, part: tuple[jax.Array, jax.Array]) -> tuple[em.Statistics, None]:
      maps, first = part
      patches = extract_patches(maps, *window)
      valid = jnp.broadcast_to(
        (first + jnp.arange(size) < num_valid[0])[:, None, None], patches.shape[:3]
      )
      found = em.e_step_core(patches, filters, threshold, valid, hold_below=True, chunk_size=None)
      return em.add_statistics(total, found), None

    parts = (maps.reshape(num_parts, size, *maps.shape[1:]), size * jnp.arange(num_parts))
    found = jax.lax.scan(add, jax.tree.map(lambda x: x[0], total), parts)[0]
    return jax.tree.map(lambda x: x[None], found)

  specs = (P(AXIS), P(), P(), P(), P(AXIS), P(AXIS))
  return place.on_devices(added, specs, P(AXIS))(
    total, filters, threshold, encoder, base, num_valid
  )


@functools.partial(jax.jit, static_argnames="place")
def _finished(
  parts: em.Statistics, filters: Filters, floor: jax.Array, *, place: Placement
) -> tuple[em.Statistics, Filters]:
  """Devices' statistics [devices, ...] as one, and the M-step, the same on each."""

  def finished(
    parts: em.Statistics, filters: Filters, floor: jax.Array
  ) -> tuple[em.Statistics, Filters]:
    total = placement.total(parts)
    return total, em.m_step_core(total, filters, floor)

  return place.on_devices(finished, (P(AXIS), P(), P()), P())(parts, filters, floor)


def _batch_images(
  stream: MapStream, window: tuple[int, int], at_least: int = 0, most: int | None = None
) -> tuple[int, int]:
  """Images a batch, so that its patches fill the budget, or `at_least` bytes; and batches at once.

  A shard, or the `most` images that are looked at of one, is cut into equal parts, which leaves the
  least to fill up.
  """
  h, w, c = stream.map_shape
  kernel, stride = window
  values = num_positions(h, kernel, stride) * num_positions(w, kernel, stride) * kernel * kernel * c
  budget = max(budgets.of_backend().batch_bytes, at_least)
  most = most or stream.rows.most
  num_batches = -(-most // max(budget // (4 * values), 1))
  size = -(-most // num_batches)
  if stream.encoder.whitening is None:
    return size, 1
  parts = min(-(-budgets.IMAGES_AT_ONCE // size), num_batches)
  return size, -(-num_batches // -(-num_batches // parts))


def sample_patches(
  key: jax.Array,
  stream: MapStream,
  kernel: int,
  stride: int,
  num_patches: int,
  report: OnFraction | None = None,
  basis: Basis | None = None,
) -> Shards:
  """Patches at random positions of random images, without replacement, in the images' order.

  Each logical shard draws from its own images, as many as is its share of them.

  Args:
    key: PRNG key.
    stream: maps of N images.
    kernel: window side.
    stride: window step.
    num_patches: how many at most; all, where there are no more.
    report: called after each batch.
    basis: where their coordinates are wanted instead.

  Returns:
    float32 [S, n, kernel, kernel, C], or coordinates [S, n, 1, 1, M].
  """
  h, w, _ = stream.map_shape
  place, window = stream.place, (kernel, stride)
  per_image = num_positions(h, kernel, stride) * num_positions(w, kernel, stride)
  num_patches = min(num_patches, stream.num_images * per_image)

  n = stream.num_images
  images = [place.shard_rows(n, shard) for shard in range(place.num_shards)]
  quotas = [num_patches * x.stop // n - num_patches * x.start // n for x in images]
  needed = max(-(-quota // max(len(x), 1)) for quota, x in zip(quotas, images, strict=True))
  each = min(max(needed, _PATCHES_PER_IMAGE), per_image)
  most = max(-(-quota // each) for quota in quotas)  # images of a shard
  # Image and position draws are the host's: the images lie there.
  rows, positions, kept = [], [], []
  for shard, own in zip(place.local_shards, stream.rows.shards(), strict=True):
    rng, quota = generator(key, shard), quotas[shard]
    chosen = np.sort(rng.permutation(len(own))[: -(-quota // each)])
    rows.append(chosen + own.start)
    where = np.argsort(rng.random((len(chosen), per_image)), axis=1)[:, :each]
    positions.append(where.astype(np.int32))
    # Rounding up to whole images gives some too many.
    kept.append(np.sort(rng.permutation(len(chosen) * each)[:quota]))
  size, parts = _batch_images(stream, window, most=most)
  size = size * parts
  patches: np.ndarray | None = None
  done, all_rows = 0, max(sum(len(r) for r in rows), 1)
  held: dict[int, list[np.ndarray]] = {shard: [] for shard in range(len(rows))}
  for batch in stream.rows.batches(size, rows, most):
    at = [positions[s][batch.start : batch.start + size] for s in batch.shards]
    found = _gather_batch(
      stream.encoder,
      batch.base,
      place.put(np.concatenate([filled(part, size) for part in at])),
      basis,
      window=window,
      place=place,
    )
    values = place.local(found).reshape(len(batch.shards), size * each, *found.shape[1:])
    for shard, part, count in zip(batch.shards, values, batch.counts, strict=True):
      held[shard].append(part[: count * each])
    if batch.ends:
      if patches is None:
        patches = np.zeros((len(rows), max(quotas), *found.shape[1:]), np.float32)
      for shard in batch.shards:
        patches[shard, : len(kept[shard])] = np.concatenate(held.pop(shard))[kept[shard]]
    done += int(batch.counts.sum())
    if report is not None:
      report(done / all_rows)
  assert patches is not None
  valid = np.arange(max(quotas)) < np.asarray([len(k) for k in kept])[:, None]
  return Shards(place.put(patches), place.put(valid), place)


def em_iteration(
  stream: MapStream, filters: Filters, config: LayerConfig
) -> Iterator[tuple[int, em.Statistics | None, Filters]]:
  """One iteration of EM over all maps, each patch held by its argmax filter.

  Yields, batch by batch, the number of images done, None, and the filters; with the last the pass's
  statistics, and the filters of its M-step. Peak memory beside the base is one batch of patches,
  and statistics as many times as the shards of a device can be halved.
  """
  window, place = (config.kernel, config.stride), stream.place
  filters = place.replicate(filters)
  # Each batch reads and adds up arrays as large as all filters: a batch as large makes up for it.
  size, num_parts = _batch_images(stream, window, at_least=filters.mean.nbytes)
  h, w, _ = stream.map_shape
  positions = num_positions(h, *window) * num_positions(w, *window)
  shapes = jax.eval_shape(em.zero_statistics, filters)
  devices = len(place.local_devices)

  def nothing() -> em.Statistics:
    return jax.tree.map(lambda x: place.put(np.zeros((devices, *x.shape), x.dtype)), shapes)

  shards: TreeSum[em.Statistics] = TreeSum(add_sums)
  parts: TreeSum[em.Statistics] = TreeSum(add_sums)
  part, since, done = nothing(), 0, 0
  for batch in stream.rows.batches(size * num_parts):
    part = accumulate(
      part,
      filters,
      np.float32(config.threshold),
      stream.encoder,
      batch.base,
      place.put(batch.counts),
      window=window,
      num_parts=num_parts,
      place=place,
    )
    since += size * num_parts * positions
    done += int(batch.counts.sum()) * jax.process_count()
    if batch.ends or since >= _FOLDED_PATCHES:
      parts.push(part)
      part, since = nothing(), 0
    if batch.ends:
      shards.push(parts.total())
    yield min(done, stream.num_images), None, filters
  floor = np.float32(config.variance_floor)
  yield stream.num_images, *_finished(shards.total(), filters, floor, place=place)


@functools.partial(jax.jit, static_argnames=("window", "place"))
def _coordinates_batch(
  encoder: Encoder,
  base: jax.Array,
  filters: Filters,
  basis: jax.Array | None,
  *,
  window: tuple[int, int],
  place: Placement,
) -> Coordinates:
  def found(
    encoder: Encoder, base: jax.Array, filters: Filters, basis: jax.Array | None
  ) -> Coordinates:
    patches = extract_patches(encoder(base), *window)
    patches = patches.reshape(-1, *patches.shape[3:])
    if basis is not None:
      return factors.coordinates(patches, filters, basis)
    found = em.assign(patches, filters)
    return Coordinates(found.index, jnp.zeros((len(patches), 0), jnp.float32), found.distance)

  specs = (P(), P(AXIS), P(), P())
  return place.on_devices(found, specs, P(AXIS))(encoder, base, filters, basis)


def patch_coordinates(
  stream: MapStream,
  filters: Filters,
  basis: jax.Array | None,
  kernel: int,
  stride: int,
  images: npt.NDArray[np.integer],
) -> Coordinates:
  """Coordinates about their filters' means of all patches of some images, on the host.

  Args:
    stream: maps of N images.
    filters: K filters of the window.
    basis: orthonormal [B, kh, kw, C]; None for filters' numbers and squares alone.
    kernel: window side.
    stride: window step.
    images: numbers of those that count, of N, rising.

  Returns:
    Of the patches in their images' order, on every process.
  """
  place, window = stream.place, (kernel, stride)
  filters, basis = place.replicate((filters, basis))
  h, w, _ = stream.map_shape
  positions = num_positions(h, kernel, stride) * num_positions(w, kernel, stride)
  bounds = [place.shard_rows(stream.num_images, s).start for s in range(place.num_shards)]
  cuts = np.searchsorted(images, [*bounds, stream.num_images])
  most = max(int(np.diff(cuts).max()), 1)
  first = place.local_rows(stream.num_images).start
  rows = [images[cuts[s] : cuts[s + 1]] - first for s in place.local_shards]
  size, parts = _batch_images(stream, window, most=most)
  size = size * parts
  held: list[list[Coordinates]] = [[] for _ in rows]
  for batch in stream.rows.batches(size, rows, most):
    found = _coordinates_batch(
      stream.encoder, batch.base, filters, basis, window=window, place=place
    )
    local = jax.tree.map(place.local, found)
    for device, (shard, count) in enumerate(zip(batch.shards, batch.counts, strict=True)):
      low = device * size * positions
      held[shard].append(
        jax.tree.map(lambda x, a=low, b=low + int(count) * positions: x[a:b], local)
      )
  joined = jax.tree.map(lambda *x: np.concatenate(x), *(part for shard in held for part in shard))
  return jax.tree.map(processes.joined, joined)


def above(
  stream: MapStream,
  filters: Filters,
  layer: LayerConfig,
  memory_budget: int,
  report: OnFraction | None = None,
) -> MapStream:
  """The stream that the next layer sees.

  Its maps are computed once and held on the host where they fit `memory_budget` bytes, and where to
  compute them again takes longer than to bring them from there (`Budget.flops_a_byte`); else the
  base stays what it is and the maps are computed again in every pass.
  """
  below, filters = stream.encoder, stream.place.replicate(filters)
  encoder = Encoder(below.whitening, (*below.filters, filters), (*below.layers, layer))
  size, parts = _batch_images(stream, (layer.kernel, layer.stride))
  upper = dataclasses.replace(stream, encoder=encoder)
  return _held(upper, size * parts, memory_budget, report)


def of_images(
  images: np.ndarray,
  whitening: Whitening | None,
  memory_budget: int,
  report: OnFraction | None = None,
  place: Placement | None = None,
  num_images: int = 0,
) -> MapStream:
  """The stream that the first layer sees, whitened once where it fits a part of the budget."""
  place = place or placement.place(None)
  stream = MapStream(images, Encoder(place.replicate(whitening)), place, num_images)
  if whitening is None:
    return stream
  return _held(stream, budgets.IMAGES_AT_ONCE, memory_budget // _WHITENED_SHARE, report)


def _flops(stream: MapStream) -> int:
  """Of the products that make an image's map of the base."""
  encoder, (height, width, channels) = stream.encoder, stream.base.shape[1:]
  found = 0 if encoder.whitening is None else 2 * channels * (height * width) ** 2
  sizes = map_sizes((height, width), encoder.layers)
  for (h, w), filters in zip(sizes, encoder.filters, strict=True):
    found += 2 * h * w * filters.num_filters * filters.num_values
  return found


def _held(
  stream: MapStream, batch_images: int, memory_budget: int, report: OnFraction | None
) -> MapStream:
  """The stream with its maps as the base, where they fit the budget and are worth it."""
  place, shape = stream.place, stream.map_shape
  values, held = (int(np.prod(x, dtype=np.int64)) for x in (shape, stream.base.shape[1:]))
  more = 4 * values - stream.base.itemsize * held  # bytes an image
  if _flops(stream) < budgets.of_backend().flops_a_byte * more:
    return stream
  # Decided alike by all processes: by the most that one may hold.
  most = stream.rows.most * len(place.local_shards)
  if 4 * most * values > memory_budget:
    return stream
  maps = np.empty((len(stream.base), *shape), np.float32)
  done, shards = 0, stream.rows.shards()
  size = min(batch_images, stream.rows.most)
  for batch in stream.rows.batches(size):
    found = place.local(_encode_batch(stream.encoder, batch.base, place=place))
    for device, (shard, count) in enumerate(zip(batch.shards, batch.counts, strict=True)):
      first = shards[shard].start + batch.start
      maps[first : first + count] = found[device * size : device * size + count]
    done += int(batch.counts.sum())
    if report is not None:
      report(done / max(len(maps), 1))
  return dataclasses.replace(stream, base=maps, encoder=Encoder())
