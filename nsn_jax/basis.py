"""Coordinates of patches in a basis of their layer: distances of thousands of values in hundreds.

The patches of an upper layer hardly leave a few hundred directions of their D = kh*kw*C. These are
found by a randomised range finder; what lies outside of them is kept as a few random projections,
scaled so that squared distances are right in the mean (Johnson & Lindenstrauss 1984). Growth and
most EM iterations run on the coordinates; the last pass of a layer is on the patches themselves.
The paper has no need of this, and it changes nothing but the time: see `Basis`.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import numerics
from nsn_jax.filters import Filters
from nsn_jax.range_finder import range_finder

__all__ = ["LEAST_VALUES", "NUM_PATCHES", "Basis", "coordinates", "find_basis", "lift"]

#: Patches that a basis is found of, at most.
NUM_PATCHES = 4096
#: Random projections of what is outside of the leading directions. Distances there err by
#: sqrt(2 / 64) = 18%, and are a few percent of the whole.
_NUM_RANDOM = 64
#: Leading directions: most of them, and in steps of how many.
_MOST, _STEP = 1024, 64
#: Share of the patches' variance that may lie outside of the leading directions. Distances within a
#: filter are about a third of those between any two patches, so that they err by 0.18 * 3 * 1%.
_OUTSIDE = 0.01
#: Coordinates have to be fewer than the values by this factor, or are not worth it.
_WORTH = 1.5
#: Patches of fewer values have no basis.
LEAST_VALUES = int(_WORTH * (_STEP + _NUM_RANDOM))


class Basis(NamedTuple):
  """Where patches are looked at as M coordinates instead of D values.

  Squared distances of coordinates are those of the patches within 0.5%, standard deviation, for
  patches as near as those of one filter.

  Attributes:
    center: the patches' mean, float32 [kh, kw, C].
    vectors: orthonormal, float32 [M, kh, kw, C]: the leading directions, then random ones.
    scale: of each coordinate, float32 [M]: 1 for the leading directions, sqrt((D - B) / R) for the
      R random ones, which stand for all D - B others.
  """

  center: jax.Array
  vectors: jax.Array
  scale: jax.Array


@jax.jit
def _random_outside(key: jax.Array, columns: jax.Array, leading: jax.Array) -> jax.Array:
  """Orthonormal random directions [R, D], at right angles to the leading ones [B, D]."""
  dot = functools.partial(jnp.dot, precision=numerics.PRECISION)
  draws = jax.random.normal(key, (leading.shape[1], _NUM_RANDOM), jnp.float32)
  for _ in range(2):  # Once leaves rounding errors along the leading ones.
    draws = jnp.linalg.qr(draws - dot(columns, dot(leading, draws)))[0]
  return draws.T


def find_basis(key: jax.Array, patches: jax.Array) -> Basis | None:
  """Finds the basis of a layer from some of its patches. On the host, as their number is found.

  Args:
    key: PRNG key.
    patches: float32 [n, kh, kw, C]; of more than `NUM_PATCHES` the first ones count.

  Returns:
    The basis, or None where coordinates would not be worth it: patches of few values, or that
    leave every few directions.
  """
  window = patches.shape[1:]
  num_values = math.prod(window)
  flat = patches[:NUM_PATCHES].reshape(-1, num_values)
  most = min(_MOST, flat.shape[0] // 2, int(num_values / _WORTH) - _NUM_RANDOM) // _STEP * _STEP
  if most < _STEP:
    return None
  center = numerics.column_means(flat)
  range_key, random_key = jax.random.split(key)
  flat = flat - center
  leading, power = range_finder(range_key, flat, size=most)
  total = max(float(np.sum(numerics.column_sums(flat * flat))), np.finfo(float).tiny)
  inside = np.cumsum(np.asarray(power, np.float64)) / total
  enough = np.flatnonzero(inside[_STEP - 1 :: _STEP] >= 1.0 - _OUTSIDE)
  if not enough.size:
    return None
  size = _STEP * (int(enough[0]) + 1)
  leading = leading[:size]
  vectors = jnp.concatenate([leading, _random_outside(random_key, leading.T, leading)])
  scale = np.ones(size + _NUM_RANDOM, np.float32)
  scale[size:] = math.sqrt((num_values - size) / _NUM_RANDOM)
  return Basis(center.reshape(window), vectors.reshape(-1, *window), jnp.asarray(scale))


@jax.jit
def coordinates(patches: jax.Array, basis: Basis) -> jax.Array:
  """Coordinates of patches [n, kh, kw, C]: float32 [n, 1, 1, M], patches of one position."""
  size = basis.scale.size
  flat = (patches - basis.center).reshape(patches.shape[0], -1)
  along = jnp.dot(flat, basis.vectors.reshape(size, -1).T, precision=numerics.PRECISION)
  return (along * basis.scale).reshape(-1, 1, 1, size)


@jax.jit
def lift(filters: Filters, basis: Basis) -> Filters:
  """Filters over coordinates as filters over patches: what lies outside of the basis is missing.

  Of the random directions a mean has too little to be worth more than its noise, so that a pass of
  EM over the patches has to follow.
  """
  inside = jnp.where(basis.scale == 1.0, filters.mean.reshape(filters.num_filters, -1), 0.0)
  mean = jnp.tensordot(inside, basis.vectors, 1, precision=numerics.PRECISION)
  return filters._replace(mean=basis.center + mean)
