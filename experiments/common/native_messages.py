"""What XLA's own code writes to the terminal, cut down to what a user has a use for.

Where another process of a training is gone, JAX's coordination service ends this one by a fatal
error of its own, with a page of addresses that no setting of jax leaves out. A process beside this
one reads that, as this one has no time left, and writes one line in its place. It runs this file
alone, which imports nothing beyond Python's own.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator

__all__ = ["LOST", "filter_them", "read", "say_lost", "shown"]

#: What is said where a process ends as another one is gone.
LOST = (
  "error: processes: another one of this training has ended or cannot be reached; what is finished "
  "is kept: go on with --resume, on all of them"
)

#: The head of a line of absl's log, and who only tells of others' state.
_LOG = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d")
_OF_OTHERS = re.compile(r"coordination_service|preemption_sync_manager")
_CONNECTED = "[Gloo] Rank"
_FATAL = "Terminating process because the JAX distributed service detected fatal errors"
#: The reader's program.
_READER = "import runpy, sys; runpy.run_path(sys.argv[1])['read']()"

_filtered = False


def filter_them() -> None:
  """Sends what is written past Python to descriptors 1 and 2 through the reader, and so to 2.

  For a program of its own, not for a notebook or a test.
  """
  global _filtered
  if _filtered:
    return
  for stream in (sys.stdout, sys.stderr):
    stream.flush()
  out, err = os.dup(1), os.dup(2)
  this = str(pathlib.Path(__file__).resolve())
  reader = subprocess.Popen(
    [sys.executable, "-S", "-E", "-c", _READER, this], stdin=subprocess.PIPE
  )
  assert reader.stdin is not None
  os.dup2(reader.stdin.fileno(), 1)
  os.dup2(reader.stdin.fileno(), 2)
  # Or the reader would wait for ever: its end is that of the last who can write.
  reader.stdin.close()
  sys.stdout, sys.stderr = os.fdopen(out, "w", buffering=1), os.fdopen(err, "w", buffering=1)
  _filtered = True


def say_lost() -> None:
  """Says that another process is gone: once, whether Python or XLA's own code notices it first."""
  sys.stderr.flush()
  os.write(2, f"{LOST}\n".encode())


def shown(lines: Iterable[str]) -> Iterator[str]:
  """The lines that are worth showing; after the one that another process is gone, none."""
  hiding = False
  for line in lines:
    if _FATAL in line or line.startswith(LOST):
      yield f"{LOST}\n"
      return
    if _LOG.match(line):  # What follows without a head is of the same message.
      hiding = bool(_OF_OTHERS.search(line))
    if not hiding and not line.startswith(_CONNECTED):
      yield line


def read() -> None:
  """The reader: shows what comes in until the process that it reads has ended."""
  for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # They are that process's to handle.
    if hasattr(signal, name):
      signal.signal(getattr(signal, name), signal.SIG_IGN)
  lines = (line.decode(errors="replace") for line in sys.stdin.buffer)
  for line in shown(lines):
    sys.stderr.write(line)
    sys.stderr.flush()
  for _ in lines:  # So that who writes them need not wait.
    pass
