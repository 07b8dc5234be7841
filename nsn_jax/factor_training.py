"""Fitting a layer's factors: one pass over its patches, which also tells each one's filter."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import factors, pooling, processes, stream
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
    some = stream.sample_patches(basis_key, maps, *window, few).gathered()
    residual = factors.residuals(jnp.asarray(some), filters)[1]
    found = factors.leading_directions(basis_key, residual, config.num_directions)
    basis = jnp.asarray(processes.arrays_of_first([found])[0])
    rank = min(rank, basis.shape[0])
  rows = np.arange(maps.num_images)
  if positions > 1 and maps.num_images * positions > config.sample_patches:
    rng = generator(rows_key)
    rows = np.sort(rng.permutation(rows)[: max(config.sample_patches // positions, 1)])
  report = log.preparing("factors")
  index = np.empty(len(rows) * positions, np.int32)
  by_image = index.reshape(len(rows), positions)
  total: factors.Moments | None = None
  # Not one after the other, so that each part has images of all shards.
  num_parts = -(-len(rows) * positions // _ROWS_AT_ONCE)
  for part in range(num_parts):
    patches = stream.patch_coordinates(maps, filters, basis, *window, rows[part::num_parts])
    by_image[part::num_parts] = patches.index.reshape(-1, positions)
    if basis is not None:
      moments = factors.moments(patches, num_filters=filters.num_filters)
      total = moments if total is None else add_sums(total, moments)
    report((part + 1) / num_parts)
  if basis is None:
    return filters._replace(factors=None), index
  assert total is not None
  if config.pooled:
    total = pooling.pool(total, pooling.find_pooling(total))
  fitted: Factors = factors.fit_factors(total, basis, rank=rank)
  fitted = Factors(*map(jnp.asarray, processes.arrays_of_first(fitted)))
  return filters._replace(factors=fitted), index
