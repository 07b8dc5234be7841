"""Non-parametric growth: how a layer finds the number of its filters.

A `Bank` is `Filters` of a fixed capacity, the born ones first, so that growth compiles one program
a capacity. Every step is a pure jitted function; only the decision to go on is the host's. Patches
lie in logical shards: each device looks at its own, and what they find is brought together in an
order that does not depend on how many devices there are (`nsn_jax.placement`).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import em, numerics, placement
from nsn_jax.filters import Filters
from nsn_jax.placement import AXIS, P, Shards

__all__ = [
  "Proposal",
  "StepInfo",
  "capacity_for",
  "exchange_step",
  "first_filter",
  "growth_step",
  "resize_bank",
  "shards_statistics",
  "step_info",
  "unknown",
]

#: Candidates that a step's seeds are picked from, as multiples of the number of seeds.
_OVERSAMPLING = 8
#: Smallest capacity of a bank. Capacities grow by half.
_MIN_CAPACITY = 64


class StepInfo(NamedTuple):
  """What a growth or exchange step tells the host.

  Attributes:
    num_filters: born filters after the step, int32 [].
    below_share: share of the patches below the threshold after the step, float32 [].
    mean_similarity: mean best similarity after the step, float32 [].
  """

  num_filters: jax.Array
  below_share: jax.Array
  mean_similarity: jax.Array


def step_info(info: tuple[int, float, float]) -> StepInfo:
  """Plain numbers as programs take them. On the host, where they are left."""
  number, below, similarity = np.int32(info[0]), np.float32(info[1]), np.float32(info[2])
  return StepInfo(number, below, similarity)  # type: ignore[arg-type]  # numpy's


def unknown(num_filters: int) -> StepInfo:
  """Of a bank that no step has told of yet: all below, and any other is better."""
  return step_info((num_filters, 1.0, -np.inf))


class Proposal(NamedTuple):
  """New filters that a step tries, S of them.

  Attributes:
    filters: their mean and variance over the patches that they would take.
    num_taken: number of those patches, int32 [S].
    gain: how much taking them raises the sum of best similarities, float32 [S].
  """

  filters: Filters
  num_taken: jax.Array
  gain: jax.Array


def capacity_for(num_filters: int) -> int:
  """Smallest capacity of 64, 96, 128, 192, 256, 384, ... that holds `num_filters`."""
  capacity = _MIN_CAPACITY
  while capacity < num_filters:
    # 2**n -> 1.5 * 2**n -> 2**(n+1): at most half a bank is idle, and few programs are compiled.
    capacity += capacity // 2 if capacity & (capacity - 1) == 0 else capacity // 3
  return capacity


def resize_bank(bank: Filters, capacity: int) -> Filters:
  """The same born filters in a bank of another capacity. On the host, where it is left."""
  mean, variance = np.asarray(bank.mean), np.asarray(bank.variance)
  keep = min(capacity, variance.size)
  new_mean = np.zeros((capacity, *mean.shape[1:]), np.float32)
  new_variance = np.full((capacity,), np.inf, np.float32)
  new_mean[:keep], new_variance[:keep] = mean[:keep], variance[:keep]
  return Filters(new_mean, new_variance)  # type: ignore[arg-type]  # numpy's


def _compact(bank: Filters) -> Filters:
  """Born filters first, their order kept."""
  order = jnp.argsort(~jnp.isfinite(bank.variance), stable=True)
  return Filters(bank.mean[order], bank.variance[order])


def _num_born(bank: Filters) -> jax.Array:
  return jnp.sum(jnp.isfinite(bank.variance), dtype=jnp.int32)


def _unborn_where(drop: jax.Array, bank: Filters) -> Filters:
  return Filters(
    jnp.where(drop[:, None, None, None], 0.0, bank.mean), jnp.where(drop, jnp.inf, bank.variance)
  )


@functools.partial(jax.jit, static_argnames="capacity")
def first_filter(key: jax.Array, patches: Shards, floor: float, *, capacity: int) -> Filters:
  """A bank of one filter at a random patch, its variance the mean squared distance to it."""

  def first(key: jax.Array, patches: Shards, floor: jax.Array) -> Filters:
    counts = jax.lax.all_gather(_counts(patches.valid), AXIS, tiled=True)  # [S]
    last = jnp.cumsum(counts)
    number = jax.random.randint(key, (), 0, last[-1], jnp.int32)
    shard = jnp.searchsorted(last, number, side="right").astype(jnp.int32)
    row = number - (last[shard] - counts[shard])
    mean = placement.take_rows(patches.values, shard, row)

    def distances(values: jax.Array, valid: jax.Array) -> jax.Array:
      return jnp.sum(jnp.where(valid, jnp.sum((values - mean) ** 2, axis=(1, 2, 3)), 0.0))

    squares = placement.total(placement.each(distances, patches.values, patches.valid))
    bank_mean = jnp.zeros((capacity, *mean.shape), jnp.float32).at[0].set(mean)
    # Not weakly typed, or the next step would be compiled twice.
    bank_variance = jnp.full((capacity,), jnp.inf, jnp.float32)
    return Filters(bank_mean, bank_variance.at[0].set(jnp.maximum(squares / last[-1], floor)))

  specs = (P(), P(AXIS), P())
  return patches.place.on_devices(first, specs, P())(key, patches, floor)


def _counts(valid: jax.Array) -> jax.Array:
  """Rows of each shard that count, int32 [m]."""
  return jnp.sum(valid, axis=1, dtype=jnp.int32)


def _squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
  """||a_i - b_j||^2 of rows [n, D] and [m, D], about b's mean: float32 [n, m]."""
  center = numerics.column_means(b)
  a, b = a - center, b - center
  product = jnp.dot(a, b.T, precision=numerics.PRECISION)
  return jnp.maximum(jnp.sum(a * a, 1)[:, None] - 2.0 * product + jnp.sum(b * b, 1), 0.0)


def _pick_seeds(
  key: jax.Array, values: jax.Array, weight: jax.Array, num_seeds: int, reach: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Draws spread seeds among the patches of positive weight: k-means|| then k-means++.

  A pool is drawn in proportion to the weight, then seeds from the pool one by one, in proportion to
  the squared distance to the seeds before (Arthur & Vassilvitskii 2007; Bahmani et al. 2012). The
  pool makes that S small steps instead of S passes over the patches. Each shard draws with a key of
  its own and offers its best; the best of all make the pool, which is the same draw.

  Args:
    key: PRNG key.
    values: patches of this device's shards, [m, n, kh, kw, C].
    weight: [m, n], at least 0.
    num_seeds: number of seeds.
    reach: squared distance; what is no further from an earlier seed is left to that one.

  Returns:
    Seeds [seeds, D], and bool [seeds] which of them stand for something: none does where no weight
    is positive, and none within reach of an earlier seed.
  """
  pool_key, first_key, spread_key = jax.random.split(key, 3)
  m, n = weight.shape
  shards = jax.lax.axis_index(AXIS) * m + jnp.arange(m)
  size = min(_OVERSAMPLING * num_seeds, m * jax.lax.axis_size(AXIS) * n)

  def offer(weight: jax.Array, shard: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Gumbel top-k is a weighted draw without replacement.
    noise = jax.random.gumbel(jax.random.fold_in(pool_key, shard), weight.shape, jnp.float32)
    return jax.lax.top_k(jnp.log(weight) + noise, min(size, n))

  score, row = (
    jax.lax.all_gather(x, AXIS, tiled=True) for x in placement.each(offer, weight, shards)
  )
  offered = score.shape[1]
  score, pool = jax.lax.top_k(score.reshape(-1), size)
  valid = jnp.isfinite(score)
  candidates = placement.take_rows(values, pool // offered, row.reshape(-1)[pool])
  candidates = candidates.reshape(size, -1)
  between = _squared_distances(candidates, candidates)
  first = jax.random.categorical(first_key, jnp.where(valid, jnp.float32(0.0), -jnp.inf))

  def step(
    carry: tuple[jax.Array, jax.Array], step_key: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    nearest, chosen = carry
    nearest = jnp.minimum(nearest, between[chosen])
    distance = jnp.where(valid & (nearest > reach), nearest, 0.0)
    following = jax.random.categorical(step_key, jnp.log(distance))
    return (nearest, following), (chosen, distance[following] > 0.0)

  start = (jnp.full(pool.shape, jnp.inf, jnp.float32), first)
  _, (chosen, distinct) = jax.lax.scan(step, start, jax.random.split(spread_key, num_seeds))
  distinct = jnp.concatenate([jnp.ones(1, bool), distinct[:-1]])
  return candidates[chosen], valid[chosen] & distinct


def _propose(
  key: jax.Array,
  values: jax.Array,
  found: em.Assignment,
  weight: jax.Array,
  eligible: jax.Array,
  num_seeds: int,
  reach: jax.Array,
  floor: jax.Array,
) -> Proposal:
  """Tries new filters at spread seeds.

  Each takes the eligible patches that are nearer to its seed than to their present filter. At that
  filter's variance, nearer is the same as more similar (Eq 1).

  Args:
    key: PRNG key.
    values: patches of this device's shards, [m, n, kh, kw, C].
    found: their present assignment, [m, n].
    weight: [m, n], seeds are drawn in proportion.
    eligible: bool [m, n], patches that a new filter may take.
    num_seeds: number of seeds.
    reach: squared distance that seeds keep from each other.
    floor: variance floor.
  """
  seeds, valid = _pick_seeds(key, values, weight, num_seeds, reach)

  def take(
    values: jax.Array, present: jax.Array, similarity: jax.Array, eligible: jax.Array
  ) -> tuple[jax.Array, ...]:
    flat = values.reshape(values.shape[0], -1)
    distance = jnp.where(valid, _squared_distances(flat, seeds), jnp.inf)
    nearest = jnp.argmin(distance, axis=1)
    taken = eligible & (jnp.min(distance, axis=1) < present)
    member = jax.nn.one_hot(
      jnp.where(taken, nearest, num_seeds), num_seeds, dtype=jnp.float32, axis=0
    )
    # About the seed, as em.e_step does it about the filter's mean.
    shift = jnp.dot(member, flat - seeds[nearest], precision=numerics.PRECISION)
    nearest_distance = jnp.where(taken, jnp.min(distance, axis=1), 0.0)
    square = jnp.dot(member, nearest_distance, precision=numerics.PRECISION)
    held = jnp.dot(member, jnp.where(taken, similarity, 0.0), precision=numerics.PRECISION)
    return jnp.sum(member, axis=1), shift, square, held

  count, shift, square, held = placement.total(
    placement.each(take, values, found.distance, found.similarity, eligible)
  )
  n = jnp.maximum(count, 1.0)
  shift = shift / n[:, None]
  variance = jnp.maximum(square / n - jnp.sum(shift * shift, axis=1), floor)
  # After its M-step a filter's mean similarity is -1/2 - log(v)/2.
  gain = jnp.where(count > 0, -0.5 * count * (1.0 + jnp.log(variance)) - held, -jnp.inf)
  mean = (seeds + shift).reshape(num_seeds, *values.shape[2:])
  return Proposal(Filters(mean, variance), count.astype(jnp.int32), gain)


def _insert(bank: Filters, new: Filters, accept: jax.Array) -> Filters:
  """Puts the accepted new filters behind the born ones; those beyond the capacity are left out."""
  slot = _num_born(bank) + jnp.cumsum(accept) - 1
  slot = jnp.where(accept, slot, bank.num_filters)  # out of bounds: dropped
  return Filters(
    bank.mean.at[slot].set(new.mean, mode="drop"),
    bank.variance.at[slot].set(new.variance, mode="drop"),
  )


def _em_steps(
  patches: Shards,
  bank: Filters,
  threshold: jax.Array,
  floor: jax.Array,
  steps: int,
  min_patches: int,
) -> tuple[Filters, StepInfo]:
  """EM iterations that drop filters of too few patches, and what the last bank is like.

  One more E-step than M-steps, in one loop: XLA takes seconds to compile an E-step on CPU, and so
  compiles one.
  """

  def step(index: jax.Array, carry: tuple[Filters, em.Statistics]) -> tuple[Filters, em.Statistics]:
    bank, _ = carry
    statistics = shards_statistics(patches, bank, threshold)
    found = em.m_step_core(statistics, bank, floor)
    keep_one = jnp.arange(bank.num_filters) == jnp.argmax(statistics.count)
    found = _unborn_where((statistics.count < min_patches) & ~keep_one, found)
    bank = jax.tree.map(lambda new, old: jnp.where(index < steps, new, old), found, bank)
    return bank, statistics

  shapes = jax.eval_shape(em.zero_statistics, bank)
  zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  bank, statistics = jax.lax.fori_loop(0, steps + 1, step, (bank, zero))
  info = StepInfo(
    _num_born(bank), statistics.num_below / statistics.num_patches, em.mean_similarity(statistics)
  )
  return _compact(bank), info


def shards_statistics(patches: Shards, filters: Filters, threshold: jax.Array) -> em.Statistics:
  """On a device: one E-step over the patches of all shards, the same statistics on each."""

  def one(values: jax.Array, valid: jax.Array) -> em.Statistics:
    return em.e_step_core(values, filters, threshold, valid, hold_below=True, chunk_size=None)

  return placement.total(placement.each(one, patches.values, patches.valid))


@functools.partial(jax.jit, static_argnames=("num_seeds", "em_steps", "min_patches"))
def growth_step(
  key: jax.Array,
  step: jax.Array,
  patches: Shards,
  bank: Filters,
  threshold: jax.Array,
  floor: jax.Array,
  *,
  num_seeds: int,
  em_steps: int,
  min_patches: int,
) -> tuple[Filters, StepInfo]:
  """One step of growth: seed new filters below the threshold, then EM.

  The paper sends every patch below the threshold to one new filter. That collapses where most are
  below (two filters swap their patches for ever), so here several spread seeds each take only the
  below-threshold patches nearer to them than to their present filter.

  Args:
    key: PRNG key of the phase.
    step: number of the step, folded into the key.
    patches: float32 [S, n, kh, kw, C].
    bank: filters of fixed capacity, born ones first.
    threshold: tau.
    floor: variance floor.
    num_seeds: new filters to try.
    em_steps: EM iterations after them.
    min_patches: filters that hold fewer are dropped, new and old.
  """

  def grown(
    key: jax.Array, patches: Shards, bank: Filters, threshold: jax.Array, floor: jax.Array
  ) -> tuple[Filters, StepInfo]:
    found = placement.each(lambda values: em.assign(values, bank), patches.values)
    below = (found.similarity < threshold) & patches.valid
    weight = jnp.where(below, 1.0, 0.0)
    # A filter of variance v = d gives a patch at distance d a similarity of -1/2 - log(d)/2: within
    # this reach of a seed no patch needs another. Without it, one cluster gets several seeds.
    reach = jnp.exp(-1.0 - 2.0 * threshold)
    new = _propose(key, patches.values, found, weight, below, num_seeds, reach, floor)
    bank = _insert(bank, new.filters, new.num_taken >= min_patches)
    return _em_steps(patches, bank, threshold, floor, em_steps, min_patches)

  specs = (P(), P(AXIS), P(), P(), P())
  return patches.place.on_devices(grown, specs, P())(
    jax.random.fold_in(key, step), patches, bank, threshold, floor
  )


def _removal_loss(bank: Filters, found: em.Assignment, valid: jax.Array) -> jax.Array:
  """How much the sum of best similarities falls if a filter goes: float32 [K], +inf where unborn.

  Its patches are taken to go, all together, to the one filter that suits them best. For patches of
  mean mu_j and variance v_j the mean of s_i is -(||mu_j - mu_i||^2 + v_j) / (2 v_i) - log(v_i) / 2
  by Eq 1, exactly; that each could choose for itself makes this an upper bound.
  """
  k = bank.num_filters

  def sums(
    similarity: jax.Array, index: jax.Array, valid: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    index = jnp.where(valid, index, k)
    ones = jnp.ones_like(similarity)
    return em.sum_by_filter(ones, index, k), em.sum_by_filter(similarity, index, k)

  count, own = placement.total(placement.each(sums, found.similarity, found.index, valid))
  born = jnp.isfinite(bank.variance)
  flat = bank.mean.reshape(k, -1)
  v = jnp.where(born, bank.variance, 1.0)
  other = -(_squared_distances(flat, flat) + v[:, None]) / (2.0 * v) - 0.5 * jnp.log(v)
  other = jnp.where(born & ~jnp.eye(k, dtype=bool), other, -jnp.inf)
  return jnp.where(born, own - count * jnp.max(other, axis=1), jnp.inf)


@functools.partial(jax.jit, static_argnames=("num_seeds", "em_steps", "min_patches"))
def exchange_step(
  key: jax.Array,
  step: jax.Array,
  patches: Shards,
  bank: Filters,
  present: StepInfo,
  threshold: jax.Array,
  floor: jax.Array,
  *,
  num_seeds: int,
  em_steps: int,
  min_patches: int,
) -> tuple[Filters, StepInfo]:
  """Moves the least useful filters to where they raise the mean best similarity most.

  Growth puts filters where single patches are far from all others; where many patches are a little
  far, a filter is worth more. New filters are tried at spread seeds, the best of them replace the
  cheapest to remove wherever the estimated gain is above the estimated loss, EM follows, and what
  comes out is kept if it is better than what was: the mean best similarity never falls, the number
  never changes. This is not in the paper.

  Args:
    key: PRNG key of the phase.
    step: number of the step, folded into the key.
    patches: float32 [S, n, kh, kw, C].
    bank: filters of fixed capacity, born ones first.
    present: what the last step told of this bank.
    threshold: tau, for the report only.
    floor: variance floor.
    num_seeds: new filters to try.
    em_steps: EM iterations after them.
    min_patches: that a new filter must take: one of a single patch, of no variance, would gain most
      and be a copy of it.
  """

  def exchanged(
    key: jax.Array,
    patches: Shards,
    bank: Filters,
    present: StepInfo,
    threshold: jax.Array,
    floor: jax.Array,
  ) -> tuple[Filters, StepInfo]:
    values, valid = patches.values, patches.valid
    found = placement.each(lambda values: em.assign(values, bank), values)
    weight = jnp.where(valid, found.distance / bank.variance[found.index], 0.0)
    apart = jnp.zeros([], jnp.float32)
    new = _propose(key, values, found, weight, valid, num_seeds, apart, floor)
    loss = _removal_loss(bank, found, valid)
    tried = min(num_seeds, bank.num_filters)
    enough = new.num_taken >= min_patches
    gain, best_new = jax.lax.top_k(jnp.where(enough, new.gain, -jnp.inf), tried)
    low, worst = jax.lax.top_k(-loss, tried)
    worth = gain + low > 0.0
    slot = jnp.where(worth, worst, bank.num_filters)
    swapped = Filters(
      bank.mean.at[slot].set(new.filters.mean[best_new], mode="drop"),
      bank.variance.at[slot].set(new.filters.variance[best_new], mode="drop"),
    )
    swapped, info = _em_steps(patches, swapped, threshold, floor, em_steps, min_patches=0)
    better = info.mean_similarity > present.mean_similarity
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), (swapped, info), (bank, present))

  specs = (P(), P(AXIS), P(), P(), P(), P())
  return patches.place.on_devices(exchanged, specs, P())(
    jax.random.fold_in(key, step), patches, bank, present, threshold, floor
  )
