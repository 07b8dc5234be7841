"""Decoders in closed form: from a layer's feature map to the patches below it.

The sampler of the paper decodes a position by one drawn filter's mean (Eq 4-5), and so throws away
most of what the position's K similarities know. A decoder keeps more, by ridge regression:

- *linear*: one map for all, from features of the similarities to the patch. Fitted on real images'
  maps it is *exact*: K distances to known points determine a patch of D < K values.
- *corrected*: the filter is drawn as before, and its mean moved by a small linear map, fitted on
  the patches that are the filter's by Eq 1. Strokes stay all or nothing, and their edges meet.
  Where a filter has few, its map leans on one that is common to all.

A decoder that the sampler uses is fitted on what it will be *fed*: not real maps, but those that
the layers above decode to. None of this is in the paper. Sums are additive over images; one solve
an expert ends it.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks, numerics
from nsn_jax.decoder_features import Features, at_positions, features, neighbours
from nsn_jax.factors import along_basis, residuals
from nsn_jax.filters import Filters
from nsn_jax.grouped import apply_by_group, sum_products_by_group

__all__ = [
  "Decoder",
  "DecoderSums",
  "check_decoder",
  "corrections",
  "decoder_sums",
  "folded",
  "from_coordinates",
  "linear_patches",
  "seen_by",
  "solve_decoder",
]

#: Patches that the ridge counts beyond an expert's own: with fewer, what it sees moves it little.
_PRIOR_PATCHES = 100.0


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["features", "mean", "basis", "bias", "weight"],
  meta_fields=[],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Decoder:
  """patch = start + (bias_e + features @ weight_e) @ basis, of expert e.

  A linear decoder has one expert and starts at the mean patch; a corrected one has an expert a
  filter, the drawn one, and starts at its mean.

  Attributes:
    features: of the feature map.
    mean: the mean patch, float32 [kh, kw, C]; None for a corrected decoder.
    basis: orthonormal directions of the patch, float32 [B, kh, kw, C].
    bias: float32 [E, B].
    weight: float32 [E, F, B].
  """

  features: Features
  mean: jax.Array | None
  basis: jax.Array
  bias: jax.Array
  weight: jax.Array

  @property
  def kind(self) -> str:
    """Either "linear" or "corrected"."""
    return "corrected" if self.mean is None else "linear"


def check_decoder(name: str, decoder: Decoder, filters: Filters) -> None:
  """Raises ValueError unless a decoder's arrays belong together, and to a layer's filters."""
  checks.instance(name, decoder, Decoder)
  of, window = decoder.features, tuple(filters.mean.shape[1:])
  if not (isinstance(of.context, int) and of.context > 0 and of.context % 2):
    raise ValueError(f"{name}.features.context: expected an odd number, got {of.context!r}")
  k = filters.num_filters
  kept = k if of.position is None else of.position.shape[-1]
  seen, size = of.context**2 * kept, decoder.basis.shape[0]
  num_features = seen if of.projection is None else of.projection.shape[-1]
  experts = k if decoder.mean is None else 1
  expected = {
    "features.center": (of.center, (kept if of.projection is None else seen,)),
    "features.projection": (of.projection, (seen, num_features)),
    "features.position": (of.position, (k, kept)),
    "mean": (decoder.mean, window),
    "basis": (decoder.basis, (size, *window)),
    "bias": (decoder.bias, (experts, size)),
    "weight": (decoder.weight, (experts, num_features, size)),
  }
  for field, (value, shape) in expected.items():
    if value is not None and tuple(value.shape) != shape:
      raise ValueError(f"{name}.{field}: expected shape {list(shape)}, got {list(value.shape)}")


class DecoderSums(NamedTuple):
  """Sums over positions. Additive.

  Attributes:
    gram: of features and a 1, float32 [E, F + 1, F + 1].
    cross: of these with the patch's coordinates about the start, float32 [E, F + 1, B].
  """

  gram: jax.Array
  cross: jax.Array


def _with_one(values: jax.Array) -> jax.Array:
  return jnp.concatenate([values, jnp.ones_like(values[..., :1])], axis=-1)


def decoder_sums(
  seen: jax.Array,
  patches: jax.Array,
  basis: jax.Array,
  start: Filters | jax.Array,
) -> DecoderSums:
  """Sums over all positions of a batch.

  Args:
    seen: features of what the decoder is fed, float32 [N, h, w, F].
    patches: what is truly below, float32 [N, h, w, kh, kw, C].
    basis: orthonormal [B, kh, kw, C].
    start: the layer's filters, for a corrected decoder: each patch counts for its own (Eq 1); or
      the mean patch, for a linear one.
  """
  if isinstance(start, Filters):
    return _corrected_sums(seen, patches, basis, start)
  rows, along = _linear_rows(seen, patches, basis, start)
  return _linear_sums(rows.T, rows, along)  # transposed by a program of its own: `nsn_jax.threads`


@jax.jit
def _corrected_sums(
  seen: jax.Array, patches: jax.Array, basis: jax.Array, start: Filters
) -> DecoderSums:
  rows = patches.reshape(-1, *patches.shape[3:])
  seen = _with_one(seen).reshape(rows.shape[0], -1)
  index, residual = residuals(rows, start)
  both = jnp.concatenate([seen, along_basis(residual, basis)], axis=1)
  sums = sum_products_by_group(index, seen, both, num_groups=start.num_filters)
  return DecoderSums(sums[..., : seen.shape[1]], sums[..., seen.shape[1] :])


@jax.jit
def _linear_rows(
  seen: jax.Array, patches: jax.Array, basis: jax.Array, mean: jax.Array
) -> tuple[jax.Array, jax.Array]:
  rows = patches.reshape(-1, *patches.shape[3:])
  return _with_one(seen).reshape(rows.shape[0], -1), along_basis(rows - mean, basis)


@jax.jit
def _linear_sums(columns: jax.Array, rows: jax.Array, along: jax.Array) -> DecoderSums:
  dot = functools.partial(jnp.dot, precision=numerics.PRECISION)
  return DecoderSums(dot(columns, rows)[None], dot(columns, along)[None])


@jax.jit
def solve_decoder(
  sums: DecoderSums, ridge: jax.typing.ArrayLike, common: jax.typing.ArrayLike = 0.0
) -> tuple[jax.Array, jax.Array]:
  """Bias [E, B] and weight [E, F, B] of least squares with a ridge, and with all experts' help.

  Alone, a map of F features from a few hundred patches follows their noise. So each counts some
  patches more that are like all experts' together, each about its own mean: the map leans on one
  of all, its bias on nobody's. None of this is in the paper.

  Args:
    sums: over all positions.
    ridge: at features of unit variance, as a share of an expert's patches and of a hundred more.
    common: patches like all experts' that each counts.
  """
  gram, cross = sums.gram[:, :-1, :-1], sums.cross[:, :-1]
  count, seen, along = sums.gram[:, -1, -1], sums.gram[:, :-1, -1], sums.cross[:, -1]
  # One patch more, at the features' mean and the expert's start, for those that have none.
  share = 1.0 / (count[:, None] + 1.0)
  gram = gram - (share * seen)[:, :, None] * seen[:, None]
  cross = cross - (share * seen)[:, :, None] * along[:, None]
  more = common / jnp.maximum(jnp.sum(count), 1.0)
  gram, cross = gram + more * jnp.sum(gram, axis=0), cross + more * jnp.sum(cross, axis=0)
  penalty = ridge * (count + _PRIOR_PATCHES)
  gram = gram + penalty[:, None, None] * jnp.eye(gram.shape[-1], dtype=jnp.float32)
  weight = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(gram), True), cross)
  bias = share * (along - jnp.einsum("ef,efb->eb", seen, weight, precision=numerics.PRECISION))
  return bias, weight


def folded(decoder: Decoder) -> Decoder:
  """The same decoder with the projection in its maps, where this takes fewer multiplications.

  A filter's own map of F features speaks of B directions, and of a small window these are fewer:
  from P values of a position and its neighbours to B of the patch is less than by way of F.

  Args:
    decoder: as it was fitted.
  """
  of = decoder.features
  if of.projection is None:
    return decoder
  (seen, num_features), size = of.projection.shape, decoder.basis.shape[0]
  if seen * size >= num_features * (seen + size):
    return decoder
  # One mean for each position, whatever its place among the neighbours; what is left of theirs goes
  # into the bias.
  around = np.asarray(of.center, np.float64).reshape(of.context**2, -1)
  center = around.mean(axis=0)
  rest = (center - around).ravel() @ np.asarray(of.projection, np.float64)
  rows = jnp.concatenate([of.projection, jnp.asarray(rest, jnp.float32)[None]])
  maps = _times_each(rows, decoder.weight)
  return dataclasses.replace(
    decoder,
    features=dataclasses.replace(of, center=jnp.asarray(center, jnp.float32), projection=None),
    bias=decoder.bias + maps[:, -1],
    weight=maps[:, :-1],
  )


@jax.jit
def _times_each(rows: jax.Array, weight: jax.Array) -> jax.Array:
  """Rows [P, F] times each expert's map, [E, P, B]; one by one, as in `nsn_jax.threads`."""
  return jax.lax.map(lambda each: jnp.dot(rows, each, precision=numerics.PRECISION), weight)


def linear_patches(feature_map: jax.Array, decoder: Decoder) -> jax.Array:
  """Patches of each position by a linear decoder: [N, h, w, K] to float32 [N, h, w, kh, kw, C]."""
  assert decoder.mean is not None
  seen = features(feature_map, decoder.features)
  along = jnp.dot(seen, decoder.weight[0], precision=numerics.PRECISION) + decoder.bias[0]
  return decoder.mean + from_coordinates(along, decoder)


def seen_by(decoder: Decoder, feature_map: jax.Array) -> jax.Array:
  """What `corrections` takes of a map: [N, h, w, K] to float32 [N, h, w, F or M].

  Of a folded decoder what is seen of each position alone: with its neighbours, nine times as many
  values would be held.
  """
  of = decoder.features
  return (at_positions if of.projection is None else features)(feature_map, of)


def corrections(seen: jax.Array, index: jax.Array, decoder: Decoder) -> jax.Array:
  """How far each position's filter is moved, by coordinates: float32 [N, h, w, B].

  Args:
    seen: `seen_by` the decoder, float32 [N, h, w, F or M].
    index: the filter drawn at each position, int32 [N, h, w].
    decoder: a corrected one.
  """
  of, expert = decoder.features, index.reshape(-1)
  among = neighbours(index.shape, of.context) if of.projection is None else None
  moved = apply_by_group(expert, seen.reshape(-1, seen.shape[-1]), decoder.weight, among)
  return (moved + decoder.bias[expert]).reshape(*index.shape, -1)


def from_coordinates(coordinates: jax.Array, decoder: Decoder) -> jax.Array:
  """What a decoder adds to the start of each patch: [..., B] to float32 [..., kh, kw, C]."""
  return jnp.tensordot(coordinates, decoder.basis, 1, precision=numerics.PRECISION)
