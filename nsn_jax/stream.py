"""A layer's input maps, streamed in batches: cached where they fit the budget, else recomputed."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import budgets, em
from nsn_jax.basis import Basis, coordinates
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters
from nsn_jax.host_random import generator
from nsn_jax.network import first_map, layer_map, map_sizes
from nsn_jax.patches import extract_patches, num_positions
from nsn_jax.progress import OnFraction
from nsn_jax.whitening import Whitening

__all__ = [
  "Encoder",
  "MapStream",
  "above",
  "of_images",
  "patch_batches",
  "sample_patches",
  "statistics",
]

#: Patches after which sums go to the host, in float64: above so many float32 counts no longer.
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
    base: what is held, on the host: images [N, H, W, C] (uint8 or float), or the maps of a lower
      layer (float32).
    encoder: what makes the maps of it.
  """

  base: np.ndarray
  encoder: Encoder = Encoder()

  @property
  def num_images(self) -> int:
    """N."""
    return self.base.shape[0]

  @property
  def map_shape(self) -> tuple[int, int, int]:
    """(h, w, C) of the maps."""
    encoder = self.encoder
    if not encoder.layers:
      return self.base.shape[1:]
    return (*map_sizes(self.base.shape[1:3], encoder.layers)[-1], encoder.filters[-1].num_filters)


@jax.jit
def _encode_batch(encoder: Encoder, base: jax.Array) -> jax.Array:
  return encoder(base)


@functools.partial(jax.jit, static_argnames="window")
def _gather_batch(
  encoder: Encoder,
  base: jax.Array,
  positions: jax.Array,
  basis: Basis | None,
  window: tuple[int, int],
) -> jax.Array:
  """Patches at flat positions [b, q] of each image's map, [b * q, kh, kw, C], or coordinates."""
  patches = extract_patches(encoder(base), *window)
  b, h, w = patches.shape[:3]
  flat = patches.reshape(b, h * w, *patches.shape[3:])
  found = flat[jnp.arange(b)[:, None], positions].reshape(-1, *patches.shape[3:])
  return found if basis is None else coordinates(found, basis)


@functools.partial(jax.jit, static_argnames=("window", "num_parts"), donate_argnames="total")
def _accumulate(
  total: em.Statistics,
  filters: Filters,
  threshold: jax.Array,
  encoder: Encoder,
  base: jax.Array,
  num_valid: jax.Array,
  window: tuple[int, int],
  num_parts: int,
) -> em.Statistics:
  """Adds a batch's E-step to the total; images from `num_valid` on are filling.

  The batch is encoded at once; its patches are made and looked at in parts.
  """
  maps = encoder(base)
  size = len(maps) // num_parts

  def add(total: em.Statistics, part: tuple[jax.Array, jax.Array]) -> tuple[em.Statistics, None]:
    maps, first = part
    patches = extract_patches(maps, *window)
    valid = jnp.broadcast_to(
      (first + jnp.arange(size) < num_valid)[:, None, None], patches.shape[:3]
    )
    found = em.e_step_core(patches, filters, threshold, valid, hold_below=True, chunk_size=None)
    return em.add_statistics(total, found), None

  parts = (maps.reshape(num_parts, size, *maps.shape[1:]), size * jnp.arange(num_parts))
  return jax.lax.scan(add, total, parts)[0]


def _batch_images(stream: MapStream, window: tuple[int, int], at_least: int = 0) -> int:
  """Images a batch, so that its patches fill the budget, or `at_least` bytes."""
  h, w, c = stream.map_shape
  kernel, stride = window
  values = num_positions(h, kernel, stride) * num_positions(w, kernel, stride) * kernel * kernel * c
  budget = max(budgets.of_backend().batch_bytes, at_least)
  return int(min(max(budget // (4 * values), 1), stream.num_images))


def _parts_at_once(stream: MapStream, batch_images: int) -> int:
  """Batches that are encoded at once."""
  return -(-budgets.IMAGES_AT_ONCE // batch_images) if stream.encoder.whitening is not None else 1


def _filled(batch: np.ndarray, size: int) -> np.ndarray:
  """A last batch filled up to `size`, so that one shape is compiled."""
  if len(batch) == size:
    return batch
  return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])


def _batches(base: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
  for i in range(0, len(base), size):
    batch = base[i : i + size]
    yield _filled(batch, size), len(batch)


def sample_patches(
  key: jax.Array,
  stream: MapStream,
  kernel: int,
  stride: int,
  num_patches: int,
  report: OnFraction | None = None,
  basis: Basis | None = None,
) -> jax.Array:
  """Patches at random positions of random images, without replacement, in the images' order.

  Args:
    key: PRNG key.
    stream: maps of N images.
    kernel: window side.
    stride: window step.
    num_patches: how many at most; all, where there are no more.
    report: called after each batch.
    basis: where their coordinates are wanted instead.

  Returns:
    float32 [n, kernel, kernel, C], or coordinates [n, 1, 1, M].
  """
  h, w, _ = stream.map_shape
  per_image = num_positions(h, kernel, stride) * num_positions(w, kernel, stride)
  num_patches = min(num_patches, stream.num_images * per_image)
  # Image and position draws are the host's: the images lie there.
  rng = generator(key)
  each = min(max(-(-num_patches // stream.num_images), _PATCHES_PER_IMAGE), per_image)
  num_images = min(-(-num_patches // each), stream.num_images)
  chosen = np.sort(rng.permutation(stream.num_images)[:num_images])
  positions = np.argsort(rng.random((num_images, per_image)), axis=1)[:, :each].astype(np.int32)
  size = _batch_images(stream, (kernel, stride))
  size = min(size * _parts_at_once(stream, size), num_images)
  found = []
  for i in range(0, num_images, size):
    rows = chosen[i : i + size]
    patches = _gather_batch(
      stream.encoder,
      _filled(stream.base[rows], size),
      _filled(positions[i : i + size], size),
      basis,
      (kernel, stride),
    )
    found.append(np.asarray(patches)[: len(rows) * each])
    if report is not None:
      report((i + len(rows)) / num_images)
  patches = np.concatenate(found)
  if len(patches) > num_patches:  # rounding up to whole images
    patches = patches[np.sort(rng.permutation(len(patches))[:num_patches])]
  return jax.device_put(patches)


def statistics(
  stream: MapStream, filters: Filters, threshold: float, kernel: int, stride: int
) -> Iterator[tuple[em.Statistics | None, int]]:
  """One E-step over all maps, each patch held by its argmax filter.

  Yields, batch by batch, the number of images done, and with the last the pass's statistics, None
  before. Peak memory beside the base is one batch of patches.
  """
  window = (kernel, stride)
  # Each batch reads and adds up arrays as large as all filters: a batch as large makes up for it.
  size = _batch_images(stream, window, at_least=filters.mean.nbytes)
  num_parts = _parts_at_once(stream, size)
  h, w, _ = stream.map_shape
  positions = num_positions(h, kernel, stride) * num_positions(w, kernel, stride)
  total, folded = em.zero_statistics(filters), None
  done, since = 0, 0
  for base, num_valid in _batches(stream.base, size * num_parts):
    total = _accumulate(
      total,
      filters,
      np.float32(threshold),
      stream.encoder,
      base,
      np.int32(num_valid),
      window,
      num_parts,
    )
    done += num_valid
    since += num_valid * positions
    if since >= _FOLDED_PATCHES:
      folded, since = _fold(folded, total), 0
      total = em.zero_statistics(filters)
    if done < stream.num_images:
      yield None, done
  yield total if folded is None else _single(_fold(folded, total)), done


@functools.partial(jax.jit, static_argnames="window")
def _patch_batch(encoder: Encoder, base: jax.Array, window: tuple[int, int]) -> jax.Array:
  patches = extract_patches(encoder(base), *window)
  return patches.reshape(-1, *patches.shape[3:])


def patch_batches(
  stream: MapStream, kernel: int, stride: int, rows: npt.NDArray[np.integer]
) -> Iterator[tuple[jax.Array, int]]:
  """All patches of the images number `rows`, in their order.

  Yields patches [n, kh, kw, C] batch by batch, and how many of them count: a last batch is filled
  up, so that one shape is compiled.
  """
  h, w, _ = stream.map_shape
  positions = num_positions(h, kernel, stride) * num_positions(w, kernel, stride)
  size = _batch_images(stream, (kernel, stride))
  size = min(size * _parts_at_once(stream, size), len(rows))
  for i in range(0, len(rows), size):
    batch = stream.base[rows[i : i + size]]
    patches = _patch_batch(stream.encoder, _filled(batch, size), (kernel, stride))
    yield patches, len(batch) * positions


def _fold(folded: em.Statistics | None, total: em.Statistics) -> em.Statistics:
  """Adds device sums to those of the host, float64."""
  found = jax.tree.map(lambda x: np.asarray(x, np.float64), jax.device_get(total))
  return found if folded is None else jax.tree.map(np.add, folded, found)


def _single(folded: em.Statistics) -> em.Statistics:
  """The host's sums on the device again, float32."""
  return jax.tree.map(lambda x: jax.device_put(x.astype(np.float32)), folded)


def above(
  stream: MapStream,
  filters: Filters,
  layer: LayerConfig,
  memory_budget: int,
  report: OnFraction | None = None,
) -> MapStream:
  """The stream that the next layer sees.

  Its maps are computed once and held on the host where they fit `memory_budget` bytes; else the
  base stays what it is and the maps are computed again in every pass.
  """
  below = stream.encoder
  encoder = Encoder(below.whitening, (*below.filters, filters), (*below.layers, layer))
  size = _batch_images(stream, (layer.kernel, layer.stride))
  batch_images = size * _parts_at_once(stream, size)
  return _held(MapStream(stream.base, encoder), batch_images, memory_budget, report)


def of_images(
  images: np.ndarray,
  whitening: Whitening | None,
  memory_budget: int,
  report: OnFraction | None = None,
) -> MapStream:
  """The stream that the first layer sees, whitened once where it fits a part of the budget."""
  stream = MapStream(images, Encoder(whitening))
  if whitening is None:
    return stream
  return _held(stream, budgets.IMAGES_AT_ONCE, memory_budget // _WHITENED_SHARE, report)


def _held(
  stream: MapStream, batch_images: int, memory_budget: int, report: OnFraction | None
) -> MapStream:
  """The stream with its maps as the base, where they fit the budget."""
  shape = (stream.num_images, *stream.map_shape)
  if 4 * int(np.prod(shape, dtype=np.int64)) > memory_budget:
    return stream
  maps = np.empty(shape, np.float32)
  done = 0
  for base, num_valid in _batches(stream.base, min(batch_images, stream.num_images)):
    maps[done : done + num_valid] = np.asarray(_encode_batch(stream.encoder, base))[:num_valid]
    done += num_valid
    if report is not None:
      report(done / stream.num_images)
  return MapStream(maps)
