"""The one home of floors, precisions and safe operations."""

import jax
import jax.numpy as jnp

__all__ = [
  "PRECISION",
  "SAFE_DISTANCE_SHARE",
  "VARIANCE_FLOOR",
  "column_means",
  "column_sums",
  "unfused",
]

#: Matrix products that a distance depends on. Accelerators would otherwise round float32 operands
#: to bfloat16 (TPU) or TF32 (GPU), which leaves three digits of a similarity.
PRECISION = jax.lax.Precision.HIGHEST

#: Default floor of a filter's variance `v_j` (whole squared distance of a patch). A filter of
#: identical patches would have v = 0 and an infinite similarity; 1e-4 gives it one of at most
#: -log(1e-4)/2 = 4.6, a feature of 0.99: far above the rest, as it should be, and finite.
VARIANCE_FLOOR = 1e-4

#: Below this share of the norms that it is the difference of, a squared distance taken from a
#: matrix product has lost its digits: its relative error is near 2**-23 / SAFE_DISTANCE_SHARE,
#: here 0.01%.
SAFE_DISTANCE_SHARE = 1e-3


def unfused(x: jax.Array) -> jax.Array:
  """Returns `x` unchanged, but keeps XLA from fusing its producer with its consumers.

  On CPU, XLA merges a matrix product with the reductions around it into one kernel that runs four
  times slower than the two apart (jaxlib 0.10: 45 ms became 200 ms at 10,000 x 4,680 x 131), and
  it drops an `optimization_barrier` before that. Rounding float32 to float32 changes no bit and
  is not merged.
  """
  return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=23)


def column_sums(rows: jax.Array, weight: jax.Array | None = None) -> jax.Array:
  """Sums of [n, ...] over rows, [...], each times its weight [n]; of finite float32.

  As a product, whose bits do not depend on the number of CPU threads; those of XLA's own sum do.
  """
  weight = jnp.ones(len(rows), jnp.float32) if weight is None else weight
  flat = rows.reshape(len(rows), -1)
  return jnp.dot(weight[None], flat, precision=PRECISION).reshape(rows.shape[1:])


def column_means(rows: jax.Array) -> jax.Array:
  """Means of [n, ...] over rows, [...], as `column_sums` of weights 1 / n.

  A division after the sum would have one rounding with the subtraction that follows it in some of
  the values, and two in others: which ones depends on how the threads share them.
  """
  return column_sums(rows, jnp.full(len(rows), 1.0 / len(rows), jnp.float32))
