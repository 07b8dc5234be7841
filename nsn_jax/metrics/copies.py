"""The copy check: are generated images nearer to the training images than unseen real ones are?"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import pairwise_distances_argmin_min

from nsn_jax.metrics import inputs

#: A sample is a suspected copy where it is nearer than this share of the held-out images are.
_SUSPECT = 0.01


class Nearest(NamedTuple):
  """The nearest training image of each query.

  Attributes:
    distance: Euclidean, float64 [N].
    position: of the training image, int [N].
  """

  distance: npt.NDArray[np.float64]
  position: npt.NDArray[np.integer]


class CopyCheck(NamedTuple):
  """How near generated images come to the training images, beside held-out real ones.

  Attributes:
    generated: median distance of a generated image to its nearest training image.
    held_out: the same of a held-out real image.
    ratio: generated / held_out: far below 1 where images are copied. Images that are smoother than
      real ones come nearer to all of them, so that a ratio somewhat below 1 is no copying yet.
    suspected: share of the generated images that are nearer to a training image than 99% of the
      held-out images are; 0.01 where nothing is copied.
  """

  generated: float
  held_out: float
  ratio: float
  suspected: float


def nearest(training: npt.ArrayLike, queries: npt.ArrayLike) -> Nearest:
  """The nearest training image of each query, exact.

  Args:
    training: images or features, [N, ...], any real dtype, finite; flattened.
    queries: [M, ...], of the same shape a row.

  Returns:
    Distances in the unit of the given values, and positions.

  Raises:
    ValueError: if the arguments are not as above.
  """
  held, asked = _flat("training", training), _flat("queries", queries)
  inputs.same_width(held, asked, "training", "queries")
  position, distance = pairwise_distances_argmin_min(asked, held)
  return Nearest(np.asarray(distance, np.float64), np.asarray(position))


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


def compare_distances(
  held_out: npt.NDArray[np.float64], generated: npt.NDArray[np.float64]
) -> CopyCheck:
  """The copy check where the distances are at hand: of held-out images they never change.

  Args:
    held_out: to the nearest training image, of each held-out real image, [M].
    generated: the same of each sample, [K].
  """
  typical = float(np.median(held_out))
  median = float(np.median(generated))
  return CopyCheck(
    generated=median,
    held_out=typical,
    ratio=median / typical if typical else float("nan"),
    suspected=float(np.mean(generated < np.quantile(held_out, _SUSPECT))),
  )


def _flat(name: str, value: npt.ArrayLike) -> npt.NDArray[np.floating]:
  """Rows of float32."""
  array = np.asarray(value)
  return inputs.features(name, array.reshape(len(array), -1) if array.ndim > 2 else array)
