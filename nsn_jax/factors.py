"""Factor filters: what varies within a filter, as a few directions (Tipping & Bishop 1999).

A filter of rank r is the Gaussian N(mu_j, W_j^T W_j + psi_j I) of its patches: r loadings W_j,
[r, D], along their leading principal directions, and the variance psi_j a value of the rest. With
lambda_i the leading eigenvalues of the patches' covariance about mu_j, and u_i its eigenvectors,
the maximum likelihood is in closed form

    psi_j = (v_j - sum_i lambda_i) / (D - r)          W_j,i = sqrt(lambda_i - psi_j) u_i

Patches are assigned by Eq 1 as before. The paper's filters have rank 0; with factors the sampler
draws `mu_j + u W_j`, u ~ N(0, I), where it drew `mu_j`. Where filters hold few patches, covariances
may lean on that of all (`nsn_jax.pooling`). Mixtures of factor analysers: Ghahramani & Hinton 1996;
Richardson & Weiss 2018.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import em, numerics
from nsn_jax.filters import Factors, Filters
from nsn_jax.grouped import sum_products_by_group
from nsn_jax.range_finder import range_finder

__all__ = [
  "Coordinates",
  "Kept",
  "Moments",
  "along_basis",
  "coordinates",
  "fit_factors",
  "from_kept",
  "keep",
  "leading_directions",
  "moments",
  "reconstruct",
  "residuals",
]

#: Vectors beyond the rank, and steps, of the subspace iteration.
_OVERSAMPLING, _ITERATIONS = 8, 24
#: Share of the directions up to which it is faster than all eigenvectors: of a thousand matrices of
#: 256, eight take a hundredth of their time, and 64 six times as long.
_FEW = 1 / 8


class Moments(NamedTuple):
  """Sums over patches, each about the mean of its filter (Eq 1's argmax). Additive.

  Attributes:
    count: patches of each filter, float32 [K].
    second: sum of c c^T of their residuals' coordinates c, float32 [K, B, B].
    square: sum of the residuals' whole squared norms, float32 [K].
  """

  count: jax.Array  # type: ignore[assignment]  # hides tuple.count, which nobody needs
  second: jax.Array
  square: jax.Array


def leading_directions(key: jax.Array, residual: jax.Array, most: int) -> jax.Array:
  """Orthonormal directions in which patches leave what they are compared with, leading first.

  Args:
    key: PRNG key.
    residual: patches about a mean, float32 [n, kh, kw, C].
    most: directions.

  Returns:
    float32 [B, kh, kw, C], B = D for patches of few values.
  """
  n, *window = residual.shape
  d = math.prod(window)
  size = min(most, d, n)
  if size == d:
    return jnp.asarray(np.eye(d, dtype=np.float32).reshape(d, *window))
  found, _ = range_finder(key, residual.reshape(n, d), size=size)
  return found.reshape(size, *window)


@jax.jit
def residuals(patches: jax.Array, filters: Filters) -> tuple[jax.Array, jax.Array]:
  """Filter of each patch by Eq 1, [n], and the patch about its mean, [n, kh, kw, C]."""
  index = em.assign(patches, filters).index
  return index, patches - filters.mean[index]


def along_basis(residual: jax.Array, basis: jax.Array) -> jax.Array:
  """Coordinates [n, B] of patches about a mean, [n, kh, kw, C]."""
  n, size = residual.shape[0], basis.shape[0]
  return jnp.dot(residual.reshape(n, -1), basis.reshape(size, -1).T, precision=numerics.PRECISION)


class Coordinates(NamedTuple):
  """Patches about their filters' means.

  Attributes:
    index: filter of each patch by Eq 1, int32 [n].
    along: coordinates c of the residual in the layer's basis, float32 [n, B].
    square: the residual's whole squared norm, float32 [n].
  """

  index: jax.Array  # type: ignore[assignment]  # hides tuple.index, which nobody needs
  along: jax.Array
  square: jax.Array


@jax.jit
def coordinates(patches: jax.Array, filters: Filters, basis: jax.Array) -> Coordinates:
  """Coordinates of patches [n, kh, kw, C] about their filters' means, in a basis [B, kh, kw, C]."""
  index, residual = residuals(patches, filters)
  square = jnp.sum(residual * residual, axis=(1, 2, 3))
  return Coordinates(index, along_basis(residual, basis), square)


@functools.partial(jax.jit, static_argnames="num_filters")
def moments(found: Coordinates, *, num_filters: int) -> Moments:
  """Second moments of patches; those whose index is `num_filters` do not count."""
  index, along, square = found
  return Moments(
    em.sum_by_filter(jnp.ones_like(square), index, num_filters),
    sum_products_by_group(index, along, along, num_groups=num_filters),
    em.sum_by_filter(square, index, num_filters),
  )


def _leading_eigenpairs(matrices: jax.Array, rank: int) -> tuple[jax.Array, jax.Array]:
  """The largest eigenvalues [K, r] of positive matrices [K, B, B], and their vectors [K, r, B].

  Of a few: subspace iteration with some vectors more, then Rayleigh-Ritz.
  """
  dot = functools.partial(jnp.matmul, precision=numerics.PRECISION)
  if rank > _FEW * matrices.shape[-1]:
    power, turn = jnp.linalg.eigh(matrices)
    vectors = jnp.swapaxes(turn, 1, 2)[:, ::-1]
    return jnp.maximum(power[:, ::-1][:, :rank], 0.0), vectors[:, :rank]
  size = min(rank + _OVERSAMPLING, matrices.shape[-1])
  # Any start that is at right angles to no eigenvector will do; always the same one.
  start = jax.random.normal(jax.random.key(0), (matrices.shape[-1], size), jnp.float32)
  q = jnp.broadcast_to(start, (len(matrices), *start.shape))

  def step(_: int, q: jax.Array) -> jax.Array:
    return jnp.linalg.qr(dot(matrices, q))[0]

  q = jax.lax.fori_loop(0, _ITERATIONS, step, jnp.linalg.qr(q)[0])
  power, turn = jnp.linalg.eigh(dot(jnp.swapaxes(q, 1, 2), dot(matrices, q)))
  vectors = jnp.swapaxes(dot(q, turn), 1, 2)[:, ::-1]
  return jnp.maximum(power[:, ::-1][:, :rank], 0.0), vectors[:, :rank]


@functools.partial(jax.jit, static_argnames="rank")
def fit_factors(found: Moments, basis: jax.Array, *, rank: int) -> Factors:
  """The maximum-likelihood loadings and rest of each filter; see this module.

  A filter of fewer than two patches has loadings of 0. Rests are at least the variance floor's
  share, so that densities are finite.

  Args:
    found: of all patches.
    basis: orthonormal [B, kh, kw, C].
    rank: r, below D and at most B.
  """
  d = math.prod(basis.shape[1:])
  n = jnp.maximum(found.count, 1.0)
  power, vectors = _leading_eigenpairs(found.second / n[:, None, None], rank)
  rest = (found.square / n - jnp.sum(power, axis=1)) / max(d - rank, 1)
  rest = jnp.maximum(rest, numerics.VARIANCE_FLOOR / d)
  length = jnp.sqrt(jnp.maximum(power - rest[:, None], 0.0))
  # An eigenvector's sign is the library's choice: the largest part is made positive.
  largest = jnp.take_along_axis(vectors, jnp.argmax(jnp.abs(vectors), -1)[..., None], -1)
  return Factors(length[..., None] * jnp.sign(largest) * vectors, basis, rest)


class Kept(NamedTuple):
  """What filters keep of patches, in few numbers: `from_kept` makes patches of them again.

  Attributes:
    index: filter of each patch by Eq 1, int32 [n].
    along: what is kept of the residual, in the factors' basis, float32 [n, B]; None of filters
      without factors.
  """

  index: jax.Array  # type: ignore[assignment]  # hides tuple.index, which nobody needs
  along: jax.Array | None


@jax.jit
def keep(patches: jax.Array, filters: Filters) -> Kept:
  """What the filters keep of patches: which one each goes to, and its factors' posterior mean.

      E[u | x] W_j        E[u | x] = (W_j W_j^T + psi_j I)^-1 W_j (x - mu_j)

  Args:
    patches: x, float32 [n, kh, kw, C].
    filters: K filters, with factors or without.
  """
  index, residual = residuals(patches, filters)
  if filters.factors is None:
    return Kept(index, None)
  loading, basis, rest = filters.factors
  along = along_basis(residual, basis)
  own = loading[index]
  # Loadings are at right angles, so that the posterior is one number a factor.
  length = jnp.sum(own * own, axis=-1)
  score = jnp.einsum("nrb,nb->nr", own, along, precision=numerics.PRECISION)
  score = score / (length + rest[index][:, None])
  return Kept(index, jnp.einsum("nr,nrb->nb", score, own, precision=numerics.PRECISION))


@jax.jit
def from_kept(kept: Kept, filters: Filters) -> jax.Array:
  """Patches of what `keep` kept of them, mu_j + E[u | x] W_j: float32 [n, kh, kw, C]."""
  mean = filters.mean[kept.index]
  if filters.factors is None or kept.along is None:
    return mean
  return mean + jnp.tensordot(kept.along, filters.factors.basis, 1, precision=numerics.PRECISION)


def reconstruct(patches: jax.Array, filters: Filters) -> jax.Array:
  """What is left of patches once filters kept them: [n, kh, kw, C] to float32 [n, kh, kw, C]."""
  return from_kept(keep(patches, filters), filters)
