"""The Fréchet distance between two sets of features (FID), from means and covariances."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.metrics import inputs

__all__ = ["FeatureStatistics", "feature_statistics", "frechet_distance", "merge_statistics"]

#: Rows that are taken to float64 at a time.
_BLOCK = 4096


class FeatureStatistics(NamedTuple):
  """What the distance needs of a set of features, float64; additive by `merge_statistics`.

  Attributes:
    num_images: N, number of rows.
    mean: [D].
    scatter: sum over the rows of the products of x - mean, [D, D].
  """

  num_images: int
  mean: npt.NDArray[np.float64]
  scatter: npt.NDArray[np.float64]

  @property
  def covariance(self) -> npt.NDArray[np.float64]:
    """Unbiased covariance [D, D] (divisor N - 1)."""
    return self.scatter / (self.num_images - 1)


def feature_statistics(features: npt.ArrayLike) -> FeatureStatistics:
  """Statistics of a set of features, computed in float64 about their mean.

  Args:
    features: real, finite, [N, D], N >= 1.

  Returns:
    Their statistics; those of a set that comes in parts are the parts' by `merge_statistics`.

  Raises:
    ValueError: if `features` is not as above.
  """
  rows = inputs.features("features", features)
  mean = rows.mean(axis=0, dtype=np.float64)
  scatter = np.zeros((rows.shape[1],) * 2)
  for start in range(0, len(rows), _BLOCK):
    centred = rows[start : start + _BLOCK] - mean
    scatter += centred.T @ centred
  return FeatureStatistics(len(rows), mean, scatter)


def merge_statistics(a: FeatureStatistics, b: FeatureStatistics) -> FeatureStatistics:
  """Statistics of two sets together (Chan et al. 1979): no cancellation, whatever their means.

  Raises:
    ValueError: where they are of features of different numbers.
  """
  for name, statistics in (("a", a), ("b", b)):
    _check(name, statistics, 1)
  inputs.same_width(a.mean[None], b.mean[None], "a", "b")
  total = a.num_images + b.num_images
  apart = b.mean - a.mean
  scatter = a.scatter + b.scatter + np.outer(apart, apart) * (a.num_images * b.num_images / total)
  return FeatureStatistics(total, a.mean + apart * (b.num_images / total), scatter)


def frechet_distance(real: FeatureStatistics, generated: FeatureStatistics) -> float:
  """Returns the squared Fréchet distance of two normal distributions, FID on Inception features.

  With means m and covariances S (Heusel et al. 2017, arXiv:1706.08500, Eq 6):

      |m_r - m_g|^2 + tr(S_r) + tr(S_g) - 2 tr( (S_r S_g)^(1/2) )

  The last trace is the sum of the singular values of S_r^(1/2) S_g^(1/2). A matrix square root of
  the unsymmetric product, which others take, is unstable where there are fewer images than
  features: it can be complex, and is mended by adding to the diagonal; this needs no mending.

  Symmetric in its arguments; 0 for equal statistics, lower is better. Its bias falls with the
  number of images: compare values of equal N only.

  Args:
    real: of the real images, at least 2.
    generated: of the generated images, at least 2, with as many features.

  Returns:
    The distance, >= 0 up to rounding.

  Raises:
    ValueError: for a set of fewer than 2, or features that differ in number.
  """
  for name, statistics in (("real", real), ("generated", generated)):
    _check(name, statistics, 2)
  if real.mean.shape != generated.mean.shape:
    raise ValueError(
      f"generated: expected {real.mean.size} features, as of the real images, "
      f"got {generated.mean.size}"
    )
  apart = real.mean - generated.mean
  left, right = real.covariance, generated.covariance
  overlap = np.linalg.svd(_square_root(left) @ _square_root(right), compute_uv=False).sum()
  return float(apart @ apart + np.trace(left) + np.trace(right) - 2 * overlap)


def _check(name: str, statistics: Any, least: int) -> None:
  """Raises ValueError unless these are finite statistics of so many images at least."""
  checks.instance(name, statistics, FeatureStatistics)
  if statistics.num_images < least:
    raise ValueError(f"{name}: expected at least {least} images, got {statistics.num_images}")
  width = np.shape(statistics.mean)
  if len(width) != 1 or np.shape(statistics.scatter) != width * 2:
    raise ValueError(
      f"{name}: expected a mean [D] and a scatter [D, D], got shapes {width} and "
      f"{np.shape(statistics.scatter)}"
    )
  if not (np.isfinite(statistics.mean).all() and np.isfinite(statistics.scatter).all()):
    raise ValueError(f"{name}: expected finite statistics, got NaN or infinity")


def _square_root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
  """Symmetric square root of a positive semi-definite matrix; eigenvalues below 0 are rounding."""
  values, vectors = np.linalg.eigh(covariance)
  return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
