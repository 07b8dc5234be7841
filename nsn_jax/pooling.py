"""How far the covariance of a filter's patches leans on that of all filters' patches.

The maximum likelihood of few patches is poor for others, and its factors follow single images. So a
filter's covariance has an inverse Wishart prior about the pooled one, P: with S_j the sum of the
products of n_j patches about their mean, m_j = n_j - 1 of them free,

    Sigma_j ~ W^-1(lambda P, lambda + B + 1)
    E[Sigma_j | S_j] = (S_j + lambda P) / (m_j + lambda)

and lambda, counted in patches, is where the evidence is highest, which has all covariances
integrated out (Greene & Rayens 1989; Haff 1980). At 0 each filter is alone; at infinity all have
one covariance. None of this is in the paper.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.factors import Moments

__all__ = ["evidence", "find_pooling", "pool"]

#: Leading directions whose evidence counts: those of a part of the values have the same lambda, and
#: eigenvalues of all would take minutes.
_DIRECTIONS = 64
#: lambdas that are tried: each a tenth above the last; the evidence is flat about its maximum.
_TRIED = np.geomspace(1.0, 1e5, 121)


def _log_gamma(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
  """Log of the multivariate gamma function of B dimensions, but for powers of pi; float64 [N]."""
  found, back = np.unique(values, return_inverse=True)  # filters of equal counts are many
  logs = [sum(math.lgamma(value - i / 2.0) for i in range(size)) for value in found.tolist()]
  return np.asarray(logs)[back]


def evidence(
  second: npt.NDArray, free: npt.NDArray, tried: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
  """Log-evidence of lambdas, in nats, up to what does not depend on them.

  Args:
    second: S_j, [K, B, B].
    free: m_j, free patches of each filter, [K]; above 0 in sum.
    tried: lambdas, [T], above 0.

  Returns:
    float64 [T].
  """
  second = np.asarray(second, np.float64)
  size = second.shape[-1]
  pooled = second.sum(axis=0) / free.sum()
  # A direction in which nothing varies is no evidence: a millionth keeps it finite.
  pooled += max(1e-6 * np.trace(pooled) / size, np.finfo(np.float32).tiny) * np.eye(size)
  inverse = np.linalg.inv(np.linalg.cholesky(pooled))
  powers = np.maximum(np.linalg.eigvalsh(inverse @ second @ inverse.T), 0.0)
  found = []
  for value in tried:
    degrees = value + size + 1.0
    spread = np.log1p(powers / value).sum(axis=1)
    # |lambda P|^(nu / 2) / |lambda P + S|^((nu + m) / 2), but for |P|.
    volume = -0.5 * (degrees + free) * spread - 0.5 * size * free * np.log(value)
    gammas = _log_gamma((degrees + free) / 2.0, size)
    found.append(np.sum(volume + gammas - _log_gamma(np.asarray([degrees / 2.0]), size)))
  return np.asarray(found)


def find_pooling(found: Moments) -> float:
  """The lambda of the highest evidence, from 1 to 100,000 patches; 1 where nothing varies."""
  free = np.maximum(np.asarray(found.count, np.float64) - 1.0, 0.0)
  size = min(_DIRECTIONS, found.second.shape[-1])
  second = np.asarray(found.second[:, :size, :size])
  if not (free.sum() > 0.0 and second.any()):
    return float(_TRIED[0])
  held = free > 0  # what no patch speaks of is no evidence
  return float(_TRIED[np.argmax(evidence(second[held], free[held], _TRIED))])


@jax.jit
def pool(found: Moments, patches: jax.typing.ArrayLike) -> Moments:
  """Moments of each filter with as many patches more that are like all filters' together.

  Args:
    found: of all patches.
    patches: lambda, at least 1.

  Returns:
    S_j + lambda P and the like, of m_j + lambda patches.
  """
  free = jnp.maximum(found.count - 1.0, 0.0)
  share = patches / jnp.maximum(jnp.sum(free), 1.0)
  return Moments(
    free + patches,
    found.second + share * jnp.sum(found.second, axis=0),
    found.square + share * jnp.sum(found.square),
  )
