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
  nearest other feature of the set. Distances are of float64, taken block by block, so that memory
  does not grow with N * M. Where rows occur more than k times a ball has no radius, and holds its
  equals alone. Both shares depend on N: compare values of equal N only.

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
  # About a centre, as distances come from products, and rounding grows with the norms.
  centre = left.mean(axis=0, dtype=np.float64)
  left, right = left - centre, right - centre
  return PrecisionRecall(
    precision=_share_within(right, left, num_neighbours),
    recall=_share_within(left, right, num_neighbours),
  )


def _share_within(
  points: npt.NDArray[np.float64], manifold: npt.NDArray[np.float64], num_neighbours: int
) -> float:
  """Share of the points that lie in a ball about one of the manifold's."""
  neighbours = NearestNeighbors(n_neighbors=num_neighbours, algorithm="brute").fit(manifold)
  distances, _ = neighbours.kneighbors()  # Of each to the others, itself left out.
  # What rounding makes of a distance of 0: else equal rows would lie out of each other's balls.
  norms = _square_norms(manifold) + _square_norms(points).max()
  slack = points.shape[1] * np.finfo(np.float64).eps * norms
  limits = distances[:, -1] ** 2 + slack

  def within(block: npt.NDArray[np.float64], _start: int) -> npt.NDArray[np.bool_]:
    return (block <= limits).any(axis=1)

  found = pairwise_distances_chunked(
    points, manifold, reduce_func=within, working_memory=256, squared=True
  )
  return float(np.concatenate(list(found)).mean())


def _square_norms(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
  return np.einsum("nd,nd->n", rows, rows)
