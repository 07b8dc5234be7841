"""Keeps the newest state of a training in a file, in a thread beside it."""

import os
import queue
import threading
import warnings
from collections.abc import Callable
from types import TracebackType

import jax

from nsn_jax import checks
from nsn_jax.progress import TrainingState
from nsn_jax.training_state import on_host, save_state

__all__ = ["StateWriter"]


def _warn(message: str) -> None:
  warnings.warn(message, RuntimeWarning, stacklevel=3)


class StateWriter:
  """An `on_state` callback for `fit` that keeps the newest state in one file (`load_state`).

  The first state is written as it comes. After that the newest is written when `every_s` seconds
  have passed since the last was, also in the middle of a long step; states between are forgotten.
  Writing goes on in a thread: training waits for nothing but the copy of the filters to the host.
  With 0 seconds there is no thread, and each state is on the disk before training goes on.

  Where a file cannot be written, this is told once, the one before stays, and training goes on; the
  next state is tried again. Of several processes the first alone writes.

  Not to be called by two threads at once. As a context manager it closes itself.

  Attributes:
    kept: the state that is in the file, as far as this writer put it there; None for none.
  """

  def __init__(
    self,
    path: str | os.PathLike[str],
    every_s: float = 60.0,
    *,
    warn: Callable[[str], None] | None = None,
  ):
    """Writes nothing yet.

    Args:
      path: of the file.
      every_s: seconds between two writes, at least 0.
      warn: told where nothing can be written, in one line, in the thread of the training; by
        default it is a RuntimeWarning.

    Raises:
      ValueError: for arguments that are not as above.
    """
    self.path = checks.path("path", path)
    self._every_s = checks.number("every_s", every_s, 0.0)
    checks.function("warn", warn)
    self._warn = warn or _warn
    self.kept: TrainingState | None = None
    self._newest: TrainingState | None = None
    self._failure: Exception | None = None
    self._told = False
    self._thread: threading.Thread | None = None
    self._writes = jax.process_index() == 0
    # Held while the file is written or removed, and by the training only where that must end.
    self._file = threading.Lock()
    # True for each state; False ends the thread. A queue in C, which an interrupt leaves as it was.
    self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
    self._closing = threading.Event()

  def __call__(self, state: TrainingState) -> None:
    """Takes a state: the file will hold it, or a newer one."""
    if not self._writes:
      return
    self._newest = on_host(state)
    if not self._every_s:
      self._write()
    else:
      if self._thread is None:
        self._wake, self._closing = queue.SimpleQueue(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="nsn_jax.state", daemon=True)
        self._thread.start()
      self._wake.put(True)
    self._tell()

  def clear(self) -> None:
    """Removes the file, as its layer is finished. Waits for a write under way.

    Raises:
      OSError: where it cannot be removed.
    """
    if not self._writes:
      return
    self._newest = None
    with self._file:
      self.kept = None
      self.path.unlink(missing_ok=True)

  def close(self) -> None:
    """Writes the newest state, unless that is done, and ends the thread."""
    if not self._writes:
      return
    if self._thread is not None:
      self._closing.set()
      self._wake.put(False)
      self._thread.join()
      self._thread = None
    self._write()
    self._tell()

  def __enter__(self) -> "StateWriter":
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self.close()

  def _work(self) -> None:
    while self._wake.get():
      # What comes meanwhile has woken it again, and is written when the time is over.
      if self._write() and self._closing.wait(self._every_s):
        return

  def _write(self) -> bool:
    """Writes the newest state; False where that is in the file."""
    with self._file:
      state = self._newest
      if state is None or state is self.kept:
        return False
      try:
        save_state(self.path, state)
        self.kept = state
      except Exception as error:  # A full disk, or whatever else: training is worth more.
        self._failure = error
      return True

  def _tell(self) -> None:
    if self._failure is not None and not self._told:
      self._told = True
      self._warn(f"{self.path}: the state of the training is not kept ({self._failure})")
