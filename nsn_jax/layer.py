"""Training one layer: growth on a sample of patches, then EM with their number fixed.

Each phase is a loop of jitted steps; between two of them the state is told of (`LayerState`), and a
phase that is given one goes on from there, to the same bits.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import em, growth, numerics, placement, stream
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters
from nsn_jax.patches import num_positions
from nsn_jax.placement import AXIS, P, Shards
from nsn_jax.progress import LayerState, Log

__all__ = ["grow", "refine", "settle"]


def _read(info: growth.StepInfo) -> tuple[int, float, float]:
  num_filters, below_share, mean_similarity = jax.device_get(info)
  return int(num_filters), float(below_share), float(mean_similarity)


def grow(
  key: jax.Array,
  patches: Shards,
  config: LayerConfig,
  log: Log | None = None,
  start: LayerState | None = None,
) -> Filters:
  """Grows the filters of a layer on a sample of its patches, from one filter on.

  Each step adds filters where patches are below the threshold and runs EM; exchange steps then move
  filters at a fixed number. The host decides only when to stop and how large the bank is: programs
  are compiled once a capacity, 64, 96, 128, 192, ...

  Args:
    key: PRNG key.
    patches: float32 [S, n, kh, kw, C].
    config: the layer's configuration.
    log: where steps are recorded.
    start: state to go on from, of phase "growth" or "exchange".

  Returns:
    The K filters found, none unborn.
  """
  log, place = log or Log(0, None), patches.place
  first_key, growth_key, exchange_key = (jax.random.fold_in(key, purpose) for purpose in range(3))
  tau, floor = np.float32(config.threshold), np.float32(config.variance_floor)
  num_seeds, size = config.seeds_per_step, patches.num_rows
  # About a centre, as EM is: far from 0 float32 has no digits left for what lies between patches.
  capacity = growth.capacity_for(1 + num_seeds)
  patches, center, bank = _begun(first_key, patches, floor, capacity=capacity)
  start = start or LayerState("growth", 0, bank, (1, 1.0, -np.inf))
  bank = place.replicate(start.filters)
  num_filters, stalled, done = start.info[0], start.stalled, start.done
  step = start.step if start.phase == "growth" else 0
  info = place.replicate(growth.step_info(start.info))
  while start.phase == "growth" and not (
    done
    or stalled >= config.patience
    or num_filters >= config.max_filters
    or step >= config.max_growth_steps
  ):
    capacity = growth.capacity_for(num_filters + num_seeds)
    if capacity > bank.num_filters:
      bank = place.replicate(growth.resize_bank(bank, capacity))
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
    done = found[1] <= config.tolerated_share
    log.keep(LayerState("growth", step, bank, found, stalled, done))
  if num_filters > config.max_filters:  # cut down, so that what was told of it is no longer true
    num_filters = config.max_filters
    info = place.replicate(growth.unknown(num_filters))
  if bank.num_filters != num_filters:
    bank = place.replicate(growth.resize_bank(bank, num_filters))
  first = start.step if start.phase == "exchange" else 0
  for step in range(first, config.exchange_steps if num_filters > 1 else 0):
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
    found = _read(info)
    log.step("exchange", step, config.exchange_steps, found, size)
    log.keep(LayerState("exchange", step + 1, bank, found))
  # On the host, as the bank's size is a new one each time: no program is compiled for it.
  return place.replicate(bank._replace(mean=np.asarray(bank.mean) + np.asarray(center)))


@functools.partial(jax.jit, static_argnames="capacity")
def _begun(
  key: jax.Array, patches: Shards, floor: jax.Array, *, capacity: int
) -> tuple[Shards, jax.Array, Filters]:
  """Patches about their mean, the mean, and a bank of one filter."""

  def centred(patches: Shards) -> tuple[jax.Array, jax.Array]:
    def count(valid: jax.Array) -> jax.Array:
      return jnp.sum(valid.astype(jnp.float32))  # filling is 0, and counts as little

    share = 1.0 / placement.total(placement.each(count, patches.valid))

    def part(values: jax.Array, valid: jax.Array) -> jax.Array:
      return numerics.column_sums(values, share * valid)  # as `numerics.column_means`

    center = placement.total(placement.each(part, patches.values, patches.valid))
    return patches.values - center, center

  place = patches.place
  values, center = place.on_devices(centred, P(AXIS), (P(AXIS), P()))(patches)
  patches = Shards(values, patches.valid, place)
  return patches, center, growth.first_filter(key, patches, floor, capacity=capacity)


@jax.jit
def _sample_step(
  patches: Shards, filters: Filters, threshold: jax.Array, floor: jax.Array
) -> tuple[Filters, jax.Array, jax.Array]:
  """One EM iteration on a sample: filters, patches below the threshold, sum of similarities."""

  def step(
    patches: Shards, filters: Filters, threshold: jax.Array, floor: jax.Array
  ) -> tuple[Filters, jax.Array, jax.Array]:
    found = growth.shards_statistics(patches, filters, threshold)
    return em.m_step_core(found, filters, floor), found.num_below, found.similarity_sum

  specs = (P(AXIS), P(), P(), P())
  return patches.place.on_devices(step, specs, P())(patches, filters, threshold, floor)


def settle(
  patches: Shards,
  filters: Filters,
  config: LayerConfig,
  log: Log | None = None,
  start: LayerState | None = None,
) -> Filters:
  """EM on a sample of patches, the number of filters fixed, before the last pass over all of them.

  Args:
    patches: float32 [S, n, kh, kw, C].
    filters: K filters.
    config: the layer's configuration: `max_passes` and `tolerance` hold here as in `refine`.
    log: where steps are recorded.
    start: state to go on from, of phase "sample", in place of the filters.
  """
  log, size = log or Log(0, None), patches.num_rows
  start = start or LayerState("sample", 0, filters, (filters.num_filters, 1.0, -np.inf))
  filters, last, done = patches.place.replicate(start.filters), start.info[2], start.done
  tau, floor = np.float32(config.threshold), np.float32(config.variance_floor)
  for step in range(start.step, config.max_passes):
    if done:
      break
    filters, below, similarity = _sample_step(patches, filters, tau, floor)
    num_below, similarity_sum = jax.device_get((below, similarity))
    mean = float(similarity_sum) / size
    log.patches += size
    info = (filters.num_filters, float(num_below) / size, mean)
    log.step("sample", step, config.max_passes, info, size)
    done, last = mean - last < config.tolerance, mean
    log.keep(LayerState("sample", step + 1, filters, info, done=done))
  return filters


def refine(
  maps: stream.MapStream,
  filters: Filters,
  config: LayerConfig,
  log: Log | None = None,
  max_passes: int | None = None,
  start: LayerState | None = None,
) -> Filters:
  """EM over all maps, the number of filters fixed: the mean best similarity never falls.

  A filter that no patch chooses keeps its place. At most `max_passes`, by default the layer's.
  `start`: state to go on from, of phase "em", in place of the filters.
  """
  log, place = log or Log(0, None), maps.place
  most = config.max_passes if max_passes is None else min(max_passes, config.max_passes)
  kernel, stride = config.kernel, config.stride
  height, width, _ = maps.map_shape
  positions = num_positions(height, kernel, stride) * num_positions(width, kernel, stride)
  start = start or LayerState("em", 0, filters, (filters.num_filters, 1.0, -np.inf))
  filters, last, done = place.replicate(start.filters), start.info[2], start.done
  for step in range(start.step, most):
    if done:
      break
    before, total = log.patches, None
    for seen, found, changed in stream.em_iteration(maps, filters, config):
      total, filters = found, changed
      log.patches = before + seen * positions
      log.partial("em", step, most, seen / maps.num_images)
    assert total is not None
    num_patches, num_below, similarity_sum = jax.device_get(
      (total.num_patches, total.num_below, total.similarity_sum)
    )
    mean = float(similarity_sum / num_patches)
    info = (filters.num_filters, float(num_below / num_patches), mean)
    log.step("em", step, most, info, int(num_patches))
    done, last = mean - last < config.tolerance, mean
    log.keep(LayerState("em", step + 1, filters, info, done=done))
  return filters
