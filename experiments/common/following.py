"""How the processes of a training go together: the first has the workdir, the others follow it.

Before training begins the first tells them of it, or of what it found wrong, and each of them of
what it finds wrong: all end by the same error. What training goes on from is sent, so that the
others need not see the workdir.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
import numpy.typing as npt

import nsn_jax
from nsn_jax import data, processes

__all__ = ["Leader", "follow", "leading", "share"]


class Leader:
  """The first process, or the only one, until training begins."""

  def __init__(self) -> None:
    self.told = False

  def begin(self, *kept: pathlib.Path) -> None:
    """Training begins, or goes on from files.

    Raises:
      ValueError: for what another process found wrong.
    """
    self._tell([path.name for path in kept], kept)

  def nothing_left(self) -> None:
    """The network is trained: the others may go."""
    self._tell(None, [])

  def _tell(self, names: list[str] | None, kept: Sequence[pathlib.Path]) -> None:
    self.told = True
    processes.agreed(lambda: None)
    if jax.process_count() > 1:  # The files may be large, and one alone has nobody to send them to.
      parts = [json.dumps(names).encode(), *(path.read_bytes() for path in kept)]
      processes.arrays_of_first([np.frombuffer(part, np.uint8) for part in parts])

  def _failed(self, error: Exception) -> None:
    def fail() -> None:
      raise error

    if not self.told:
      processes.agreed(fail)


@contextlib.contextmanager
def leading() -> Iterator[Leader]:
  """What is raised before the leader has told of the beginning is raised on all processes."""
  leader = Leader()
  try:
    yield leader
  except Exception as error:
    leader._failed(error)
    raise


def share(
  found: data.Dataset, mesh: jax.sharding.Mesh | None, num_shards: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32] | None]:
  """This process's images and labels; of images that are mapped from a file no others are read."""
  if mesh is None:
    return found.images, found.labels
  rows = nsn_jax.local_rows(len(found.images), mesh, num_shards)
  own = slice(rows.start, rows.stop)
  return found.images[own], None if found.labels is None else found.labels[own]


def follow(load: Callable[[], data.Dataset], folder: pathlib.Path) -> data.Dataset | None:
  """What a process begins with that is not the first: it then writes and prints nothing.

  Args:
    load: the data set, as the first process has it.
    folder: an empty one, where the files that training goes on from come to lie.

  Returns:
    All images, of which it takes its `share`; None where nothing is left to train.

  Raises:
    ValueError: for what is wrong on another process, and any error of `load`.
  """
  found = processes.agreed(load)
  head, *contents = (np.asarray(part).tobytes() for part in processes.arrays_of_first([]))
  names = json.loads(head)
  if names is None:
    return None
  for name, content in zip(names, contents, strict=True):
    (folder / name).write_bytes(content)
  return found
