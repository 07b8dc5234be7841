"""Training one layer: growth on a sample of patches, then EM on all of them, their number fixed."""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from nsn_jax import em, growth, stream
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters
from nsn_jax.patches import num_positions


class Record(NamedTuple):
  """One step of training, plain values.

  Attributes:
    phase: "growth", "exchange" or "em".
    step: number of the step within its phase, from 0.
    num_filters: born filters after it.
    below_share: share of the patches below the threshold.
    mean_similarity: mean best similarity; in phase "em" over the full data.
    num_patches: patches that one pass of this phase looks at.
    seconds: since the layer's start.
  """

  phase: str
  step: int
  num_filters: int
  below_share: float
  mean_similarity: float
  num_patches: int
  seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
  """What a `report` callback gets: a finished step, or a part of a pass over the full data.

  Attributes:
    layer: index of the layer.
    record: the last finished step.
    phase: the phase under way: one of a record's, or what goes before them: "whitening" is fitted,
      "maps" that it sees are made, "patches" are drawn for growth.
    step: the step under way, of `num_steps` at most.
    num_steps: upper bound of the phase's steps; 0 where nobody knows it (growth).
    patches: patches passed through since the layer's start, each pass counted.
    fraction: share of the step under way that is done.
  """

  layer: int
  record: Record | None
  phase: str
  step: int
  num_steps: int
  patches: int
  fraction: float


Report = Callable[[Progress], None]


def _ignore(_: Progress) -> None:
  pass


class Log:
  """Keeps the history and tells the callback. Host-side bookkeeping only.

  Attributes:
    layer: index of the layer.
    report: the callback.
    history: one record a finished step.
    patches: patches passed through, each pass counted.
    start: when the layer began, in seconds of `time.perf_counter`.
  """

  def __init__(self, layer: int, report: Report | None):
    self.layer, self.report = layer, report or _ignore
    self.history: list[Record] = []
    self.patches, self.start = 0, time.perf_counter()

  def step(
    self, phase: str, step: int, num_steps: int, info: tuple[int, float, float], size: int
  ) -> None:
    """Keeps a finished step: `info` is its number of filters, share below and similarity."""
    seconds = time.perf_counter() - self.start
    self.history.append(Record(phase, step, *info, size, seconds))
    self.partial(phase, step, num_steps, 1.0)

  def partial(self, phase: str, step: int, num_steps: int, fraction: float) -> None:
    """Tells the callback how far the step under way is."""
    last = self.history[-1] if self.history else None
    self.report(Progress(self.layer, last, phase, step, num_steps, self.patches, fraction))

  def preparing(self, phase: str) -> stream.Report:
    """A callback that tells of a pass that is no training step and leaves no record."""
    return lambda fraction: self.partial(phase, 0, 1, fraction)


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
  return bank


def refine(
  maps: stream.MapStream, filters: Filters, config: LayerConfig, log: Log | None = None
) -> Filters:
  """EM over all maps, the number of filters fixed: the mean best similarity never falls.

  A filter that no patch chooses keeps its place.
  """
  log = log or Log(0, None)
  kernel, stride = config.kernel, config.stride
  height, width, _ = maps.map_shape
  positions = num_positions(height, kernel, stride) * num_positions(width, kernel, stride)
  last = -np.inf
  for step in range(config.max_passes):
    before, total = log.patches, em.zero_statistics(filters)
    for running, done in stream.statistics(maps, filters, config.threshold, kernel, stride):
      total = running
      log.patches = before + done * positions
      log.partial("em", step, config.max_passes, done / maps.num_images)
    filters = em.m_step(total, filters, np.float32(config.variance_floor))
    num_patches, num_below, similarity_sum = jax.device_get(
      (total.num_patches, total.num_below, total.similarity_sum)
    )
    mean = float(similarity_sum / num_patches)
    info = (filters.num_filters, float(num_below / num_patches), mean)
    log.step("em", step, config.max_passes, info, int(num_patches))
    if mean - last < config.tolerance:
      break
    last = mean
  return filters
