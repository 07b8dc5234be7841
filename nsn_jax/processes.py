"""What the processes of a training know of each other; of one alone all is as it was given."""

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from nsn_jax.tree_sum import TreeSum

__all__ = [
  "LostProcessError",
  "across",
  "agreed",
  "arrays_of_first",
  "joined",
  "losses_told",
  "of_first",
]

_T = TypeVar("_T")

#: What XLA's collectives and JAX's coordination service say where another process is gone.
_LOST = re.compile(r"\b(gloo|nccl|coordination|heartbeat)|socket closed|connection (reset|closed)")


class LostProcessError(ConnectionError):
  """Another process of the training has ended or cannot be reached."""


def _gathered(rows: np.ndarray) -> list[np.ndarray]:
  """Rows that each process has some of, [n, ...], on every process, by process."""
  counts = multihost_utils.process_allgather(np.asarray([len(rows)], np.int32)).ravel()
  filled = np.zeros((max(int(counts.max()), 1), *rows.shape[1:]), rows.dtype)
  filled[: len(rows)] = rows
  # As bytes: values of 64 bits would come back as 32.
  raw = filled.reshape(len(filled), -1).view(np.uint8)
  parts = multihost_utils.process_allgather(raw).view(rows.dtype)
  parts = parts.reshape(len(counts), *filled.shape)
  return [part[:count] for part, count in zip(parts, counts, strict=True)]


def joined(rows: np.ndarray) -> np.ndarray:
  """Rows that each process has some of, [n, ...], one after the other, on every process."""
  return rows if jax.process_count() == 1 else np.concatenate(_gathered(rows))


def across(part: np.ndarray) -> np.ndarray:
  """Sum over processes of an array that each has its own of, in the order of a tree."""
  found: TreeSum[np.ndarray] = TreeSum(np.add)
  for one in joined(np.asarray(part)[None]):
    found.push(one)
  return found.total()


def of_first(content: bytes) -> bytes:
  """What the first process gives, on every one; what the others give does not matter."""
  own = np.frombuffer(content if jax.process_index() == 0 else b"", np.uint8)
  return joined(own).tobytes()


def arrays_of_first(arrays: Sequence[np.ndarray | jax.Array]) -> list[np.ndarray | jax.Array]:
  """Arrays, as many and of what shapes the first process has, on every one.

  For what each process could find for itself: two of another make, or of two choices of the
  compiler's, would round it otherwise, and hold as one what is not.
  """
  if jax.process_count() == 1:
    return list(arrays)
  packed = io.BytesIO()
  np.savez(packed, *map(np.asarray, arrays))
  with np.load(io.BytesIO(of_first(packed.getvalue()))) as found:
    return [found[f"arr_{index}"] for index in range(len(found.files))]


def agreed(check: Callable[[], _T], facts: Callable[[_T], Mapping[str, str]] | None = None) -> _T:
  """What a check comes to, where it comes to something on every process, and to the same facts.

  What one process finds wrong is raised on all of them: none is left waiting for another.

  Args:
    check: raises, or returns what it found.
    facts: of what was found, those that must be the same on all processes, by the name of what they
      are of; a process that is alone has nobody to compare them with, and asks for none.

  Raises:
    ValueError: what `check` raises on another process, and for facts that differ.
    Exception: what it raises on this one.
  """
  if jax.process_count() == 1:
    return check()
  error: Exception | None = None
  own_facts: Mapping[str, str] = {}
  try:
    found = check()
    own_facts = facts(found) if facts is not None else {}
  except Exception as raised:
    error = raised
  told = {"error": None if error is None else str(error) or repr(error), "facts": dict(own_facts)}
  own = np.frombuffer(json.dumps(told).encode(), np.uint8)
  every = [json.loads(part.tobytes()) for part in _gathered(own)]
  if error is not None:
    raise error
  for process, other in enumerate(every):
    if other["error"] is not None:
      raise ValueError(f"{other['error']} (process {process})")
  first = every[0]["facts"]
  for process, other in enumerate(every):
    for name in [*first, *other["facts"]]:
      expected, given = first.get(name), other["facts"].get(name)
      if expected != given:
        raise ValueError(
          f"{name}: expected the same on all processes, got {expected} on process 0 and {given} on "
          f"process {process}"
        )
  return found


@contextlib.contextmanager
def losses_told() -> Iterator[None]:
  """Has the loss of another process raised as such, whatever it is that notices it.

  Raises:
    LostProcessError: where another process is gone, and what waits for it says so.
  """
  try:
    yield
  except (ValueError, RuntimeError) as error:  # Gloo's are of both kinds.
    if jax.process_count() == 1 or not _LOST.search(str(error).lower()):
      raise
    raise LostProcessError(
      f"processes: expected all {jax.process_count()} to go on, but another one has ended or "
      "cannot be reached"
    ) from error
