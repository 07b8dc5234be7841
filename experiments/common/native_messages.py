"""What XLA's own code writes to the terminal, cut down to what a user has a use for.

Where another process of a training is gone, JAX's coordination service ends this one by a fatal
error of its own, with a page of addresses that no setting of jax leaves out. A process beside this
one reads that, as this one has no time left, and writes one line in its place.
"""

import os
import pathlib
import subprocess
import sys

from experiments.common import native_reader

__all__ = ["filter_them", "say_last"]

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
  reader = subprocess.Popen(
    [sys.executable, "-S", "-E", str(pathlib.Path(native_reader.__file__))], stdin=subprocess.PIPE
  )
  assert reader.stdin is not None
  os.dup2(reader.stdin.fileno(), 1)
  os.dup2(reader.stdin.fileno(), 2)
  # Or the reader would wait for ever: its end is that of the last who can write.
  reader.stdin.close()
  sys.stdout, sys.stderr = os.fdopen(out, "w", buffering=1), os.fdopen(err, "w", buffering=1)
  _filtered = True


def say_last(message: str) -> None:
  """A process's last line: once, whichever of both notices first that another process is gone."""
  sys.stderr.flush()
  os.write(2, f"{native_reader.LAST if _filtered else ''}{message}\n".encode())
