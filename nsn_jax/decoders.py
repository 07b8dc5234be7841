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
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nsn_jax import checks, numerics
from nsn_jax.factors import along_basis, residuals
from nsn_jax.filters import Filters
from nsn_jax.grouped import apply_by_group, sum_products_by_group
from nsn_jax.range_finder import range_finder

__all__ = [
  "Decoder",
  "DecoderSums",
  "Features",
  "check_decoder",
  "corrections",
  "decoder_sums",
  "features",
  "fit_features",
  "from_coordinates",
  "linear_patches",
  "solve_decoder",
]

#: Similarities are clipped so far from 0 and 1 before their logits are taken: what is further away
#: is a distance that float32, and the sampler, know little of.
_CLIP = 1e-4
#: Directions asked for beyond those that are kept, which makes these better.
_OVERSAMPLING = 16
#: Patches that the ridge counts beyond an expert's own: with fewer, what it sees moves it little.
_PRIOR_PATCHES = 100.0


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=["center", "projection", "position"],
  meta_fields=["context", "logits"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Features:
  """What a decoder sees of a feature map at a position: F numbers of unit variance.

  Attributes:
    center: mean of the values, float32 [P], P = context^2 M.
    projection: of the centred values, float32 [P, F].
    context: positions a side that are seen, odd: 1 for the position alone. Beyond the border the
      border is repeated.
    logits: whether log(h / (1 - h)), clipped, is seen in place of h.
    position: what is seen of each position before it stands beside its neighbours, float32 [K, M],
      as many neighbours of hundreds of similarities are most of a sample's work; None for all, M =
      K.
  """

  center: jax.Array
  projection: jax.Array
  context: int
  logits: bool
  position: jax.Array | None = None


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
  num_features, experts = of.projection.shape[-1], k if decoder.mean is None else 1
  expected = {
    "features.center": (of.center, (seen,)),
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


def _of_position(feature_map: jax.Array, logits: bool) -> jax.Array:
  if not logits:
    return feature_map
  clipped = jnp.clip(feature_map, _CLIP, 1.0 - _CLIP)
  return jnp.log(clipped) - jnp.log1p(-clipped)


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
  values = _of_position(feature_maps, logits)
  if position is not None:
    values = jnp.dot(values, position, precision=numerics.PRECISION)
  values = _with_neighbours(values, context)
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
  values = _of_position(feature_map, of.logits)
  if of.position is not None:
    values = jnp.dot(values, of.position, precision=numerics.PRECISION)
  values = _with_neighbours(values, of.context) - of.center
  return jnp.dot(values, of.projection, precision=numerics.PRECISION)


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


def linear_patches(feature_map: jax.Array, decoder: Decoder) -> jax.Array:
  """Patches of each position by a linear decoder: [N, h, w, K] to float32 [N, h, w, kh, kw, C]."""
  assert decoder.mean is not None
  seen = features(feature_map, decoder.features)
  along = jnp.dot(seen, decoder.weight[0], precision=numerics.PRECISION) + decoder.bias[0]
  return decoder.mean + from_coordinates(along, decoder)


def corrections(seen: jax.Array, index: jax.Array, decoder: Decoder) -> jax.Array:
  """How far each position's filter is moved, by coordinates: float32 [N, h, w, B].

  Args:
    seen: `features` of the map, float32 [N, h, w, F].
    index: the filter drawn at each position, int32 [N, h, w].
    decoder: a corrected one.
  """
  expert = index.reshape(-1)
  moved = apply_by_group(expert, seen.reshape(-1, seen.shape[-1]), decoder.weight)
  return (moved + decoder.bias[expert]).reshape(*index.shape, -1)


def from_coordinates(coordinates: jax.Array, decoder: Decoder) -> jax.Array:
  """What a decoder adds to the start of each patch: [..., B] to float32 [..., kh, kw, C]."""
  return jnp.tensordot(coordinates, decoder.basis, 1, precision=numerics.PRECISION)
