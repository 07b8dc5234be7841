"""Hard EM on a layer's filters: E-step to additive statistics, M-step from them (Eq 2-3).

One `e_step` and one `m_step` are an iteration of classification EM for an isotropic Gaussian
mixture with equal weights: with no threshold, the mean best similarity never falls.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import budgets, checks, numerics
from nsn_jax.filters import Filters, Projection, check_filters, check_patches, project

__all__ = [
  "Assignment",
  "Statistics",
  "add_statistics",
  "assign",
  "e_step",
  "e_step_core",
  "m_step",
  "m_step_core",
  "mean_similarity",
  "sum_by_filter",
  "zero_statistics",
]


class Statistics(NamedTuple):
  """What an E-step leaves of its patches. Every field is additive: stats of a+b = their sum.

  Sums are taken about the filter's mean at the E-step, the centre, because E[x^2] - mean^2 in
  float32 loses the variance of a tight filter among large norms.

  Attributes:
    count: patches assigned to each filter, float32 [K], as the other numbers of patches: whole
      numbers, exact up to 2**24, and beyond 2**31 still right to seven digits.
    residual_sum: sum of x - centre, float32 [K, kh, kw, C].
    center_sum: count * centre, float32 [K, kh, kw, C].
    square_sum: sum of ||x - centre||^2, float32 [K].
    similarity_sum: sum over all patches of their best similarity, float32 [].
    num_patches: float32 [].
    num_below: patches whose best similarity is below the threshold, float32 []. No filter holds
      them, unless the E-step was told to.
  """

  count: jax.Array  # type: ignore[assignment]  # hides tuple.count, which nobody needs
  residual_sum: jax.Array
  center_sum: jax.Array
  square_sum: jax.Array
  similarity_sum: jax.Array
  num_patches: jax.Array
  num_below: jax.Array


class Assignment(NamedTuple):
  """The E-step's answer patch by patch.

  Attributes:
    index: argmax filter, int32 [n].
    similarity: its similarity, float32 [n].
    distance: ||x - mu||^2 to it, float32 [n].
  """

  index: jax.Array  # type: ignore[assignment]  # hides tuple.index, which nobody needs
  similarity: jax.Array
  distance: jax.Array


def zero_statistics(filters: Filters) -> Statistics:
  """The statistics of no patch at all."""
  k, shape = filters.num_filters, filters.mean.shape
  # numpy's zeros: jax's would compile a program for each shape where nothing else is jitted.
  return Statistics(
    count=jax.device_put(np.zeros([k], np.float32)),
    residual_sum=jax.device_put(np.zeros(shape, np.float32)),
    center_sum=jax.device_put(np.zeros(shape, np.float32)),
    square_sum=jax.device_put(np.zeros([k], np.float32)),
    similarity_sum=jax.device_put(np.zeros([], np.float32)),
    num_patches=jax.device_put(np.zeros([], np.float32)),
    num_below=jax.device_put(np.zeros([], np.float32)),
  )


def add_statistics(a: Statistics, b: Statistics) -> Statistics:
  """Statistics of the union of two disjoint sets of patches."""
  return jax.tree.map(jnp.add, a, b)


def _chunk_size(num_values: int) -> int:
  """Patches a chunk: a power of two, so that few shapes are compiled."""
  budget = budgets.of_backend()
  rows = max(budget.chunk_bytes // (4 * num_values), 128)
  return 1 << (min(rows, budget.chunk_rows).bit_length() - 1)


def _best(centred: jax.Array, projection: Projection) -> tuple[Assignment, jax.Array]:
  """Best filter of each centred patch [n, D] by Eq 1, and ||x - center||^2."""
  # [K, n], filters first: the maximum over filters then runs along vectors of patches.
  product = jax.lax.dot_general(
    projection.weight, centred, (((1,), (1,)), ((), ())), precision=numerics.PRECISION
  )
  square = numerics.unfused(jnp.sum(centred * centred, axis=1))
  s = numerics.unfused(
    numerics.unfused(product)
    + projection.bias[:, None]
    - projection.half_precision[:, None] * square
  )
  best = numerics.unfused(jnp.max(s, axis=0))
  # Two vectorised reductions; XLA's argmax is a scalar loop on CPU.
  k = s.shape[0]
  rank = jnp.arange(k, dtype=jnp.int32)[:, None]
  index = jnp.minimum(jnp.min(jnp.where(s >= best, rank, k), axis=0), k - 1)
  v = 0.5 / projection.half_precision
  # s = -d / (2 v) - log(v) / 2, solved for d.
  distance = jnp.maximum(-2.0 * v[index] * best - (v * jnp.log(v))[index], 0.0)
  return Assignment(index, best, distance), square


def _residual(centred: jax.Array, projection: Projection, index: jax.Array) -> jax.Array:
  """Exact differences x - mu to the assigned filter: [n, D]."""
  return centred - projection.mean.at[index].get(mode="promise_in_bounds")


def _is_lost(assignment: Assignment, square: jax.Array, projection: Projection) -> jax.Array:
  """Whether a distance from the product is too small beside its norms to be trusted: bool [n]."""
  norm = square + jnp.sum(projection.mean**2, axis=1)[assignment.index]
  return assignment.distance < numerics.SAFE_DISTANCE_SHARE * norm


def sum_by_filter(values: jax.Array, index: jax.Array, num_filters: int) -> jax.Array:
  """Sums [n, ...] by filter to [K, ...]; an index of K is left out."""

  def scatter(values: jax.Array, index: jax.Array) -> jax.Array:
    return jax.ops.segment_sum(values, index, num_filters)

  def product(values: jax.Array, index: jax.Array) -> jax.Array:
    # Atomic adds come in any order; a product gives the same bits every time.
    member = index == jnp.arange(num_filters, dtype=index.dtype)[:, None]
    return jnp.tensordot(member.astype(values.dtype), values, 1, precision=numerics.PRECISION)

  return jax.lax.platform_dependent(values, index, cpu=scatter, default=product)


def _chunk_assignment(
  patches: jax.Array, projection: Projection
) -> tuple[Assignment, jax.Array, jax.Array]:
  """Assignment of one chunk [n, D], the centred patches, and whether residuals must be exact."""
  centred = numerics.unfused(patches - projection.center)
  assignment, square = _best(centred, projection)
  return assignment, centred, _is_lost(assignment, square, projection)


def _exact(
  assignment: Assignment, centred: jax.Array, projection: Projection
) -> tuple[Assignment, jax.Array]:
  """The same assignment with the distance, and so the similarity, taken from differences."""
  residual = _residual(centred, projection, assignment.index)
  distance = jnp.sum(residual * residual, axis=1)
  precision = projection.half_precision[assignment.index]
  best = -distance * precision + 0.5 * jnp.log(2.0 * precision)
  return Assignment(assignment.index, best, distance), residual


def _wins(similarity: jax.Array, axis: str) -> jax.Array:
  """Whether this device's best filter of each patch is the best of all devices': bool [n].

  Of equal ones the first device's, as of equal filters the first is.
  """
  me, size = jax.lax.axis_index(axis), jax.lax.axis_size(axis)
  best = jax.lax.pmax(similarity, axis)
  return jax.lax.pmin(jnp.where(similarity >= best, me, size), axis) == me


def _chunk_statistics(
  patches: jax.Array,
  valid: jax.Array,
  projection: Projection,
  threshold: jax.Array,
  hold_below: bool,
  filter_axis: str | None,
) -> Statistics:
  """Statistics of one chunk [n, D] of flat patches; rows that are not `valid` do not count."""
  k = projection.bias.shape[0]
  assignment, centred, lost = _chunk_assignment(patches, projection)
  if filter_axis is not None:
    valid = valid & _wins(assignment.similarity, filter_axis)

  def members(assignment: Assignment) -> tuple[jax.Array, jax.Array]:
    below = (assignment.similarity < threshold) & valid
    won = valid & (assignment.similarity > -jnp.inf)  # an unborn filter wins nothing
    held = won if hold_below else won & ~below
    return jnp.where(held, assignment.index, k), below

  def from_differences() -> tuple[Assignment, jax.Array, jax.Array, jax.Array, jax.Array]:
    exact, residual = _exact(assignment, centred, projection)
    index, below = members(exact)
    count = sum_by_filter(jnp.ones(index.shape, jnp.float32), index, k)
    return (
      exact,
      count,
      below,
      sum_by_filter(residual, index, k),
      sum_by_filter(exact.distance, index, k),
    )

  def from_product() -> tuple[Assignment, jax.Array, jax.Array, jax.Array, jax.Array]:
    index, below = members(assignment)
    count = sum_by_filter(jnp.ones(index.shape, jnp.float32), index, k)
    residual = sum_by_filter(centred, index, k) - count[:, None] * projection.mean
    return assignment, count, below, residual, sum_by_filter(assignment.distance, index, k)

  # The differences cost a second pass over the patches, so they are taken only in chunks that
  # hold a patch whose distance the product has lost.
  found, count, below, residual_sum, square_sum = jax.lax.cond(
    jnp.any(lost & valid), from_differences, from_product
  )
  return Statistics(
    count=count,
    residual_sum=residual_sum,
    center_sum=jnp.zeros_like(residual_sum),  # count * centre, filled in once at the end
    square_sum=square_sum,
    similarity_sum=jnp.sum(jnp.where(valid, found.similarity, 0.0)),
    num_patches=jnp.sum(valid, dtype=jnp.float32),
    num_below=jnp.sum(below, dtype=jnp.float32),
  )


def _chunks(patches: jax.Array, valid: jax.Array, chunk_size: int) -> tuple[jax.Array, jax.Array]:
  """[N, D] to [C, n, D], and [N] to [C, n]; the last chunk is filled up with rows not valid."""
  n, d = patches.shape
  num_chunks = max(-(-n // chunk_size), 1)
  size = -(-n // num_chunks)  # chunks of equal size leave the least to fill up
  fill = num_chunks * size - n
  if fill:
    patches = jnp.pad(patches, [(0, fill), (0, 0)])
    valid = jnp.pad(valid, (0, fill))
  return patches.reshape(num_chunks, size, d), valid.reshape(num_chunks, size)


def e_step(
  patches: jax.Array,
  filters: Filters,
  threshold: float | jax.Array = -jnp.inf,
  *,
  valid: jax.Array | None = None,
  hold_below: bool = False,
  chunk_size: int | None = None,
) -> Statistics:
  """Assigns each patch to its argmax filter and sums up what the M-step needs (for Eq 2-3).

  Streams over chunks of patches: the [chunk, K] similarities never reach main memory. The result
  does not depend on the chunk size beyond rounding.

  Args:
    patches: x, float32 [..., kh, kw, C].
    filters: K filters of that patch shape; unborn ones win nothing.
    threshold: tau. A patch whose best similarity is below it is counted in `num_below` and left
      to a new filter; the default sends every patch to its argmax filter.
    hold_below: send such a patch to its argmax filter all the same, and only count it.
    valid: bool [...], False for patches that do not count (filling of a last batch); they have to
      be finite all the same.
    chunk_size: patches at a time; by default as many as fit the cache.

  Returns:
    Additive statistics; see `Statistics`.

  Raises:
    ValueError: for arguments that are not as above, or do not fit each other.
  """
  filters = check_filters("filters", filters)
  patches = check_patches("patches", patches, filters)
  checks.scalar("threshold", threshold)
  if valid is not None and (
    getattr(valid, "dtype", None) != np.bool_ or valid.shape != patches.shape[:-3]
  ):
    given = f"{getattr(valid, 'dtype', type(valid).__name__)} {list(np.shape(valid))}"
    raise ValueError(f"valid: expected bool {list(patches.shape[:-3])}, got {given}")
  if chunk_size is not None:
    checks.integer("chunk_size", chunk_size, 1)
  return e_step_core(
    jnp.asarray(patches, jnp.float32),
    filters,
    threshold,
    valid,
    hold_below=bool(hold_below),
    chunk_size=chunk_size,
  )


@functools.partial(jax.jit, static_argnames=("hold_below", "chunk_size", "filter_axis"))
def e_step_core(
  patches: jax.Array,
  filters: Filters,
  threshold: float | jax.Array,
  valid: jax.Array | None,
  *,
  hold_below: bool,
  chunk_size: int | None,
  filter_axis: str | None = None,
) -> Statistics:
  """`e_step` of arrays that are known to be right: no value is looked at, nothing waits.

  Within `jax.shard_map` filters may be sharded over a mesh's axis: a patch counts on the device of
  its filter alone (`nsn_jax.filter_shards`).
  """
  d = filters.num_values
  flat = patches.reshape(-1, d)
  counted = jnp.ones(flat.shape[0], bool) if valid is None else valid.reshape(-1)
  projection = project(filters, filter_axis)
  zero = zero_statistics(filters)
  zero = zero._replace(
    residual_sum=zero.residual_sum.reshape(-1, d), center_sum=zero.center_sum.reshape(-1, d)
  )
  # Like the patches, so that under shard_map they vary over the mesh as the sums will.
  zero = jax.tree.map(lambda x: jnp.zeros_like(flat, x.dtype, x.shape), zero)

  def step(total: Statistics, chunk: tuple[jax.Array, jax.Array]) -> tuple[Statistics, None]:
    found = _chunk_statistics(*chunk, projection, tau, hold_below, filter_axis)
    return add_statistics(total, found), None

  tau = jnp.asarray(threshold, jnp.float32)
  chunks = _chunks(flat, counted, chunk_size or _chunk_size(d))
  total, _ = jax.lax.scan(step, zero, chunks)
  count = total.count[:, None, None, None]
  return total._replace(
    residual_sum=total.residual_sum.reshape(filters.mean.shape),
    center_sum=count * filters.mean,
  )


@functools.partial(jax.jit, static_argnames="chunk_size")
def assign(patches: jax.Array, filters: Filters, *, chunk_size: int | None = None) -> Assignment:
  """The E-step patch by patch: index, similarity and distance of the best filter, each [n].

  Args:
    patches: float32 [n, kh, kw, C].
    filters: K filters of that patch shape.
    chunk_size: patches at a time; by default as many as fit the cache.
  """
  flat = patches.reshape(patches.shape[0], -1)
  projection = project(filters)

  def one(chunk: jax.Array) -> Assignment:
    assignment, centred, lost = _chunk_assignment(chunk, projection)
    return jax.lax.cond(
      jnp.any(lost),
      lambda: _exact(assignment, centred, projection)[0],
      lambda: assignment,
    )

  chunks, _ = _chunks(flat, jnp.ones(flat.shape[0], bool), chunk_size or _chunk_size(flat.shape[1]))
  found = jax.lax.map(one, chunks)
  return jax.tree.map(lambda x: x.reshape(-1)[: flat.shape[0]], found)


def _m_step_one(
  count: jax.Array,
  residual_sum: jax.Array,
  center: jax.Array,
  square_sum: jax.Array,
  variance_floor: jax.typing.ArrayLike,
) -> tuple[jax.Array, jax.Array]:
  """Eq 2-3 for one filter: its mean [kh, kw, C] and variance []."""
  n = jnp.maximum(count, 1.0)
  shift = residual_sum / n
  variance = square_sum / n - jnp.sum(shift * shift)
  return center + shift, jnp.maximum(variance, variance_floor)


def m_step(
  statistics: Statistics,
  previous: Filters | None = None,
  variance_floor: jax.typing.ArrayLike = numerics.VARIANCE_FLOOR,
) -> Filters:
  """Mean and variance of each filter's patches, Eq 2-3, vmapped over filters.

      mu_j = mean(X_j)          v_j = mean ||x - mu_j||^2 over X_j, at least the floor

  Args:
    statistics: of one E-step, or the sum of several against the same filters.
    previous: those filters. A filter that holds no patch stays as it was. Without them such a
      filter comes back unborn: mean 0, variance +inf.
    variance_floor: least v_j; see `numerics.VARIANCE_FLOOR`.

  Returns:
    K filters.

  Raises:
    ValueError: for arguments that are not as above, or do not fit each other.
  """
  checks.instance("statistics", statistics, Statistics)
  sums = statistics.residual_sum
  shape = np.shape(sums) if previous is None else check_filters("previous", previous).mean.shape
  per_filter = (statistics.count, statistics.square_sum)
  if (
    len(shape) != 4
    or any(np.shape(x) != shape for x in (sums, statistics.center_sum))
    or any(np.shape(x) != shape[:1] for x in per_filter)
  ):
    raise ValueError(
      f"statistics: expected sums of shape {list(shape)} and {list(shape[:1])} counts, as of the "
      f"previous filters, got {[list(np.shape(x)) for x in (sums, *per_filter)]}"
    )
  checks.scalar("variance_floor", variance_floor, 0.0)
  return m_step_core(statistics, previous, variance_floor)


@jax.jit
def m_step_core(
  statistics: Statistics, previous: Filters | None, variance_floor: jax.typing.ArrayLike
) -> Filters:
  """`m_step` of statistics that are known to be right."""
  count = statistics.count
  if previous is None:
    n = jnp.maximum(count, 1.0)[:, None, None, None]
    center, variance = statistics.center_sum / n, jnp.full(count.shape, jnp.inf, jnp.float32)
  else:
    center, variance = previous.mean, previous.variance
  mean, found = jax.vmap(_m_step_one, in_axes=(0, 0, 0, 0, None))(
    count, statistics.residual_sum, center, statistics.square_sum, variance_floor
  )
  held = count > 0
  return Filters(
    mean=jnp.where(held[:, None, None, None], mean, center),
    variance=jnp.where(held, found, variance),
  )


def mean_similarity(statistics: Statistics) -> jax.Array:
  """Mean best similarity, the objective that EM raises: float32 []."""
  return statistics.similarity_sum / jnp.maximum(statistics.num_patches, 1)
