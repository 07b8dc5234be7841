"""A contrast of its own for each leading direction of the training images.

Samples lose more in some directions than in others: what is large in an image, such as a digit's
place, comes out too strong where strokes' edges come out too weak, and one factor cannot be right
for both. So each of the training images' principal directions has a gain, and all other directions
one together, with which the samples, clipped, vary as much along it as the training images do. A
closed form but for the clipping, which takes a few rounds. None of this is in the paper.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import numerics
from nsn_jax.factors import along_basis
from nsn_jax.range_finder import range_finder

__all__ = ["Gains", "check_gains", "find_gains", "with_gains"]

#: Directions asked for beyond those that are kept, which makes these better.
_OVERSAMPLING = 16
#: Training images a direction at the least: of fewer, the last ones follow single images.
_IMAGES_A_DIRECTION = 4
#: Share of a direction's mean variance that is added to each, samples' and training images': where
#: neither varies nothing is gained.
_FLOOR = 1e-4
#: Rounds against the clipping: the variances are within a hundredth of the wanted ones then.
_ROUNDS = 8
#: Gains are from a tenth to ten, as a single factor is.
_LARGEST = 10.0


class Gains(NamedTuple):
  """Gains along directions, relative to that of all other directions.

  Attributes:
    directions: orthonormal, float32 [B, H, W, C].
    gain: of each, float32 [B], above 0.
  """

  directions: jax.Array
  gain: jax.Array


def check_gains(name: str, gains: Gains, shape: tuple[int, ...]) -> None:
  """Raises ValueError unless gains are of images [H, W, C]."""
  directions, gain = gains
  if len(gain.shape) != 1 or tuple(directions.shape) != (*gain.shape, *shape):
    raise ValueError(
      f"{name}: expected directions {['B', *shape]} and gains ['B'], "
      f"got {list(directions.shape)} and {list(gain.shape)}"
    )
  if not (np.asarray(gain) > 0).all():
    raise ValueError(f"{name}.gain: expected numbers above 0, got {np.asarray(gain).min()}")


def with_gains(about: jax.Array, gains: Gains) -> jax.Array:
  """Deviations from the mean image, float32 [N, H, W, C], with each direction's gain."""
  along = along_basis(about, gains.directions) * (gains.gain - 1.0)
  return about + jnp.tensordot(along, gains.directions, 1, precision=numerics.PRECISION)


@jax.jit
def _variances(images: jax.Array, directions: jax.Array) -> jax.Array:
  """Along each direction, and the mean of all others at last: float32 [B + 1]."""
  count, *shape = directions.shape
  about = images - numerics.column_means(images)
  variance = jnp.mean(along_basis(about, directions) ** 2, axis=0)
  others = math.prod(shape) - count
  if not others:
    return jnp.append(variance, 0.0)
  rest = (jnp.sum(about * about) / len(images) - jnp.sum(variance)) / others
  return jnp.append(variance, jnp.maximum(rest, 0.0))


def _relative(gain: jax.Array, directions: jax.Array) -> Gains:
  """Of gains [B + 1], those of the directions relative to the last, which is of all others."""
  return Gains(directions, gain[:-1] / gain[-1])


@jax.jit
def _clipped(
  about: jax.Array, mean: jax.Array, directions: jax.Array, gain: jax.Array
) -> jax.Array:
  scaled = gain[-1] * with_gains(about, _relative(gain, directions))
  return jnp.clip(mean + scaled, 0.0, 1.0)


def find_gains(
  key: jax.Array,
  about: npt.NDArray[np.float32],
  mean: npt.NDArray[np.float32],
  images: npt.NDArray[np.float32],
  num_directions: int,
) -> tuple[float, Gains]:
  """The gains with which clipped samples vary as training images do.

  Args:
    key: PRNG key, of the directions' search.
    about: samples' deviations from the mean image, not clipped, [N, H, W, C].
    mean: the mean image, [H, W, C].
    images: training images, [M, H, W, C] in [0, 1], M at least 2.
    num_directions: B, at most; no more than a quarter of the images, or than pixels.

  Returns:
    The gain of all other directions, and those of the leading ones relative to it. All 1 where
    samples are all alike.
  """
  given, samples, center = (jnp.asarray(x) for x in (images, about, mean))
  rows = (given - numerics.column_means(given)).reshape(len(images), -1)
  size = max(min(num_directions, len(images) // _IMAGES_A_DIRECTION, rows.shape[1]), 1)
  found, _ = range_finder(key, rows, size=min(size + _OVERSAMPLING, *rows.shape))
  directions = found[:size].reshape(size, *mean.shape)
  wanted, variance = _variances(given, directions), _variances(samples, directions)
  gain = jnp.ones(size + 1, jnp.float32)
  if float(jnp.max(variance)) > 0.0:
    floor = _FLOOR * jnp.mean(wanted)
    for _ in range(_ROUNDS):
      gain = gain * jnp.sqrt((wanted + floor) / (variance + floor))
      gain = jnp.clip(gain, 1.0 / _LARGEST, _LARGEST)
      variance = _variances(_clipped(samples, center, directions, gain), directions)
  return float(gain[-1]), _relative(gain, directions)
