"""Improved precision and recall: which share of each set lies within the other's manifold."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from nsn_jax import checks
from nsn_jax.metrics import inputs

__all__ = ["PrecisionRecall", "precision_recall"]


class PrecisionRecall(NamedTuple):
  """Two shares in [0, 1]; higher is better.

  Attributes:
    precision: of the generated images, those within the real ones' manifold: are they realistic?
    recall: of the real images, those within the generated ones' manifold: is all of them reached?
  """

  precision: float
  recall: float


def precision_recall(
  real: npt.ArrayLike, generated: npt.ArrayLike, *, num_neighbours: int = 5
) -> PrecisionRecall:
  """Returns precision and recall of generated images (Kynkäänniemi et al. 2019, arXiv:1904.06991).

  A set's manifold is the union of balls, one about each of its features, that reach to its k-th
  nearest other feature of the set. Distances are exact, taken block by block, so that memory does
  not grow with N * M. Both shares depend on N: compare values of equal N only.

  Args:
    real: features of the real images, [N, D].
    generated: features of the generated images, [M, D].
    num_neighbours: k, >= 1 and below N and M; the paper takes 3, this project 5.

  Returns:
    Both shares.

  Raises:
    ValueError: if an argument is not as above.
  """
  left, right = inputs.features("real", real), inputs.features("generated", generated)
  inputs.same_width(left, right)
  checks.integer("num_neighbours", num_neighbours, 1, min(len(left), len(right)) - 1)
  return PrecisionRecall(
    precision=_share_within(right, left, num_neighbours),
    recall=_share_within(left, right, num_neighbours),
  )


def _share_within(
  points: npt.NDArray[np.floating], manifold: npt.NDArray[np.floating], num_neighbours: int
) -> float:
  """Share of the points that lie in a ball about one of the manifold's."""
  neighbours = NearestNeighbors(n_neighbors=num_neighbours, algorithm="brute").fit(manifold)
  distances, _ = neighbours.kneighbors()  # Of each to the others, itself left out.
  radii = distances[:, -1]

  def within(block: npt.NDArray[np.floating], _start: int) -> npt.NDArray[np.bool_]:
    return (block <= radii).any(axis=1)

  found = pairwise_distances_chunked(points, manifold, reduce_func=within, working_memory=256)
  return float(np.concatenate(list(found)).mean())
