"""How the processes of a training go together: the first has the workdir, the others follow it.

Before training begins the first tells them of it, or of what it found wrong, and each of them of
what it finds wrong: all end by the same error. What training goes on from is sent, so that the
others need not see the workdir.
"""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

import nsn_jax
from nsn_jax import data, processes

__all__ = ["Following", "Leader", "follow", "leading", "share"]

#: What the first process says: nothing is left to train, or it begins and a network may follow.
_NOTHING, _BEGIN = b"0", b"1"


class Following(NamedTuple):
  """What a process that follows begins with.

  Attributes:
    dataset: all images, of which it takes its `share`.
    initial: a network trained in part, above which training goes on.
  """

  dataset: data.Dataset
  initial: nsn_jax.NSN | None


class Leader:
  """The first process, or the only one, until training begins."""

  def __init__(self) -> None:
    self.told = False

  def begin(self, partial: pathlib.Path | None = None) -> None:
    """Training begins, above a network in a file if there is one.

    Raises:
      ValueError: for what another process found wrong.
    """
    self._tell(_BEGIN + (b"" if partial is None else partial.read_bytes()))

  def nothing_left(self) -> None:
    """The network is trained: the others may go."""
    self._tell(_NOTHING)

  def _tell(self, message: bytes) -> None:
    self.told = True
    processes.agreed(lambda: (None, {}))
    processes.of_first(message)

  def _failed(self, error: Exception) -> None:
    def fail() -> tuple[None, dict[str, str]]:
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


def follow(load: Callable[[], data.Dataset]) -> Following | None:
  """What a process begins with that is not the first: it then writes and prints nothing.

  Args:
    load: the data set, as the first process has it.

  Returns:
    None where nothing is left to train.

  Raises:
    ValueError: for what is wrong on another process, and any error of `load`.
  """
  found = processes.agreed(lambda: (load(), {}))
  message = processes.of_first(b"")
  if message == _NOTHING:
    return None
  initial = None
  if content := message.removeprefix(_BEGIN):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, "nsn.safetensors")
      path.write_bytes(content)
      initial = nsn_jax.load(path)
  return Following(found, initial)
