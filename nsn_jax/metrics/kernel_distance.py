"""The kernel distance between two sets of features (KID)."""

from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.host_random import generator
from nsn_jax.metrics import inputs

__all__ = ["KernelDistance", "kernel_distance"]


class KernelDistance(NamedTuple):
  """The distance over the subsets; lower is better.

  Attributes:
    mean: of the subsets' unbiased estimates; may be below 0 where the sets are alike.
    deviation: population standard deviation of the estimates, >= 0.
  """

  mean: float
  deviation: float


def kernel_distance(
  key: jax.Array,
  real: npt.ArrayLike,
  generated: npt.ArrayLike,
  *,
  num_subsets: int = 100,
  subset_size: int = 1000,
) -> KernelDistance:
  """Returns the squared maximum mean discrepancy of a cubic kernel, KID on Inception features.

  The kernel is k(x, y) = (x . y / D + 1)^3, and a subset's estimate, of m rows of each set,

      sum_{i != j} k(r_i, r_j) / (m (m - 1)) + sum_{i != j} k(g_i, g_j) / (m (m - 1))
        - 2 sum_{i, j} k(r_i, g_j) / m^2

  (Binkowski et al. 2018, arXiv:1801.01401, section 4). It is unbiased, so values of different N can
  be compared, unlike FID's. Computed in float64: the three terms nearly cancel.

  Args:
    key: PRNG key, decides the subsets.
    real: features of the real images, [N, D].
    generated: features of the generated images, [M, D].
    num_subsets: how many estimates, >= 1.
    subset_size: m, rows of each set in a subset, drawn without replacement; in [2, min(N, M)].

  Returns:
    Mean and deviation of the estimates.

  Raises:
    ValueError: if an argument is not as above.
  """
  key = checks.key("key", key)
  left, right = inputs.features("real", real), inputs.features("generated", generated)
  inputs.same_width(left, right)
  checks.integer("num_subsets", num_subsets, 1)
  checks.integer("subset_size", subset_size, 2, min(len(left), len(right)))
  rng = generator(key)
  estimates = []
  for _ in range(num_subsets):
    rows, others = (
      features[rng.permutation(len(features))[:subset_size]].astype(np.float64)
      for features in (left, right)
    )
    estimates.append(_discrepancy(rows, others))
  return KernelDistance(float(np.mean(estimates)), float(np.std(estimates)))


def _discrepancy(real: npt.NDArray[np.float64], generated: npt.NDArray[np.float64]) -> float:
  """Unbiased estimate from equally many rows of each set."""
  size = len(real)
  between = _kernel(real, generated).sum() / size**2
  within = 0.0
  for rows in (real, generated):
    kernel = _kernel(rows, rows)
    within += (kernel.sum() - np.trace(kernel)) / (size * (size - 1))
  return float(within - 2 * between)


def _kernel(
  left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
  base = left @ right.T / left.shape[1] + 1.0
  return base * base * base  # numpy's power takes two thirds of a scoring's time
