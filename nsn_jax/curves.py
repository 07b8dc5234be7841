"""A curve for each direction of a window: samples whose windows are distributed as images' are.

What stitching leaves between the strokes of photographs is a weave: along any direction of a small
window, images are nearly always flat and now and then have an edge, and samples have a little of
both everywhere. A gain (`nsn_jax.gains`) makes both vary as much, and cannot tell them apart. A
curve can: along each principal direction of the training images' windows it takes the quantiles of
the samples to those of the images, so that what is small becomes smaller and what is large larger.
Overlapping windows are averaged, as the sampler's are.

Distributions made the same direction by direction: Heeger & Bergen 1995 do so in the bands of a
pyramid, to make textures; Pitie, Kokaram & Dahyot 2005 along any directions. None of this is in the
NSN paper.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import numerics
from nsn_jax.factors import along_basis
from nsn_jax.host_random import generator
from nsn_jax.patches import extract_patches, stitch_patches
from nsn_jax.range_finder import range_finder

__all__ = ["Curves", "check_curves", "check_windows", "find_curves", "in_parts", "with_curves"]

#: Directions of a window that have a curve, at most: all of 16x16 in colour.
_MOST_DIRECTIONS = 768
#: Windows overlap by so many a side.
_OVERLAP = 4
#: Quantiles that are compared: more of them at the ends, where edges are.
_ENDS = (5e-4, 2e-3, 5e-3, 0.01, 0.02)
_LEVELS = np.concatenate([_ENDS, np.linspace(0.04, 0.96, 39), 1.0 - np.asarray(_ENDS[::-1])])
#: Knots of a curve, evenly from the first of the samples' quantiles to the last.
_KNOTS = 64
#: Rounds, as what is averaged is less than what was asked for, and how far each goes: by the whole
#: way the last of them swing.
_ROUNDS, _PACE = 5, 0.5
#: Share of the images' range that a curve may go beyond it.
_BEYOND = 0.25
#: Windows that quantiles and directions are found of, and images that are cut at once.
_WINDOWS, _IMAGES_AT_ONCE = 1 << 15, 50
#: Least range of samples' quantiles, as a share of the images' and in grey levels of [0, 1]: where
#: samples are alike in a direction, nothing tells them apart.
_LEAST_SHARE, _LEAST_RANGE = 1e-3, 1e-6


class Curves(NamedTuple):
  """What is added to a window along each direction, piecewise linear in what is there.

  Attributes:
    directions: of a window, orthonormal, float32 [B, k, k, C].
    first: where each curve begins, float32 [B].
    step: between its knots, float32 [B], above 0.
    shift: what is added at each knot, float32 [B, Q]. Before the first and beyond the last it is
      that of the first and the last.
  """

  directions: jax.Array
  first: jax.Array
  step: jax.Array
  shift: jax.Array


def check_curves(name: str, curves: Curves, shape: tuple[int, ...]) -> None:
  """Raises ValueError unless curves are of windows of images [H, W, C]."""
  directions, first, step, shift = curves
  height, width, channels = shape
  size = tuple(directions.shape)
  if (
    len(size) != 4
    or size[1] != size[2]
    or size[1] > min(height, width)
    or size[3] != channels
    or not first.shape == step.shape == shift.shape[:-1] == size[:1]
    or shift.shape[-1] < 2
  ):
    raise ValueError(
      f"{name}: expected directions [B, k, k, {channels}] of windows of at most "
      f"{min(height, width)} pixels, first and step [B], and shift [B, Q], got "
      f"{', '.join(str(list(x.shape)) for x in curves)}"
    )
  if not (np.asarray(step) > 0).all():
    raise ValueError(f"{name}.step: expected numbers above 0, got {np.asarray(step).min()}")


def check_windows(windows: Sequence[int], size: Sequence[int]) -> None:
  """Raises ValueError for a window that is larger than images of a size (H, W)."""
  for window in windows:
    if window > min(size):
      raise ValueError(
        f"contrast_windows: expected at most the images' {min(size)} pixels a side, got {window}"
      )


def _stride(window: int) -> int:
  return max(window // _OVERLAP, 1)


def _shifts(along: jax.Array, curves: Curves) -> jax.Array:
  """What the curves add to coordinates [n, B]."""
  size, knots = curves.shift.shape
  place = jnp.clip((along - curves.first) / curves.step, 0.0, knots - 1.0)
  left = jnp.minimum(place.astype(jnp.int32), knots - 2)
  knot = jnp.arange(size, dtype=jnp.int32) * knots + left
  flat = curves.shift.reshape(-1)
  below, above = flat[knot], flat[knot + 1]
  return below + (place - left) * (above - below)


@jax.jit
def with_curves(images: jax.Array, curves: Curves) -> jax.Array:
  """Images whose windows have been shifted, and averaged where they overlap.

  Args:
    images: float32 [N, H, W, C], of at least a window's side.
    curves: of windows of k x k pixels, which are taken at every (k / 4)th.

  Returns:
    float32 [N, H, W, C]; what no window covers is as it was.
  """
  size, window = curves.directions.shape[:2]
  stride = _stride(window)
  patches = extract_patches(images, window, stride)
  shifts = _shifts(along_basis(patches.reshape(-1, *patches.shape[3:]), curves.directions), curves)
  basis = curves.directions.reshape(size, -1)
  added = jnp.dot(shifts, basis, precision=numerics.PRECISION).reshape(patches.shape)
  added = stitch_patches(added, stride)
  height, width = added.shape[1:3]
  return images.at[:, :height, :width].add(added)


def _windows(key: jax.Array, images: npt.NDArray[np.float32], window: int) -> jax.Array:
  """Some windows of images, [n, k, k, C], n at most `_WINDOWS`."""
  # Not at the places that curves are applied at alone, which would not see what lies between.
  stride = _stride(window) + 1
  parts = range(0, len(images), _IMAGES_AT_ONCE)
  each = _WINDOWS // len(parts)
  found = []
  for number, start in enumerate(parts):
    patches = extract_patches(jnp.asarray(images[start : start + _IMAGES_AT_ONCE]), window, stride)
    patches = patches.reshape(-1, *patches.shape[3:])
    if len(patches) > each:
      patches = patches[generator(key, number).permutation(len(patches))[:each]]
    found.append(patches)
  return jnp.concatenate(found)


def _quantiles(windows: jax.Array, directions: jax.Array) -> npt.NDArray[np.float64]:
  """Of the coordinates along each direction, [B, L]."""
  # Sorted whole, which numpy does four times faster than it finds fifty quantiles.
  ordered = np.sort(np.ascontiguousarray(np.asarray(along_basis(windows, directions)).T), axis=1)
  place = _LEVELS * (ordered.shape[1] - 1)
  left = np.minimum(place.astype(int), max(ordered.shape[1] - 2, 0))
  right = np.minimum(left + 1, ordered.shape[1] - 1)
  return ordered[:, left] + (place - left) * (ordered[:, right] - ordered[:, left])


def _curves(
  directions: jax.Array, given: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]
) -> Curves:
  """The curves that take quantiles [B, L] to others."""
  least = np.maximum(_LEAST_SHARE * (wanted[:, -1] - wanted[:, 0]), _LEAST_RANGE)
  first, size = given[:, 0], given[:, -1] - given[:, 0]
  step = np.maximum(size, least) / (_KNOTS - 1)
  knots = first[:, None] + step[:, None] * np.arange(_KNOTS)
  value = [np.interp(at, have, want) for at, have, want in zip(knots, given, wanted, strict=True)]
  shift = np.where((size > least)[:, None], np.asarray(value) - knots, 0.0)
  return Curves(directions, *(jnp.asarray(x, jnp.float32) for x in (first, step, shift)))


def find_curves(
  key: jax.Array,
  samples: npt.NDArray[np.float32],
  images: npt.NDArray[np.float32],
  window: int,
) -> Curves:
  """The curves with which samples' windows have the quantiles that training images' have.

  Found in a few rounds, each of which moves the curves by half of what the samples' quantiles are
  still off. They do not fall, so that the order of windows along a direction is kept.

  Args:
    key: PRNG key, of directions and windows.
    samples: as they come, [N, H, W, C].
    images: training images, [M, H, W, C] in [0, 1].
    window: k, its side, at most H and W.
  """
  purposes = [jax.random.fold_in(key, purpose) for purpose in range(3)]
  of_images = _windows(purposes[0], images, window)
  rows = (of_images - numerics.column_means(of_images)).reshape(len(of_images), -1)
  size = min(_MOST_DIRECTIONS, *rows.shape)
  directions, _ = range_finder(purposes[1], rows, size=size)
  directions = directions.reshape(size, *of_images.shape[1:])
  wanted = _quantiles(of_images, directions)
  beyond = _BEYOND * (wanted[:, -1:] - wanted[:, :1])
  lowest, highest = wanted[:, :1] - beyond, wanted[:, -1:] + beyond
  given = _quantiles(_windows(purposes[2], samples, window), directions)
  found, value, has = _curves(directions, given, given), given, given
  for number in range(_ROUNDS):
    if number:
      has = _quantiles(_windows(purposes[2], in_parts(samples, found), window), directions)
    value = np.clip(value + _PACE * (wanted - has), lowest, highest)
    value = np.maximum.accumulate(value, axis=1)
    found = _curves(directions, given, value)
  return found


def in_parts(images: npt.NDArray[np.float32], curves: Curves) -> npt.NDArray[np.float32]:
  """`with_curves` of images that are many windows together."""
  parts = range(0, len(images), _IMAGES_AT_ONCE)
  return np.concatenate(
    [np.asarray(with_curves(images[start : start + _IMAGES_AT_ONCE], curves)) for start in parts]
  )
