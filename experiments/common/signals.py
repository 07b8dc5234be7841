"""Signals that end a launcher, and the launchers that it starts: they end with it.

SIGTERM, as a scheduler sends it, and SIGHUP, as a terminal that is closed does, are told of as
Ctrl-C is: what is finished is kept, and a line says how to go on.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import FrameType

__all__ = ["exit_code", "handle", "run"]

#: Those that are told of as Ctrl-C is; not every system has all.
_TERMINATING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
#: Tells a child who started it.
_PARENT = "NSN_JAX_PARENT"
#: Linux: has a process sent a signal when its parent is gone, however that ended.
_PR_SET_PDEATHSIG = 1
#: Seconds after which a signal that was lost is sent again.
_AGAIN_S = 0.1
#: Seconds that a child has to end by itself, and then to end when it is told to.
_PATIENCE_S = 10.0

#: The last signal that asked this process to end.
_received: int = signal.SIGINT


def handle() -> None:
  """Has SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, from now on.

  For a program of its own, not for a notebook or a test. What the process was started to ignore, as
  `nohup` and a shell's background jobs are, it goes on ignoring.
  """
  if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
  for number in _TERMINATING:
    if signal.getsignal(number) is not signal.SIG_IGN:
      signal.signal(number, _interrupt)
  sys.unraisablehook = _send_again
  _follow_parent()


def exit_code() -> int:
  """As shells count it where a signal ended a program: 130 for Ctrl-C, 143 for SIGTERM."""
  return 128 + _received


def run(command: Sequence[str]) -> int:
  """Runs a launcher to its end, in a process that ends where this one is ended.

  Args:
    command: the interpreter and its arguments.

  Returns:
    Its exit code, and 128 + the signal's number where a signal ended it.

  Raises:
    KeyboardInterrupt: where this process or the launcher is interrupted.
    OSError: where it cannot be started.
  """
  global _received
  with subprocess.Popen(command, env=os.environ | {_PARENT: str(os.getpid())}) as child:
    try:
      code = child.wait()
    except BaseException:
      _end(child)
      raise
  if code < 0:
    code = 128 - code
  if code - 128 in (signal.SIGINT, *_TERMINATING):
    _received = code - 128
    raise KeyboardInterrupt
  return code


def _interrupt(number: int, _: FrameType | None) -> None:
  global _received
  _received = number
  raise KeyboardInterrupt


def _send_again(unraisable: "sys.UnraisableHookArgs") -> None:
  """Sends a signal again whose interrupt came within a callback of the garbage collector.

  Python drops what is raised there, and JAX has such callbacks at every step.
  """
  if unraisable.exc_type is None or not issubclass(unraisable.exc_type, KeyboardInterrupt):
    sys.__unraisablehook__(unraisable)
    return
  timer = threading.Timer(_AGAIN_S, os.kill, [os.getpid(), _received])
  timer.daemon = True  # Nothing waits for it where the process ends before.
  timer.start()


def _end(child: subprocess.Popen[bytes]) -> None:
  """Waits for a child that was told to end as well, tells it, and ends it in the last resort."""
  # A terminal sends Ctrl-C to both; other signals come to the one that they are sent to.
  if _received != signal.SIGINT:
    child.terminate()
  try:
    for insist in (child.terminate, child.kill):
      with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_PATIENCE_S)
        return
      insist()
    child.wait()
  except BaseException:  # Interrupted once more.
    child.kill()
    raise


def _follow_parent() -> None:
  """Has the system end this process with the one that started it by `run`, even by SIGKILL."""
  parent = os.environ.pop(_PARENT, None)
  if parent is None or sys.platform != "linux":
    return
  ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
  if os.getppid() != int(parent):  # It was gone before.
    signal.raise_signal(signal.SIGTERM)
