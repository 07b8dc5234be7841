"""The importance-weighted bound (Burda et al. 2016, arXiv:1509.00519)."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from nsn_jax import checks

__all__ = ["bound", "bound_of_many"]


def bound(log_weights: jax.Array) -> jax.Array:
  """The logarithm of (1/k) sum_i w_i, a bound of log p(x) on average (Eq 8 of the paper).

  A weight is w_i = p(x, z_i) / q(z_i | x), of a draw z_i of q. One draw gives the evidence lower
  bound; more never less, on average; all of them log p(x). Its gradient, where weights are made
  from the draws' noise, is the paper's (Eq 14).

  Args:
    log_weights: float32 [k, N], any finite values.

  Returns:
    float32 [N], in nats. Pure.
  """
  return jax.nn.logsumexp(log_weights, axis=0) - math.log(len(log_weights))


def bound_of_many(
  key: jax.Array,
  draw: Callable[[jax.Array, int], jax.Array],
  num_draws: int,
  at_once: int,
) -> jax.Array:
  """The bound of more draws than there is memory for: chunk by chunk, in one loop.

  Args:
    key: PRNG key; each chunk folds its number in.
    draw: from a key and a number of draws to log-weights [number, N].
    num_draws: k, at least 1.
    at_once: draws of a chunk at most, at least 1; a change of it draws others.

  Returns:
    float32 [N], in nats. Pure.

  Raises:
    ValueError: for numbers that are not as above.
  """
  checks.integer("num_draws", num_draws, 1)
  checks.integer("at_once", at_once, 1)
  at_once = min(at_once, num_draws)
  num_chunks, rest = divmod(num_draws, at_once)

  def total(chunk: jax.Array | int, num: int) -> jax.Array:
    return jax.nn.logsumexp(draw(jax.random.fold_in(key, chunk), num), axis=0)

  chunks = jnp.arange(num_chunks, dtype=jnp.int32)
  totals = jax.lax.map(lambda chunk: total(chunk, at_once), chunks)
  if rest:
    totals = jnp.concatenate([totals, total(num_chunks, rest)[None]])
  return jax.nn.logsumexp(totals, axis=0) - math.log(num_draws)
