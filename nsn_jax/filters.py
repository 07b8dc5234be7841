"""Gaussian filters and their similarity to a patch (Eq 1)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks, numerics

__all__ = [
  "Factors",
  "Filters",
  "Projection",
  "check_filters",
  "check_patches",
  "feature_map",
  "project",
  "similarity",
]


class Factors(NamedTuple):
  """What varies within each of K filters: r directions, and the same variance in all others.

  A patch of filter j is N(mu_j, W_j^T W_j + psi_j I); see `nsn_jax.factors`. Loadings are kept in a
  basis of the layer, as those of 900 filters of 12,000 values would be hundreds of megabytes.

  Attributes:
    loading: W_j, float32 [K, r, B], rows at right angles.
    basis: orthonormal, float32 [B, kh, kw, C].
    rest: psi_j, float32 [K]: variance of each value outside of the loadings.
  """

  loading: jax.Array
  basis: jax.Array
  rest: jax.Array

  @property
  def rank(self) -> int:
    """Number r of factors."""
    return self.loading.shape[1]


class Filters(NamedTuple):
  """The K filters of one layer.

  A variance of +inf marks an unborn filter: its similarity to anything is -inf, so it wins no
  patch and its feature is 0. Growth keeps a bank of fixed size that way without a mask.

  Attributes:
    mean: `mu_j`, float32 [K, kh, kw, C].
    variance: `v_j = sigma_j**2`, float32 [K]: the mean over a filter's patches of the *whole*
      squared distance, summed over the D = kh*kw*C values, not averaged.
    factors: what varies within them, for the sampler; None for the paper's filters, of rank 0.
  """

  mean: jax.Array
  variance: jax.Array
  factors: Factors | None = None

  @property
  def num_filters(self) -> int:
    """K, unborn filters included."""
    return self.mean.shape[0]

  @property
  def num_values(self) -> int:
    """D = kh*kw*C, the number of values of a patch."""
    return math.prod(self.mean.shape[1:])


def check_filters(name: str, filters: Any) -> Filters:
  """The filters, in native byte order.

  Raises:
    ValueError: for what is not at least one filter whose arrays belong together. Inside jit shapes
      and dtypes are checked; outside also that means are finite and variances above 0, where +inf
      is an unborn filter's.
  """
  checks.instance(name, filters, Filters)
  filters = Filters(
    checks.floats(f"{name}.mean", filters.mean, "K, kh, kw, C"),
    checks.floats(f"{name}.variance", filters.variance, "K"),
    filters.factors,
  )
  if 0 in filters.mean.shape or filters.mean.shape[:1] != filters.variance.shape:
    raise ValueError(
      f"{name}: expected means [K, kh, kw, C] and variances [K] of at least one filter, got "
      f"{tuple(filters.mean.shape)} and {tuple(filters.variance.shape)}"
    )
  if checks.concrete(filters.mean) and checks.concrete(filters.variance):
    checks.extent(f"{name}.mean", filters.mean)
    variance = np.asarray(filters.variance)
    if not (variance > 0).all():  # Written so that NaN fails.
      raise ValueError(f"{name}.variance: expected numbers above 0, got {variance.min()}")
  if filters.factors is None:
    return filters
  return filters._replace(factors=_check_factors(f"{name}.factors", filters))


def _check_factors(name: str, filters: Filters) -> Factors:
  """The factors of checked filters, in native byte order."""
  checks.instance(name, filters.factors, Factors)
  loading, basis, rest = filters.factors  # type: ignore[misc]
  factors = Factors(
    checks.floats(f"{name}.loading", loading, "K, r, B"),
    checks.floats(f"{name}.basis", basis, "B, kh, kw, C"),
    checks.floats(f"{name}.rest", rest, "K"),
  )
  k, size = filters.num_filters, factors.basis.shape[0]
  window = filters.mean.shape[1:]
  if (
    factors.loading.shape != (k, factors.rank, size)
    or factors.basis.shape != (size, *window)
    or factors.rest.shape != (k,)
    or not 0 < factors.rank <= size <= filters.num_values
  ):
    raise ValueError(
      f"{name}: expected loadings [{k}, r, B] of rank r from 1 to B, a basis "
      f"[B, {', '.join(map(str, window))}] of at most {filters.num_values}, and rests [{k}], got "
      f"{[tuple(x.shape) for x in factors]}"
    )
  if all(checks.concrete(x) for x in factors):
    checks.extent(f"{name}.loading", factors.loading)
    checks.extent(f"{name}.basis", factors.basis)
    if not (np.asarray(factors.rest) > 0).all() or not np.isfinite(factors.rest).all():
      raise ValueError(f"{name}.rest: expected finite numbers above 0, got others")
  return factors


def check_patches(name: str, patches: Any, filters: Filters) -> Any:
  """The patches, in native byte order.

  Raises:
    ValueError: unless they are a float array [..., kh, kw, C] of the filters' window, finite where
      values can be looked at.
  """
  window = tuple(filters.mean.shape[1:])
  layout = f"..., {', '.join(map(str, window))}"
  patches = checks.floats(name, patches, layout)
  if tuple(patches.shape[-3:]) != window:
    raise ValueError(
      f"{name}: expected [{layout}] as the filters' means are, got shape {tuple(patches.shape)}"
    )
  if checks.concrete(patches) and 0 not in patches.shape:
    checks.extent(name, patches)
  return patches


class Projection(NamedTuple):
  """Eq 1 as an affine map of a centred patch and its squared norm.

  With y = x - center and m_j = mu_j - center,
  s_j = y @ (m_j / v_j) - ||y||^2 / (2 v_j) - (||m_j||^2 / v_j + log v_j) / 2.

  Attributes:
    center: [D], the mean of the born filters' means. Distances do not change with it, but the
      norms that they are differences of are smaller about it, so float32 keeps more digits.
    mean: m_j, [K, D].
    weight: m_j / v_j, [K, D].
    half_precision: 1 / (2 v_j), [K].
    bias: -(||m_j||^2 / v_j + log v_j) / 2, [K]; -inf where unborn.
  """

  center: jax.Array
  mean: jax.Array
  weight: jax.Array
  half_precision: jax.Array
  bias: jax.Array


def project(filters: Filters, axis: str | None = None) -> Projection:
  """Prepares filters for many patches; see `Projection`.

  Within `jax.shard_map` filters may be sharded over a mesh's axis; all of them have one centre.
  """
  k = filters.num_filters
  flat = filters.mean.reshape(k, -1)
  born = jnp.isfinite(filters.variance)
  count = jnp.sum(born)
  if axis is not None:
    count = jax.lax.psum(count, axis)
  # As `numerics.column_means`, of the born ones.
  share = jnp.full(k, 1.0 / jnp.maximum(count, 1))
  center = numerics.column_sums(jnp.where(born[:, None], flat, 0.0), share)
  if axis is not None:
    center = jax.lax.psum(center, axis)
  mean = flat - center
  precision = 1.0 / filters.variance
  bias = -0.5 * (jnp.sum(mean * mean, axis=1) * precision + jnp.log(filters.variance))
  return Projection(center, mean, mean * precision[:, None], 0.5 * precision, bias)


def similarity(patches: jax.Array, filters: Filters) -> jax.Array:
  """Similarity of patches to filters, Eq 1.

      s_j(x) = -||x - mu_j||^2 / (2 v_j) - log(v_j) / 2

  Up to a constant of D alone it is 1/D times the log-density of N(mu_j, (v_j/D) I), so its argmax
  is the maximum-likelihood filter.

  Computed as a matrix product about the filters' centre, never as differences: float32 then errs
  by about 2**-23 * (||x||^2 + ||mu_j||^2) / v_j, norms about that centre.

  Args:
    patches: x, float32 [..., kh, kw, C].
    filters: `mu_j` [K, kh, kw, C] and `v_j` [K].

  Returns:
    s_j, float32 [..., K], unbounded; -inf for unborn filters.

  Raises:
    ValueError: for filters or patches that are not as above, or do not fit each other.

  >>> one = Filters(mean=jnp.ones([1, 1, 1, 2]), variance=jnp.ones([1]))
  >>> float(similarity(jnp.zeros([1, 1, 2]), one)[0])
  -1.0
  """
  filters = check_filters("filters", filters)
  patches = check_patches("patches", patches, filters)
  patches = jnp.asarray(patches, jnp.float32)
  projection = project(filters)
  centred = patches.reshape(-1, filters.num_values) - projection.center
  product = jnp.dot(centred, projection.weight.T, precision=numerics.PRECISION)
  square = numerics.unfused(jnp.sum(centred * centred, axis=1, keepdims=True))
  s = numerics.unfused(product) - square * projection.half_precision + projection.bias
  return s.reshape(*patches.shape[:-3], filters.num_filters)


def feature_map(patches: jax.Array, filters: Filters) -> jax.Array:
  """Layer output h_j = sigmoid(s_j), one channel a filter, of Eq 1's s_j.

  Args:
    patches: float32 [N, h, w, kh, kw, C].
    filters: K filters of that patch shape.

  Returns:
    float32 [N, h, w, K] in [0, 1]; 0 where a tight filter is far away.
  """
  return jax.nn.sigmoid(similarity(patches, filters))
