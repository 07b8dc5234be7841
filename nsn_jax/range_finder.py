"""Leading directions of many rows: a randomised range finder (Halko, Martinsson & Tropp 2011)."""

import functools

import jax
import jax.numpy as jnp

from nsn_jax import numerics

__all__ = ["range_finder"]

_dot = functools.partial(jnp.dot, precision=numerics.PRECISION)


def range_finder(key: jax.Array, rows: jax.Array, *, size: int) -> tuple[jax.Array, jax.Array]:
  """Directions along which rows are largest, by one power iteration on random combinations.

  Args:
    key: PRNG key.
    rows: float32 [n, D], centred by the caller where the mean should not count.
    size: B, at most n and D. What is asked for beyond the leading ones makes these better.

  Returns:
    Orthonormal directions [B, D], and the sum of squares of the rows along each, [B], falling.
  """
  # Transposed by programs of their own (`nsn_jax.threads`).
  q, along = _leading(key, rows.T, rows, size=size)
  directions, power = _turned(q, along.T, along)
  return directions.T, power


@functools.partial(jax.jit, static_argnames="size")
def _leading(
  key: jax.Array, columns: jax.Array, rows: jax.Array, *, size: int
) -> tuple[jax.Array, jax.Array]:
  """Orthonormal directions [D, B], and the rows along each, [n, B]."""
  draws = jax.random.normal(key, (rows.shape[0], size), jnp.float32)
  q = jnp.linalg.qr(_dot(columns, draws))[0]
  q = jnp.linalg.qr(_dot(columns, _dot(rows, q)))[0]
  return q, _dot(rows, q)


@jax.jit
def _turned(q: jax.Array, columns: jax.Array, along: jax.Array) -> tuple[jax.Array, jax.Array]:
  power, turn = jnp.linalg.eigh(_dot(columns, along))
  return _dot(q, turn[:, ::-1]), jnp.maximum(power[::-1], 0.0)
