"""What images that were seen have for others' factors: baselines that learn nothing."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.data import Factors

__all__ = ["Found", "look_up", "nearest_images"]

Images = npt.NDArray[np.uint8]

#: Distances that differ by less are equal: they are sums of quotients.
_EQUAL = 1e-4


class Found(NamedTuple):
  """What was found for the factors of N images.

  Attributes:
    nearest: a seen image of the nearest factors, the first of several: uint8 [N, H, W, C].
    mean: of all seen images that are as near, rounded: uint8 [N, H, W, C].
    distances: to these, in steps, float64 [N].
  """

  nearest: Images
  mean: Images
  distances: npt.NDArray[np.float64]


def look_up(factors: Factors, seen_factors: Factors, seen: Images, steps: Sequence[float]) -> Found:
  """Looks up the nearest seen factors.

  A distance is the sum of the steps by which angle, width and thickness differ. Images of other
  identities are never near.

  Args:
    factors: of N images.
    seen_factors: of M images, some of each identity in `factors`.
    seen: these images, uint8 [M, H, W, C].
    steps: what counts as one step of the angle, in degrees and around the circle, of the width,
      and of the thickness; > 0.

  Raises:
    ValueError: for arguments that are not as above.
  """
  seen = checks.images("seen", seen)
  steps = [checks.number("steps", step, 0.0, above=True) for step in steps]
  if len(steps) != 3 or len(seen_factors.identities) != len(seen):
    raise ValueError(
      f"steps, seen_factors: expected 3 steps and the factors of {len(seen)} images, "
      f"got {len(steps)} and {len(seen_factors.identities)}"
    )

  def apart(field: str) -> npt.NDArray[np.float64]:
    values, others = (np.asarray(getattr(each, field), float) for each in (factors, seen_factors))
    return np.abs(values[:, None] - others)

  angles = apart("angles") % 360
  parts = (np.minimum(angles, 360 - angles), apart("widths"), apart("thicknesses"))
  distances = sum(part / step for part, step in zip(parts, steps, strict=True))
  distances = np.where(apart("identities") == 0, distances, np.inf)
  least = distances.min(axis=1)
  if np.isinf(least).any():
    missing = sorted(set(np.asarray(factors.identities)[np.isinf(least)].tolist()))
    raise ValueError(f"seen_factors: expected some of each identity, got none of {missing}")
  is_near = distances <= least[:, None] + _EQUAL
  weights = (is_near / is_near.sum(axis=1, keepdims=True)).astype(np.float32)
  mean = weights @ np.asarray(seen, np.float32).reshape(len(seen), -1)
  return Found(
    np.asarray(seen)[is_near.argmax(axis=1)],
    np.rint(mean).astype(np.uint8).reshape(-1, *seen.shape[1:]),
    least,
  )


def nearest_images(images: Images, seen: Images) -> Images:
  """The seen image that is nearest to each image, in pixels: no look-up of seen images does better.

  Args:
    images: uint8 [N, H, W, C].
    seen: uint8 [M, H, W, C], M >= 1.

  Returns:
    uint8 [N, H, W, C].
  """
  seen, images = checks.images("seen", seen), checks.images("images", images)
  flat, others = (np.asarray(each, np.float64).reshape(len(each), -1) for each in (images, seen))
  # |a - b|^2 less |a|^2, exact: sums of products of 8-bit values are integers below 2^53.
  distances = (others**2).sum(axis=1) - 2 * flat @ others.T
  return np.asarray(seen)[distances.argmin(axis=1)]
