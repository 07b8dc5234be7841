"""The copy check: are generated images nearer to the training images than unseen real ones are?"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from nsn_jax.metrics import inputs

__all__ = ["CopyCheck", "Nearest", "compare_distances", "copy_check", "nearest"]

#: A sample is a suspected copy where it is nearer than this share of the held-out images are.
_SUSPECT = 0.01
#: Training images after the nearest that it is compared with.
_NEXT = 10
#: Rows whose differences are taken at a time.
_BLOCK = 1000


class Nearest(NamedTuple):
  """The nearest training image of each query.

  Attributes:
    distance: Euclidean, float64 [N].
    position: of the training image, int [N].
    relative: the distance over the mean distance of the ten that come next, float64 [N] in [0, 1]
      (after Carlini et al. 2023, arXiv:2301.13188). A copy is far below 1. Smoothness, which brings
      an image nearer to all of them, does not count; an image among equal ones has 1.
  """

  distance: npt.NDArray[np.float64]
  position: npt.NDArray[np.integer]
  relative: npt.NDArray[np.float64]


class CopyCheck(NamedTuple):
  """How near generated images come to the training images, beside held-out real ones.

  Attributes:
    generated: median distance of a generated image to its nearest training image.
    held_out: the same of a held-out real image.
    ratio: generated / held_out: far below 1 where images are copied. Images that are smoother than
      real ones come nearer to all of them, so that a ratio somewhat below 1 is no copying yet.
    suspected: share of the generated images that are nearer to a training image than 99% of the
      held-out images are, or equal one; 0.01 where nothing is copied.
    overlap: share of the held-out images that equal a training image. They are no held-out images,
      and left out of all of the above: with a few of them every copy would look usual.
  """

  generated: float
  held_out: float
  ratio: float
  suspected: float
  overlap: float = 0.0


def nearest(training: npt.ArrayLike, queries: npt.ArrayLike) -> Nearest:
  """The nearest training image of each query, exact.

  Args:
    training: images or features, [N, ...], any real dtype, finite; flattened. Of one image alone
      nothing comes next, and `relative` is 1.
    queries: [M, ...], of the same shape a row.

  Returns:
    Distances in the unit of the given values, and positions.

  Raises:
    ValueError: if the arguments are not as above.
  """
  held, asked = _flat("training", training), _flat("queries", queries)
  shapes = np.shape(training)[1:], np.shape(queries)[1:]
  if shapes[0] != shapes[1]:
    raise ValueError(
      f"queries: expected rows of shape {shapes[0]}, as training has, got {shapes[1]}"
    )
  count = min(_NEXT + 1, len(held))
  found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(held)
  distances, positions = found.kneighbors(asked)
  first, next_ones = _apart(held, asked, positions[:, 0]), distances[:, 1:]
  typical = next_ones.mean(axis=1, dtype=np.float64) if count > 1 else first
  relative = np.divide(first, typical, out=np.ones_like(first), where=typical > 0)
  return Nearest(first, positions[:, 0], relative)


def copy_check(
  training: npt.ArrayLike, held_out: npt.ArrayLike, generated: npt.ArrayLike
) -> CopyCheck:
  """Compares the distances of generated and of held-out real images to the training images.

  Args:
    training: images or features that the model was trained on, [N, ...].
    held_out: real ones that it never saw, [M, ...].
    generated: samples, [K, ...].

  Returns:
    Medians, their ratio, and the share of suspected copies.

  Raises:
    ValueError: if the arguments differ in the shape of a row, or are not finite.
  """
  return compare_distances(*(nearest(training, x).distance for x in (held_out, generated)))


def compare_distances(held_out: npt.ArrayLike, generated: npt.ArrayLike) -> CopyCheck:
  """The copy check where the distances are at hand: of held-out images they never change.

  Relative distances (`Nearest.relative`) make a check that smooth images pass.

  Args:
    held_out: to the nearest training image, of each held-out real image, [M].
    generated: the same of each sample, [K].

  Raises:
    ValueError: unless both are of at least one number, finite.
  """
  real, found = _distances("held_out", held_out), _distances("generated", generated)
  unseen = real[real > 0]
  typical = float(np.median(unseen)) if unseen.size else 0.0
  limit = np.quantile(unseen, _SUSPECT) if unseen.size else 0.0
  median = float(np.median(found))
  return CopyCheck(
    generated=median,
    held_out=typical,
    ratio=median / typical if typical else float("nan"),
    suspected=float(np.mean((found < limit) | (found == 0))),
    overlap=1.0 - unseen.size / real.size,
  )


def _distances(name: str, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
  given = np.asarray(value)
  if given.ndim != 1 or not given.size or given.dtype.kind != "f" or not (given >= 0).all():
    raise ValueError(
      f"{name}: expected distances [N], N >= 1, floats of at least 0, got {given.dtype} "
      f"{list(given.shape)}"
    )
  if not np.isfinite(given).all():
    raise ValueError(f"{name}: expected finite distances, got infinity")
  return given


def _apart(
  held: npt.NDArray[np.floating], asked: npt.NDArray[np.floating], positions: npt.NDArray
) -> npt.NDArray[np.float64]:
  """Distances of rows from differences, exactly 0 for equal ones, as products do not give it."""
  found = np.empty(len(asked), np.float64)
  for start in range(0, len(asked), _BLOCK):
    part = slice(start, start + _BLOCK)
    found[part] = np.linalg.norm(asked[part].astype(np.float64) - held[positions[part]], axis=1)
  return found


def _flat(name: str, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
  """Rows of float32."""
  array = np.asarray(value)
  flat = array.reshape(len(array), -1) if array.ndim > 2 and array.size else array
  return inputs.features(name, flat)
