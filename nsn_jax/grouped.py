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

#: Rows of a group whose products are summed at once.
_SUMMED = 32
#: Rows of a group that its matrix is applied to at once: fewer where groups have few, as a block
#: that is hardly filled costs what a full one does.
_APPLIED, _APPLIED_OF_FEW = 16, 4
#: Rows a group on average from which it has many.
_MANY = 8


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


def _blocks(index: jax.Array, num_groups: int, size: int) -> _Blocks:
  n = index.shape[0]
  order = jnp.argsort(index, stable=True)
  group = index[order]
  count = jnp.zeros(num_groups, jnp.int32).at[index].add(1, mode="drop")
  num_blocks = -(-count // size)
  first_block = jnp.cumsum(num_blocks) - num_blocks
  first_row = jnp.cumsum(count) - count
  # The last block of each group that has rows may be filled in part.
  most = -(-n // size) + min(n, num_groups)
  known = jnp.minimum(group, num_groups - 1)
  slot = first_block[known] * size + jnp.arange(n, dtype=jnp.int32) - first_row[known]
  slot = jnp.where(group < num_groups, slot, most * size)
  rows = jnp.full(most * size, n, jnp.int32).at[slot].set(order.astype(jnp.int32), mode="drop")
  owner = jnp.zeros(most, jnp.int32).at[slot // size].max(known, mode="drop")
  back = jnp.zeros(n, jnp.int32).at[order].set(slot)
  return _Blocks(rows.reshape(most, size), owner, back)


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
  blocks = _blocks(index, num_groups, _SUMMED)

  def add(total: jax.Array, block: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    rows, group = block
    product = jnp.dot(_take(left, rows).T, _take(right, rows), precision=numerics.PRECISION)
    return total.at[group].add(product), None

  zero = jnp.zeros((num_groups, left.shape[1], right.shape[1]), jnp.float32)
  return jax.lax.scan(add, zero, (blocks.rows, blocks.group))[0]


@jax.jit
def apply_by_group(
  index: jax.Array, left: jax.Array, matrices: jax.Array, among: jax.Array | None = None
) -> jax.Array:
  """Each row times its group's matrix.

  Args:
    index: group of each row, int32 [n], in [0, G).
    left: float32 [n, P]; [m, P / c] where rows are put together.
    matrices: float32 [G, P, Q].
    among: rows of `left` that stand side by side in each row, int32 [n, c]; None for its own.

  Returns:
    float32 [n, Q].
  """
  many = index.shape[0] >= _MANY * matrices.shape[0]
  blocks = _blocks(index, matrices.shape[0], _APPLIED if many else _APPLIED_OF_FEW)

  def one(block: tuple[jax.Array, jax.Array]) -> jax.Array:
    rows, group = block
    if among is None:
      own = _take(left, rows)
    else:
      parts = among.at[rows].get(mode="fill", fill_value=left.shape[0])
      own = _take(left, parts).reshape(rows.shape[0], -1)
    return jnp.dot(own, matrices[group], precision=numerics.PRECISION)

  products = jax.lax.map(one, (blocks.rows, blocks.group))
  return products.reshape(-1, matrices.shape[2])[blocks.slot]
