"""Products of rows by group: sums that factors and decoders are fitted from, and what those apply.

Rows are sorted by group and taken in blocks of one group each, so that neither one matrix a row nor
a [groups, n] array is made.
"""

import functools
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from nsn_jax import numerics

__all__ = ["add_sums", "apply_by_group", "sum_products_by_group"]

#: Rows of a group that are multiplied at once.
_BLOCK = 32
#: Rows a group up to which each row takes its own matrix, which costs the memory of all of them.
_FEW = 2


_Sums = TypeVar("_Sums")


@jax.jit
def add_sums(a: _Sums, b: _Sums) -> _Sums:
  """Sums over the union of two disjoint sets, of any pytree of sums."""
  return jax.tree.map(jnp.add, a, b)


class _Blocks(NamedTuple):
  """Where rows go.

  Attributes:
    rows: of each block, int32 [blocks, size]; n where a block is not filled.
    group: of each block, int32 [blocks].
    slot: place of each row in the blocks, int32 [n]; one past the last where it does not count.
  """

  rows: jax.Array
  group: jax.Array
  slot: jax.Array


def _blocks(index: jax.Array, num_groups: int) -> _Blocks:
  n = index.shape[0]
  order = jnp.argsort(index, stable=True)
  group = index[order]
  count = jnp.zeros(num_groups, jnp.int32).at[index].add(1, mode="drop")
  num_blocks = -(-count // _BLOCK)
  first_block = jnp.cumsum(num_blocks) - num_blocks
  first_row = jnp.cumsum(count) - count
  most = -(-n // _BLOCK) + num_groups  # each group's last block may be filled in part
  known = jnp.minimum(group, num_groups - 1)
  slot = first_block[known] * _BLOCK + jnp.arange(n, dtype=jnp.int32) - first_row[known]
  slot = jnp.where(group < num_groups, slot, most * _BLOCK)
  rows = jnp.full(most * _BLOCK, n, jnp.int32).at[slot].set(order.astype(jnp.int32), mode="drop")
  owner = jnp.zeros(most, jnp.int32).at[slot // _BLOCK].max(known, mode="drop")
  back = jnp.zeros(n, jnp.int32).at[order].set(slot)
  return _Blocks(rows.reshape(most, _BLOCK), owner, back)


def _take(values: jax.Array, rows: jax.Array) -> jax.Array:
  return values.at[rows].get(mode="fill", fill_value=0.0)


@functools.partial(jax.jit, static_argnames="num_groups")
def sum_products_by_group(
  index: jax.Array, left: jax.Array, right: jax.Array, *, num_groups: int
) -> jax.Array:
  """The sum over each group's rows of left_i right_i^T, one matrix a group. Additive over rows.

  Args:
    index: group of each row, int32 [n]; `num_groups` for rows that do not count.
    left: float32 [n, P].
    right: float32 [n, Q].
    num_groups: G.

  Returns:
    float32 [G, P, Q].
  """
  blocks = _blocks(index, num_groups)

  def add(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    rows, group = block
    product = jnp.dot(_take(left, rows).T, _take(right, rows), precision=numerics.PRECISION)
    return total.at[group].add(product), None

  zero = jnp.zeros((num_groups, left.shape[1], right.shape[1]), jnp.float32)
  return jax.lax.scan(add, zero, (blocks.rows, blocks.group))[0]


@jax.jit
def apply_by_group(index: jax.Array, left: jax.Array, matrices: jax.Array) -> jax.Array:
  """Each row times its group's matrix.

  Args:
    index: group of each row, int32 [n], in [0, G).
    left: float32 [n, P].
    matrices: float32 [G, P, Q].

  Returns:
    float32 [n, Q].
  """
  if index.shape[0] <= _FEW * matrices.shape[0]:  # blocks would be hardly filled
    return jnp.einsum("np,npq->nq", left, matrices[index], precision=numerics.PRECISION)
  blocks = _blocks(index, matrices.shape[0])

  def one(block: tuple[jax.Array, jax.Array]) -> jax.Array:
    rows, group = block
    return jnp.dot(_take(left, rows), matrices[group], precision=numerics.PRECISION)

  products = jax.lax.map(one, (blocks.rows, blocks.group))
  return products.reshape(-1, matrices.shape[2])[blocks.slot]
