"""Non-parametric growth: how a layer finds the number of its filters.

A `Bank` is `Filters` of a fixed capacity, the born ones first, so that growth compiles one program
a capacity. Every step is a pure jitted function; only the decision to go on is the host's.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import em, numerics
from nsn_jax.filters import Filters

__all__ = [
  "Proposal",
  "StepInfo",
  "capacity_for",
  "exchange_step",
  "first_filter",
  "growth_step",
  "resize_bank",
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


def unknown(num_filters: int) -> StepInfo:
  """Of a bank that no step has told of yet: all below, and any other is better."""
  return StepInfo(
    jax.device_put(np.int32(num_filters)),
    jax.device_put(np.float32(1.0)),
    jax.device_put(np.float32(-np.inf)),
  )


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
  """The same born filters in a bank of another capacity. On the host, as it changes shapes."""
  mean, variance = np.asarray(bank.mean), np.asarray(bank.variance)
  keep = min(capacity, variance.size)
  new_mean = np.zeros((capacity, *mean.shape[1:]), np.float32)
  new_variance = np.full((capacity,), np.inf, np.float32)
  new_mean[:keep], new_variance[:keep] = mean[:keep], variance[:keep]
  return Filters(jax.device_put(new_mean), jax.device_put(new_variance))


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
def first_filter(key: jax.Array, patches: jax.Array, floor: float, *, capacity: int) -> Filters:
  """A bank of one filter at a random patch, its variance the mean squared distance to it."""
  mean = patches[jax.random.randint(key, (), 0, patches.shape[0], jnp.int32)]
  variance = jnp.mean(jnp.sum((patches - mean) ** 2, axis=(1, 2, 3)))
  bank_mean = jnp.zeros((capacity, *patches.shape[1:]), jnp.float32).at[0].set(mean)
  # Not weakly typed, or the next step would be compiled twice.
  bank_variance = jnp.full((capacity,), jnp.inf, jnp.float32)
  bank_variance = bank_variance.at[0].set(jnp.maximum(variance, floor))
  return Filters(bank_mean, bank_variance)


def _squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
  """||a_i - b_j||^2 of rows [n, D] and [m, D], about b's mean: float32 [n, m]."""
  center = jnp.mean(b, axis=0)
  a, b = a - center, b - center
  product = jnp.dot(a, b.T, precision=numerics.PRECISION)
  return jnp.maximum(jnp.sum(a * a, 1)[:, None] - 2.0 * product + jnp.sum(b * b, 1), 0.0)


def _pick_seeds(
  key: jax.Array, patches: jax.Array, weight: jax.Array, num_seeds: int, reach: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Draws spread seeds among the patches of positive weight: k-means|| then k-means++.

  A pool is drawn in proportion to the weight, then seeds from the pool one by one, in proportion to
  the squared distance to the seeds before (Arthur & Vassilvitskii 2007; Bahmani et al. 2012). The
  pool makes that S small steps instead of S passes over the patches.

  Args:
    key: PRNG key.
    patches: [N, D].
    weight: [N], at least 0.
    num_seeds: S.
    reach: squared distance; what is no further from an earlier seed is left to that one.

  Returns:
    Seeds [S, D], and bool [S] which of them stand for something: none does where no weight is
    positive, and none within reach of an earlier seed.
  """
  pool_key, first_key, spread_key = jax.random.split(key, 3)
  # Gumbel top-k is a weighted draw without replacement.
  noise = jax.random.gumbel(pool_key, weight.shape, jnp.float32)
  score, pool = jax.lax.top_k(
    jnp.log(weight) + noise, min(_OVERSAMPLING * num_seeds, weight.shape[0])
  )
  candidates, valid = patches[pool], jnp.isfinite(score)
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
  patches: jax.Array,
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
    patches: [N, kh, kw, C].
    found: their present assignment.
    weight: [N], seeds are drawn in proportion.
    eligible: bool [N], patches that a new filter may take.
    num_seeds: S.
    reach: squared distance that seeds keep from each other.
    floor: variance floor.
  """
  flat = patches.reshape(patches.shape[0], -1)
  seeds, valid = _pick_seeds(key, flat, weight, num_seeds, reach)
  distance = jnp.where(valid, _squared_distances(flat, seeds), jnp.inf)
  nearest = jnp.argmin(distance, axis=1)
  taken = eligible & (jnp.min(distance, axis=1) < found.distance)
  member = jax.nn.one_hot(
    jnp.where(taken, nearest, num_seeds), num_seeds, dtype=jnp.float32, axis=0
  )
  count = jnp.sum(member, axis=1)
  n = jnp.maximum(count, 1.0)
  # About the seed, as em.e_step does it about the filter's mean.
  residual = flat - seeds[nearest]
  shift = jnp.dot(member, residual, precision=numerics.PRECISION) / n[:, None]
  nearest_distance = jnp.where(taken, jnp.min(distance, axis=1), 0.0)
  square = jnp.dot(member, nearest_distance, precision=numerics.PRECISION) / n
  variance = jnp.maximum(square - jnp.sum(shift * shift, axis=1), floor)
  # After its M-step a filter's mean similarity is -1/2 - log(v)/2.
  held = jnp.dot(member, found.similarity, precision=numerics.PRECISION)
  gain = jnp.where(count > 0, -0.5 * count * (1.0 + jnp.log(variance)) - held, -jnp.inf)
  mean = (seeds + shift).reshape(num_seeds, *patches.shape[1:])
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
  patches: jax.Array,
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
    statistics = em.e_step_core(patches, bank, threshold, None, hold_below=True, chunk_size=None)
    found = em.m_step_core(statistics, bank, floor)
    keep_one = jnp.arange(bank.num_filters) == jnp.argmax(statistics.count)
    found = _unborn_where((statistics.count < min_patches) & ~keep_one, found)
    bank = jax.tree.map(lambda new, old: jnp.where(index < steps, new, old), found, bank)
    return bank, statistics

  bank, statistics = jax.lax.fori_loop(0, steps + 1, step, (bank, em.zero_statistics(bank)))
  info = StepInfo(
    _num_born(bank), statistics.num_below / patches.shape[0], em.mean_similarity(statistics)
  )
  return _compact(bank), info


@functools.partial(jax.jit, static_argnames=("num_seeds", "em_steps", "min_patches"))
def growth_step(
  key: jax.Array,
  step: jax.Array,
  patches: jax.Array,
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
    patches: float32 [N, kh, kw, C].
    bank: filters of fixed capacity, born ones first.
    threshold: tau.
    floor: variance floor.
    num_seeds: new filters to try.
    em_steps: EM iterations after them.
    min_patches: filters that hold fewer are dropped, new and old.
  """
  found = em.assign(patches, bank)
  below = found.similarity < threshold
  weight = jnp.where(below, 1.0, 0.0)
  key = jax.random.fold_in(key, step)
  # A filter of variance v = d gives a patch at distance d a similarity of -1/2 - log(d)/2: within
  # this reach of a seed no patch needs another. Without it, one cluster gets several seeds.
  reach = jnp.exp(-1.0 - 2.0 * threshold)
  new = _propose(key, patches, found, weight, below, num_seeds, reach, floor)
  bank = _insert(bank, new.filters, new.num_taken >= min_patches)
  return _em_steps(patches, bank, threshold, floor, em_steps, min_patches)


def _removal_loss(bank: Filters, found: em.Assignment) -> jax.Array:
  """How much the sum of best similarities falls if a filter goes: float32 [K], +inf where unborn.

  Its patches are taken to go, all together, to the one filter that suits them best. For patches of
  mean mu_j and variance v_j the mean of s_i is -(||mu_j - mu_i||^2 + v_j) / (2 v_i) - log(v_i) / 2
  by Eq 1, exactly; that each could choose for itself makes this an upper bound.
  """
  k = bank.num_filters
  born = jnp.isfinite(bank.variance)
  flat = bank.mean.reshape(k, -1)
  count = em.sum_by_filter(jnp.ones_like(found.similarity), found.index, k)
  own = em.sum_by_filter(found.similarity, found.index, k)
  v = jnp.where(born, bank.variance, 1.0)
  other = -(_squared_distances(flat, flat) + v[:, None]) / (2.0 * v) - 0.5 * jnp.log(v)
  other = jnp.where(born & ~jnp.eye(k, dtype=bool), other, -jnp.inf)
  return jnp.where(born, own - count * jnp.max(other, axis=1), jnp.inf)


@functools.partial(jax.jit, static_argnames=("num_seeds", "em_steps", "min_patches"))
def exchange_step(
  key: jax.Array,
  step: jax.Array,
  patches: jax.Array,
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
    patches: float32 [N, kh, kw, C].
    bank: filters of fixed capacity, born ones first.
    present: what the last step told of this bank.
    threshold: tau, for the report only.
    floor: variance floor.
    num_seeds: new filters to try.
    em_steps: EM iterations after them.
    min_patches: that a new filter must take: one of a single patch, of no variance, would gain most
      and be a copy of it.
  """
  found = em.assign(patches, bank)
  weight = found.distance / bank.variance[found.index]
  key = jax.random.fold_in(key, step)
  anywhere, apart = jnp.ones_like(weight, bool), jnp.zeros([], jnp.float32)
  new = _propose(key, patches, found, weight, anywhere, num_seeds, apart, floor)
  loss = _removal_loss(bank, found)
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
