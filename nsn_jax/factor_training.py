"""Fitting a layer's factors: one pass over its patches, which also tells each one's filter."""

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import em, factors, pooling, stream
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Factors, Filters
from nsn_jax.grouped import add_sums
from nsn_jax.host_random import generator
from nsn_jax.patches import num_positions
from nsn_jax.progress import Log

__all__ = ["train_factors"]

#: Patches that the directions are found of.
_BASIS_PATCHES = 4096
#: Patches whose products are summed up at once.
_ROWS_AT_ONCE = 1 << 16


def train_factors(
  key: jax.Array,
  maps: stream.MapStream,
  filters: Filters,
  config: LayerConfig,
  log: Log,
  memory_budget: int,
) -> tuple[Filters, npt.NDArray[np.int32]]:
  """The layer's filters with factors of the configured rank, and which filter each patch goes to.

  At most `config.sample_patches` patches count, those of random images, but every image where a map
  is one patch: the last layer's.

  Returns:
    The filters, and int32 [n] of the patches looked at, in their images' order.
  """
  height, width, channels = maps.map_shape
  window = (config.kernel, config.stride)
  positions = num_positions(height, *window) * num_positions(width, *window)
  values = config.kernel**2 * channels
  rank = min(config.rank, values - 1)
  basis_key, rows_key = jax.random.split(key)
  basis = None
  if rank:
    few = max(min(_BASIS_PATCHES, memory_budget // (8 * values)), 2)
    some = stream.sample_patches(basis_key, maps, *window, few)
    basis = factors.leading_directions(basis_key, factors.residuals(some, filters)[1])
    rank = min(rank, basis.shape[0])
  rows = np.arange(maps.num_images)
  if positions > 1 and maps.num_images * positions > config.sample_patches:
    rng = generator(rows_key)
    rows = np.sort(rng.permutation(rows)[: max(config.sample_patches // positions, 1)])
  report, size = log.preparing("factors"), len(rows) * positions
  indices: list[npt.NDArray[np.int32]] = []
  held: list[factors.Coordinates] = []
  total: factors.Moments | None = None

  def add_held() -> factors.Moments:
    every = jax.tree.map(lambda *x: np.concatenate(x), *held)
    held.clear()
    found = factors.moments(every, num_filters=filters.num_filters)
    return found if total is None else add_sums(total, found)

  done = since = 0
  for patches, count in stream.patch_batches(maps, *window, rows):
    if basis is None:
      indices.append(np.asarray(em.assign(patches, filters).index)[:count])
    else:
      found = factors.coordinates(patches, filters, basis)
      held.append(jax.tree.map(lambda x, count=count: np.asarray(x)[:count], found))
      indices.append(np.asarray(held[-1].index))
      since += count
    if since >= _ROWS_AT_ONCE:
      total, since = add_held(), 0
    done += count
    report(done / size)
  index = np.concatenate(indices)
  if basis is None:
    return filters._replace(factors=None), index
  if held:
    total = add_held()
  assert total is not None
  if config.pooled:
    total = pooling.pool(total, pooling.find_pooling(total))
  found_factors: Factors = factors.fit_factors(total, basis, rank=rank)
  return filters._replace(factors=found_factors), index
