"""Leading directions of many rows: a randomised range finder (Halko, Martinsson & Tropp 2011)."""

import functools

import jax
import jax.numpy as jnp

from nsn_jax import numerics

__all__ = ["range_finder"]


@functools.partial(jax.jit, static_argnames="size")
def range_finder(key: jax.Array, rows: jax.Array, *, size: int) -> tuple[jax.Array, jax.Array]:
  """Directions along which rows are largest, by one power iteration on random combinations.

  Args:
    key: PRNG key.
    rows: float32 [n, D], centred by the caller where the mean should not count.
    size: B, at most n and D. What is asked for beyond the leading ones makes these better.

  Returns:
    Orthonormal directions [B, D], and the sum of squares of the rows along each, [B], falling.
  """
  dot = functools.partial(jnp.dot, precision=numerics.PRECISION)
  draws = jax.random.normal(key, (rows.shape[0], size), jnp.float32)
  q = jnp.linalg.qr(dot(rows.T, draws))[0]
  q = jnp.linalg.qr(dot(rows.T, dot(rows, q)))[0]
  along = dot(rows, q)
  power, turn = jnp.linalg.eigh(dot(along.T, along))
  return dot(q, turn[:, ::-1]).T, jnp.maximum(power[::-1], 0.0)
