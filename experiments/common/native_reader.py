"""Reads a process's native messages until it ends, and shows those that mean something.

A program by itself, that imports nothing beyond Python's own: see `native_messages`.
"""

import re
import signal
import sys
from collections.abc import Iterable, Iterator

__all__ = ["LAST", "LOST", "shown"]

#: Begins a process's last line.
LAST = "\x01"
#: What is said where JAX ends a process as another one is gone.
LOST = (
  "error: processes: another one of this training has ended or cannot be reached; what is finished "
  "is kept: go on with --resume, on all of them"
)

#: A line of absl's log, and those that only tell of others' state.
_LOG = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d")
_OF_OTHERS = re.compile(r"coordination_service|preemption_sync_manager")
_CONNECTED = "[Gloo] Rank"
_FATAL = "Terminating process because the JAX distributed service detected fatal errors"


def shown(lines: Iterable[str]) -> Iterator[str]:
  """The lines that are worth showing: after the last one none."""
  hiding = False
  for line in lines:
    if line.startswith(LAST):
      yield line.removeprefix(LAST)
      return
    if _FATAL in line:
      yield f"{LOST}\n"
      return
    if _LOG.match(line):  # What follows without a head is of the same message.
      hiding = bool(_OF_OTHERS.search(line))
    if not hiding and not line.startswith(_CONNECTED):
      yield line


def _main() -> None:
  for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # It ends with the process that it reads.
    if hasattr(signal, name):
      signal.signal(getattr(signal, name), signal.SIG_IGN)
  lines = (line.decode(errors="replace") for line in sys.stdin.buffer)
  for line in shown(lines):
    sys.stderr.write(line)
    sys.stderr.flush()
  for _ in lines:  # So that who writes them need not wait.
    pass


if __name__ == "__main__":
  _main()
