"""What the processes of a training know of each other; of one alone all is as it was given."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from nsn_jax.tree_sum import TreeSum

__all__ = ["across", "joined"]


def joined(rows: np.ndarray) -> np.ndarray:
  """Rows that each process has some of, [n, ...], one after the other, on every process."""
  if jax.process_count() == 1:
    return rows
  counts = multihost_utils.process_allgather(np.asarray([len(rows)], np.int32)).ravel()
  filled = np.zeros((int(counts.max()), *rows.shape[1:]), rows.dtype)
  filled[: len(rows)] = rows
  # As bytes: values of 64 bits would come back as 32.
  raw = filled.reshape(len(filled), -1).view(np.uint8)
  parts = multihost_utils.process_allgather(raw).view(rows.dtype)
  parts = parts.reshape(len(counts), *filled.shape)
  return np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])


def across(part: np.ndarray) -> np.ndarray:
  """Sum over processes of an array that each has its own of, in the order of a tree."""
  found: TreeSum[np.ndarray] = TreeSum(np.add)
  for one in joined(np.asarray(part)[None]):
    found.push(one)
  return found.total()
