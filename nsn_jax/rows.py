"""Rows of a data set, each process's own, and passes over them in batches, a shard a device."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import processes
from nsn_jax.placement import Placement, place

__all__ = ["Batch", "Rows", "count_rows", "filled"]


class Batch(NamedTuple):
  """What the devices look at at once.

  Attributes:
    base: sharded, [devices * size, ...].
    counts: how many of each local device's count, int32; the others are filling.
    shards: the local logical shard that each local device is at.
    start: place of the batch's first row among the shard's.
    ends: whether it is a shard's last.
  """

  base: jax.Array
  counts: npt.NDArray[np.int32]
  shards: list[int]
  start: int
  ends: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
  """N rows, of which each process holds its own.

  Attributes:
    local: this process's, on the host.
    num_rows: N.
    place: which these are.
  """

  local: np.ndarray
  num_rows: int
  place: Placement

  @classmethod
  def of(cls, local: np.ndarray) -> "Rows":
    """All rows of a process that is alone."""
    return cls(local, len(local), place(None))

  def __len__(self) -> int:
    return self.num_rows

  @property
  def shape(self) -> tuple[int, ...]:
    """(N, ...)."""
    return (self.num_rows, *self.local.shape[1:])

  def take(self, numbers: np.ndarray) -> np.ndarray:
    """Rows of these numbers, in their order, on every process."""
    if jax.process_count() == 1:
      return self.local[numbers]
    own = self.place.local_rows(self.num_rows)
    # Processes' rows rise, so that each one's, sorted, are sorted one after the other.
    mine = np.sort(numbers[(numbers >= own.start) & (numbers < own.stop)])
    found = processes.joined(self.local[mine - own.start])
    return found[np.argsort(np.argsort(numbers, kind="stable"))]

  @property
  def most(self) -> int:
    """Rows of a logical shard, at most."""
    return -(-self.num_rows // self.place.num_shards)

  def shards(self) -> list[range]:
    """This process's rows of each of its logical shards."""
    first = self.place.local_rows(self.num_rows).start
    rows = [self.place.shard_rows(self.num_rows, shard) for shard in self.place.local_shards]
    return [range(own.start - first, own.stop - first) for own in rows]

  def batches(
    self,
    size: int,
    rows: Sequence[range | npt.NDArray[np.integer]] | None = None,
    most: int | None = None,
  ) -> Iterator[Batch]:
    """A pass: each device goes through its shards one after the other.

    Args:
      size: rows of a device at a time.
      rows: of this process, for each of its logical shards; all by default.
      most: of all processes' shards the longest's number of `rows`.
    """
    rows, most = (self.shards(), self.most) if rows is None or most is None else (rows, most)
    m, devices = self.place.per_device, len(self.place.local_devices)
    for turn in range(m):
      shards = [device * m + turn for device in range(devices)]
      for start in range(0, most, size):
        parts = [self._part(rows[shard][start : start + size]) for shard in shards]
        base = [filled(part, size) for part in parts]
        yield Batch(
          self.place.put(base[0] if devices == 1 else np.concatenate(base)),
          np.asarray([len(part) for part in parts], np.int32),
          shards,
          start,
          start + size >= most,
        )

  def _part(self, rows: range | npt.NDArray[np.integer]) -> np.ndarray:
    return self.local[rows.start : rows.stop] if isinstance(rows, range) else self.local[rows]


def filled(batch: np.ndarray, size: int) -> np.ndarray:
  """A last batch filled up to `size`, so that one shape is compiled."""
  if len(batch) == size:
    return batch
  return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])


def count_rows(where: Placement, local: int) -> int:
  """N of all processes, of which this one gives `local`.

  Raises:
    ValueError: unless each process gives its own part, on all of them alike.
  """
  if jax.process_count() == 1:
    return local
  counts = processes.joined(np.asarray([local], np.int64))
  num_rows, each = int(counts.sum()), len(where.local_shards)
  bounds = [num_rows * each * process // where.num_shards for process in range(len(counts) + 1)]
  expected = np.diff(bounds).tolist()
  if counts.tolist() != expected:
    raise ValueError(
      f"images: expected {expected} of {num_rows} on processes 0 to {len(counts) - 1}, as "
      f"nsn_jax.local_rows says, got {counts.tolist()}"
    )
  return num_rows
