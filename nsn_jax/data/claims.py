"""Which process decodes in which folder: no two in one, and a killed one's is taken up again.

A folder is a process's by a lock on a file in it, which ends with the process however that ends.
"""

import contextlib
import os
import pathlib
import shutil
import time
import uuid
from typing import BinaryIO, NamedTuple

from nsn_jax import files

try:
  import fcntl
except ImportError:  # Windows has none.
  fcntl = None  # type: ignore[assignment]

__all__ = ["JOURNAL", "Claim", "claimed", "remove_dead"]

#: The file that is locked.
JOURNAL = "journal"
#: Folders of one set at most that others can take up; any more processes have nameless ones.
_MOST_FOLDERS = 16


class Claim(NamedTuple):
  """A folder that is this process's alone, and its open journal."""

  folder: pathlib.Path
  journal: BinaryIO
  is_locked: bool


def claimed(target: pathlib.Path) -> Claim:
  """The first folder that no living process has."""
  for number in range(_MOST_FOLDERS):
    folder = target.with_name(f"{target.name}.partial-{number}")
    folder.mkdir(exist_ok=True)
    try:
      journal = (folder / JOURNAL).open("a+b")
    except FileNotFoundError:  # Another process has just moved it.
      continue
    try:
      _lock(journal)
      if os.path.samestat(os.fstat(journal.fileno()), (folder / JOURNAL).stat()):
        return Claim(folder, journal, True)
    except (BlockingIOError, FileNotFoundError):  # Another's, or moved.
      pass
    except OSError:  # No locks here.
      journal.close()
      break
    journal.close()
  folder = target.with_name(f"{target.name}.partial-{uuid.uuid4().hex}")
  folder.mkdir()
  return Claim(folder, (folder / JOURNAL).open("a+b"), False)


def remove_dead(target: pathlib.Path) -> None:
  """Removes what killed processes left of a set that is whole now, where it can."""
  for folder in list(target.parent.glob(f"{target.name}.partial-*")):
    with contextlib.suppress(OSError), (folder / JOURNAL).open("r+b") as journal:
      try:
        _lock(journal)
      except BlockingIOError:
        continue
      except OSError:  # Without locks its age tells.
        if time.time() - (folder / JOURNAL).stat().st_mtime < files.LEFT_S:
          continue
      shutil.rmtree(folder, ignore_errors=True)


def _lock(file: BinaryIO) -> None:
  """Locks a file as long as it is open.

  Raises:
    BlockingIOError: where another process has.
    OSError: where the system, or the disk, has no locks.
  """
  if fcntl is None:
    raise OSError("no locks on this system")
  fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
