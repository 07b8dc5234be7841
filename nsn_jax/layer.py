"""Training one layer: growth on a sample of patches, then EM with their number fixed."""

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import em, growth, stream
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters
from nsn_jax.patches import num_positions
from nsn_jax.progress import Log

__all__ = ["grow", "refine", "settle"]


def _read(info: growth.StepInfo) -> tuple[int, float, float]:
  num_filters, below_share, mean_similarity = jax.device_get(info)
  return int(num_filters), float(below_share), float(mean_similarity)


def grow(
  key: jax.Array, patches: jax.Array, config: LayerConfig, log: Log | None = None
) -> Filters:
  """Grows the filters of a layer on a sample of its patches, from one filter on.

  Each step adds filters where patches are below the threshold and runs EM; exchange steps then move
  filters at a fixed number. The host decides only when to stop and how large the bank is: programs
  are compiled once a capacity, 64, 96, 128, 192, ...

  Args:
    key: PRNG key.
    patches: float32 [N, kh, kw, C].
    config: the layer's configuration.
    log: where steps are recorded.

  Returns:
    The K filters found, none unborn.
  """
  log = log or Log(0, None)
  first_key, growth_key, exchange_key = (jax.random.fold_in(key, purpose) for purpose in range(3))
  tau, floor = np.float32(config.threshold), np.float32(config.variance_floor)
  num_seeds = config.seeds_per_step
  size = patches.shape[0]
  # About a centre, as EM is: far from 0 float32 has no digits left for what lies between patches.
  patches, center = _centred(patches)
  capacity = growth.capacity_for(1 + num_seeds)
  bank = growth.first_filter(first_key, patches, floor, capacity=capacity)
  info = growth.unknown(1)
  num_filters, stalled, step = 1, 0, 0
  while (
    stalled < config.patience
    and num_filters < config.max_filters
    and step < config.max_growth_steps
  ):
    capacity = growth.capacity_for(num_filters + num_seeds)
    if capacity > bank.num_filters:
      bank = growth.resize_bank(bank, capacity)
    bank, info = growth.growth_step(
      growth_key,
      np.int32(step),
      patches,
      bank,
      tau,
      floor,
      num_seeds=num_seeds,
      em_steps=config.em_steps,
      min_patches=config.min_patches,
    )
    found = _read(info)
    if not found[0]:  # Distances beyond float32, or none that is a number.
      raise ValueError(
        "feature_maps: expected values whose squared distances are float32 numbers, got patches "
        "that no filter can hold: all were lost in growth"
      )
    log.patches += size * (config.em_steps + 2)
    log.step("growth", step, 0, found, size)
    # Of a thousand filters the last come a few a step, at the price of a pass each.
    wanted = max(int(config.min_growth * num_filters), 1)
    stalled = stalled + 1 if found[0] - num_filters < wanted else 0
    num_filters, step = found[0], step + 1
    if found[1] <= config.tolerated_share:
      break
  if num_filters > config.max_filters:  # cut down, so that what was told of it is no longer true
    num_filters = config.max_filters
    info = growth.unknown(num_filters)
  bank = growth.resize_bank(bank, num_filters)
  for step in range(config.exchange_steps if num_filters > 1 else 0):
    bank, info = growth.exchange_step(
      exchange_key,
      np.int32(step),
      patches,
      bank,
      info,
      tau,
      floor,
      num_seeds=num_seeds,
      em_steps=config.em_steps,
      min_patches=config.min_patches,
    )
    log.patches += size * (config.em_steps + 2)
    log.step("exchange", step, config.exchange_steps, _read(info), size)
  # On the host, as the bank's size is a new one each time: no program is compiled for it.
  return bank._replace(mean=jax.device_put(np.asarray(bank.mean) + np.asarray(center)))


@jax.jit
def _centred(patches: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Patches about their mean, and the mean."""
  center = jnp.mean(patches, axis=0)
  return patches - center, center


def settle(
  patches: jax.Array, filters: Filters, config: LayerConfig, log: Log | None = None
) -> Filters:
  """EM on a sample of patches, the number of filters fixed, before the last pass over all of them.

  Args:
    patches: float32 [N, kh, kw, C].
    filters: K filters.
    config: the layer's configuration: `max_passes` and `tolerance` hold here as in `refine`.
    log: where steps are recorded.
  """
  log = log or Log(0, None)
  size, last = patches.shape[0], -np.inf
  tau, floor = np.float32(config.threshold), np.float32(config.variance_floor)
  for step in range(config.max_passes):
    total = em.e_step_core(patches, filters, tau, None, hold_below=True, chunk_size=None)
    filters = em.m_step_core(total, filters, floor)
    num_below, similarity_sum = jax.device_get((total.num_below, total.similarity_sum))
    mean = float(similarity_sum) / size
    log.patches += size
    info = (filters.num_filters, float(num_below) / size, mean)
    log.step("sample", step, config.max_passes, info, size)
    if mean - last < config.tolerance:
      break
    last = mean
  return filters


def refine(
  maps: stream.MapStream,
  filters: Filters,
  config: LayerConfig,
  log: Log | None = None,
  max_passes: int | None = None,
) -> Filters:
  """EM over all maps, the number of filters fixed: the mean best similarity never falls.

  A filter that no patch chooses keeps its place. At most `max_passes`, by default the layer's.
  """
  log = log or Log(0, None)
  most = config.max_passes if max_passes is None else min(max_passes, config.max_passes)
  kernel, stride = config.kernel, config.stride
  height, width, _ = maps.map_shape
  positions = num_positions(height, kernel, stride) * num_positions(width, kernel, stride)
  last = -np.inf
  for step in range(most):
    before, total = log.patches, em.zero_statistics(filters)
    for found, done in stream.statistics(maps, filters, config.threshold, kernel, stride):
      total = found if found is not None else total
      log.patches = before + done * positions
      log.partial("em", step, most, done / maps.num_images)
    filters = em.m_step_core(total, filters, np.float32(config.variance_floor))
    num_patches, num_below, similarity_sum = jax.device_get(
      (total.num_patches, total.num_below, total.similarity_sum)
    )
    mean = float(similarity_sum / num_patches)
    info = (filters.num_filters, float(num_below / num_patches), mean)
    log.step("em", step, most, info, int(num_patches))
    if mean - last < config.tolerance:
      break
    last = mean
  return filters
