"""The inception score of generated images, from class probabilities."""

from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from scipy import special

from nsn_jax import checks

__all__ = ["InceptionScore", "inception_score"]

#: How far a row of probabilities may sum from 1: float16 outputs of 1,000 classes stay within.
_SUM_SLACK = 1e-3


class InceptionScore(NamedTuple):
  """The score over the splits; higher is better.

  Attributes:
    mean: of the splits' scores, in [1, classes].
    deviation: population standard deviation (divisor `num_splits`) of the splits' scores, >= 0.
  """

  mean: float
  deviation: float


def inception_score(
  probabilities: npt.ArrayLike, *, num_splits: int = 10, key: jax.Array | None = None
) -> InceptionScore:
  """Returns the inception score: are images certain of class, and the classes even?

  With p(y|x) a row of `probabilities` and p(y) the mean of a split's rows, a split's score is

      exp( mean_x KL( p(y|x) || p(y) ) )

  (Salimans et al. 2016, arXiv:1606.03498, section 4). It is 1 where all rows are equal and
  `classes` where rows are one-hot and every class is as frequent. The splits are contiguous and
  equal, as in the paper's code; where N is no multiple of `num_splits` the first ones hold one row
  more, so no row is dropped. A split's p(y) is an estimate, and the score of few rows a split is
  biased: compare scores of equal N only (the paper asks for about 50,000 images).

  The rows are taken in their order. Where images come class by class, as files of labelled folders
  do, a split holds few classes and its score is near 1 however good they are: give a `key`, by
  which they are shuffled first. `metrics.evaluation` and the launchers do so, always by the same
  key. Scores of samples that were kept before they did differ from what they give now by hundredths
  of their deviation at 50,000 images, and by a fifth of it at 300.

  The paper's network knows ImageNet. For other images use one that knows their classes, and say so
  beside the number: scores of different networks cannot be compared.

  Args:
    probabilities: [N, classes], any real dtype, in [0, 1], rows sum to 1; a row for each image.
    num_splits: how many parts to score, in [1, N].
    key: PRNG key of the order; None for the rows' own.

  Returns:
    Mean and deviation over the splits, computed in float64.

  Raises:
    ValueError: if `probabilities` is not of rank 2, has values that are not finite or outside
      [0, 1] or rows that do not sum to 1 within 1e-3, or if `num_splits` is below 1 or above N.
  """
  rows = _checked(probabilities)
  checks.integer("num_splits", num_splits, 1)
  if num_splits > len(rows):
    raise ValueError(
      f"num_splits: expected at most the number of rows of probabilities, {len(rows)}, "
      f"got {num_splits}"
    )
  if key is not None:
    rows = rows[np.asarray(jax.random.permutation(checks.key("key", key), len(rows)))]
  scores = [_score(split) for split in np.array_split(rows, num_splits)]
  return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(rows: npt.NDArray[np.float64]) -> float:
  """Score of one split, rows [n, classes]."""
  marginal = rows.mean(axis=0)
  # xlogy(0, 0) = 0: a class that no row gives any probability adds nothing.
  divergence = (special.xlogy(rows, rows) - special.xlogy(rows, marginal)).sum(axis=1)
  return float(np.exp(divergence.mean()))


def _checked(probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
  """The rows in float64, or ValueError."""
  given = np.asarray(probabilities)
  if given.ndim != 2 or 0 in given.shape:
    raise ValueError(
      "probabilities: expected shape [N, classes] with N and classes of at least 1, "
      f"got {given.shape}"
    )
  if np.iscomplexobj(given):
    raise ValueError(f"probabilities: expected real numbers, got dtype {given.dtype}")
  rows = given.astype(np.float64)
  if not np.isfinite(rows).all():
    bad = int((~np.isfinite(rows)).any(axis=1).sum())
    raise ValueError(f"probabilities: expected finite values, got NaN or infinity in {bad} rows")
  if rows.min() < 0 or rows.max() > 1 + _SUM_SLACK:
    raise ValueError(
      f"probabilities: expected values in [0, 1], got [{rows.min():.4g}, {rows.max():.4g}] "
      "(are these logits?)"
    )
  sums = rows.sum(axis=1)
  worst = int(np.abs(sums - 1).argmax())
  if abs(sums[worst] - 1) > _SUM_SLACK:
    raise ValueError(
      f"probabilities: expected rows that sum to 1 within {_SUM_SLACK}, "
      f"got {sums[worst]:.6g} in row {worst}"
    )
  return rows
