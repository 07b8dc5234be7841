"""What reading a file may take at most, and how much memory it took of this process."""

import contextlib
import pathlib
import resource

__all__ = ["GROWTH", "IS_KNOWN", "SECONDS", "cap", "forget_peak", "peak", "resident"]

#: What one file may take at most.
SECONDS = 5.0
GROWTH = 2**30

_PROCESS = pathlib.Path("/proc/self")
#: Whether this system tells of a process's memory; tests of it need that.
IS_KNOWN = (_PROCESS / "status").exists()


def _status(name: str) -> int:
  """A size of this process, in bytes."""
  for line in (_PROCESS / "status").read_text().splitlines():
    if line.startswith(f"{name}:"):
      return int(line.split()[1]) * 1024
  raise OSError(f"expected {name} in {_PROCESS / 'status'}")


def resident() -> int:
  """Bytes that are in use."""
  return _status("VmRSS")


def peak() -> int:
  """Bytes that were in use at most, since `forget_peak`."""
  return _status("VmHWM")


def forget_peak() -> None:
  """Begins a new peak at what is in use."""
  with contextlib.suppress(OSError):  # Where that is not allowed, it is that of the whole process.
    (_PROCESS / "clear_refs").write_text("5")


def cap(extra: int) -> None:
  """From now on, this process may ask for so many bytes more, used or not; then a MemoryError."""
  _, hard = resource.getrlimit(resource.RLIMIT_AS)
  resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + extra, hard))
