"""What a decoder sees of a feature map at each position: some directions of it and its neighbours.

Fitted on some maps, without what is to be decoded. None of this is in the paper.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from nsn_jax import numerics
from nsn_jax.range_finder import range_finder

__all__ = ["Features", "at_positions", "features", "fit_features", "neighbours"]

#: Similarities are clipped so far from 0 and 1 before their logits are taken: what is further away
#: is a distance that float32, and the sampler, know little of.
_CLIP = 1e-4
#: Directions asked for beyond those that are kept, which makes these better.
_OVERSAMPLING = 16


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["center", "projection", "position"],
  meta_fields=["context", "logits"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Features:
  """What a decoder sees of a feature map at a position: F numbers of unit variance.

  Where a decoder's maps have the projection in them (`nsn_jax.decoders.folded`), it sees the P
  values themselves.

  Attributes:
    center: mean of the values, float32 [P], P = context^2 M; without a projection of the values of
      one position, [M].
    projection: of the centred values, float32 [P, F]; None for the values themselves, F = P.
    context: positions a side that are seen, odd: 1 for the position alone. Beyond the border the
      border is repeated.
    logits: whether log(h / (1 - h)), clipped, is seen in place of h.
    position: what is seen of each position before it stands beside its neighbours, float32 [K, M],
      as many neighbours of hundreds of similarities are most of a sample's work; None for all, M =
      K.
  """

  center: jax.Array
  projection: jax.Array | None
  context: int
  logits: bool
  position: jax.Array | None = None


def _of_position(feature_map: jax.Array, position: jax.Array | None, logits: bool) -> jax.Array:
  """Similarities or their logits, or some directions of them: [N, h, w, K] to [N, h, w, M]."""
  values = feature_map
  if logits:
    clipped = jnp.clip(feature_map, _CLIP, 1.0 - _CLIP)
    values = jnp.log(clipped) - jnp.log1p(-clipped)
  return values if position is None else jnp.dot(values, position, precision=numerics.PRECISION)


def _with_neighbours(values: jax.Array, context: int) -> jax.Array:
  """Values of each position and its neighbours: [N, h, w, M] to [N, h, w, context^2 M]."""
  if context == 1:
    return values
  h, w = values.shape[1:3]
  reach = context // 2
  padded = jnp.pad(values, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
  parts = [padded[:, i : i + h, j : j + w] for i in range(context) for j in range(context)]
  return jnp.concatenate(parts, axis=-1)


def fit_features(
  key: jax.Array,
  feature_maps: jax.Array,
  *,
  context: int,
  logits: bool,
  size: int,
  most: int | None = None,
) -> Features:
  """The leading directions of some feature maps, each scaled to unit variance. On the host.

  Args:
    key: PRNG key.
    feature_maps: float32 [N, h, w, K].
    context: positions a side.
    logits: of the similarities, or these themselves.
    size: F, at most context^2 M and N h w.
    most: where neighbours are seen, M, leading directions that are kept of each position, if K is
      more; None for all.
  """
  position = None
  count, k = math.prod(feature_maps.shape[:3]), feature_maps.shape[3]
  if context > 1 and most is not None and most < min(count, k):
    about = _about_mean(feature_maps, None, context=1, logits=logits)[0]
    more = min(most + _OVERSAMPLING, count, k)
    position = range_finder(jax.random.fold_in(key, 1), about, size=more)[0][:most].T
  about, center = _about_mean(feature_maps, position, context=context, logits=logits)
  size_found = min(size + _OVERSAMPLING, *about.shape)
  directions, power = range_finder(key, about, size=size_found)
  projection = _scaled(directions, power, about, center, size=size)
  return Features(center, projection, context, logits, position)


@functools.partial(jax.jit, static_argnames=("context", "logits"))
def _about_mean(
  feature_maps: jax.Array, position: jax.Array | None, *, context: int, logits: bool
) -> tuple[jax.Array, jax.Array]:
  """What each position sees about its mean, [n, context^2 M], and the mean."""
  values = _with_neighbours(_of_position(feature_maps, position, logits), context)
  rows = values.reshape(-1, values.shape[-1])
  center = numerics.column_means(rows)
  return rows - center, center


@functools.partial(jax.jit, static_argnames="size")
def _scaled(
  directions: jax.Array, power: jax.Array, about: jax.Array, center: jax.Array, *, size: int
) -> jax.Array:
  """Directions [context^2 M, F], each over its deviation."""
  deviation = jnp.sqrt(power[:size] / about.shape[0])
  # A direction of no variance, but for float32's rounding, is no feature.
  largest = jnp.max(jnp.abs(about + center))
  least = jnp.maximum(1e-4 * deviation[0], 1e-5 * largest)
  inverse = jnp.where(deviation > least, 1.0 / jnp.maximum(deviation, least), 0.0)
  return directions[:size].T * inverse


@jax.jit
def features(feature_map: jax.Array, of: Features) -> jax.Array:
  """Features of each position: [N, h, w, K] to float32 [N, h, w, F]."""
  if of.projection is None:
    return _with_neighbours(at_positions(feature_map, of), of.context)
  values = _of_position(feature_map, of.position, of.logits)
  values = _with_neighbours(values, of.context) - of.center
  return jnp.dot(values, of.projection, precision=numerics.PRECISION)


def at_positions(feature_map: jax.Array, of: Features) -> jax.Array:
  """What features without a projection see of each position alone: [N, h, w, K] to [N, h, w, M]."""
  assert of.projection is None
  return _of_position(feature_map, of.position, of.logits) - of.center


def neighbours(shape: tuple[int, ...], context: int) -> jax.Array:
  """Numbers of the positions that each one sees, of maps [N, h, w]: int32 [N h w, context^2].

  They are in the order in which `features` has them; beyond the border it is the border's.
  """
  count, h, w = shape
  reach = jnp.arange(context, dtype=jnp.int32) - context // 2
  y, x = (jnp.clip(jnp.arange(side)[:, None] + reach, 0, side - 1) for side in (h, w))
  within = y[:, None, :, None] * w + x[None, :, None, :]
  first = jnp.arange(count, dtype=jnp.int32)[:, None, None] * (h * w)
  return (first + within.reshape(h * w, context**2)).reshape(-1, context**2)
