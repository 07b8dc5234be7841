"""Sums in the order of a balanced tree: neighbours first, then neighbouring pairs, and so on.

So the sum of parts, each the sum of 1, 2, 4, 8, ... terms next to each other, has the bits of the
sum of all terms, wherever the parts were added up.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp

__all__ = ["TreeSum", "tree_sum"]

_Tree = TypeVar("_Tree")


def tree_sum(parts: jax.Array) -> jax.Array:
  """Sum along the first axis in the order of a balanced tree: neighbours first."""
  while parts.shape[0] > 1:
    pairs = parts.shape[0] // 2 * 2
    parts = jnp.concatenate([parts[0:pairs:2] + parts[1:pairs:2], parts[pairs:]])
  return parts[0]


class TreeSum(Generic[_Tree]):
  """Adds up what comes one after the other as `tree_sum` does, holding log2 of their number."""

  def __init__(self, add: Callable[[_Tree, _Tree], _Tree]):
    self._add = add
    self._stack: list[tuple[int, _Tree]] = []

  def push(self, part: _Tree) -> None:
    """Takes the next part."""
    level = 0
    while self._stack and self._stack[-1][0] == level:
      part, level = self._add(self._stack.pop()[1], part), level + 1
    self._stack.append((level, part))

  def total(self) -> _Tree:
    """The sum of all parts; at least one."""
    found = self._stack.pop()[1]
    while self._stack:
      found = self._add(self._stack.pop()[1], found)
    return found
