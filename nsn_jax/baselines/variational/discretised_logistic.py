"""The discretised logistic of 8-bit values (Kingma et al. 2016, arXiv:1606.04934)."""

import jax
import jax.numpy as jnp

__all__ = ["log_probability"]

#: Half the distance of two of 256 values in [-1, 1].
_HALF = 1 / 255


def log_probability(values: jax.Array, mean: jax.Array, log_scale: jax.Array) -> jax.Array:
  """Log-probability of 8-bit values: what a logistic of this mean and scale has in their bins.

  A bin reaches half-way to the next values, the first and the last without end (Salimans et al.
  2017, arXiv:1701.05517, Eq 2), so that 256 probabilities sum to 1. As
  sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), and a - b is the same in all
  inner bins, the logarithm is exact far from the mean, too, where the difference is 0 in float32.

  Args:
    values: float32 [...], 8-bit values as in [-1, 1].
    mean: float32, broadcast against them.
    log_scale: float32, broadcast against them.

  Returns:
    float32 [...], in nats, at most 0. Pure.
  """
  a = (values + _HALF - mean) * jnp.exp(-log_scale)
  b = (values - _HALF - mean) * jnp.exp(-log_scale)
  below, above = jax.nn.log_sigmoid(a), jax.nn.log_sigmoid(-b)
  inner = below + above + jnp.log(-jnp.expm1(-2 * _HALF * jnp.exp(-log_scale)))
  edge = 1 - _HALF  # Between the last bin and its neighbour.
  return jnp.where(values < -edge, below, jnp.where(values > edge, above, inner))
