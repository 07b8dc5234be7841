"""Single cases, by their numbers, what is wrong with how one ends, and a worker that runs many.

The worker prints a line when a case begins and one when it ends, so that whoever reads them knows
of which case the process died.
"""

import contextlib
import faulthandler
import json
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from tests.fuzz import limits, mutations
from tests.fuzz.readers import READERS, Reader, Seed

__all__ = ["Cases", "Outcome", "work"]

#: A case is broken off after so many times the seconds that it may take, where Python can do that;
#: and the process after so many.
_BREAK_OFF = 2
_GIVE_UP = 4


class Outcome(NamedTuple):
  """How a case ended.

  Attributes:
    fault: what is wrong with it, in one line; None for nothing.
    seconds: that it took.
    growth: bytes of memory at most, above those before.
  """

  fault: str | None
  seconds: float
  growth: int


class _TooLongError(BaseException):
  """No reader may catch it."""


class Cases:
  """Cases by number: the reader, the file and its change follow from it.

  Attributes:
    readers: by name, whose sound files have been read once.
  """

  def __init__(self, folder: pathlib.Path, names: Sequence[str], seconds: float):
    """Makes the sound files.

    Args:
      folder: for all files, empty.
      names: of the readers.
      seconds: that a case may take.
    """
    self._seconds = seconds
    self.readers: dict[str, Reader] = {}
    for name in names:
      place = folder / name
      place.mkdir()
      reader = READERS[name](place)
      if reader is None:
        continue
      self.readers[name] = reader
      for seed in reader.seeds:  # What a first call compiles and loads is not the file's doing.
        reader.read(seed)
    self._contents = [seed.content for reader in self.readers.values() for seed in reader.seeds]

  def file(self, number: int) -> tuple[str, Seed]:
    """The name of a case's reader, and the file that it is to read."""
    random = np.random.default_rng([20180515, number])
    name = list(self.readers)[number % len(self.readers)]
    seeds = self.readers[name].seeds
    # Each in turn, so that few cases see all kinds of files.
    seed = seeds[number // len(self.readers) % len(seeds)]
    return name, seed._replace(content=mutations.mutate(random, seed.content, self._contents))

  def run(self, number: int) -> Outcome:
    """Has the file read, within bounds."""
    name, seed = self.file(number)
    reader = self.readers[name]
    faults: list[str | None] = []
    limits.forget_peak()
    before, start = limits.resident(), time.perf_counter()
    try:
      with _broken_off(self._seconds):
        reader.read(seed)
    except reader.errors as error:
      faults.append(_fault(error))
    except _TooLongError:
      faults.append("it was broken off")
    except Exception as error:
      faults.append(f"{type(error).__name__}: {error}")
    seconds, growth = time.perf_counter() - start, limits.peak() - before
    if seconds > self._seconds:
      faults.append(f"{seconds:.1f} s")
    if growth > limits.GROWTH:
      faults.append(f"{growth / 2**20:.0f} MB")
    fault = " ".join("; ".join(filter(None, faults)).split())
    return Outcome(fault[:500] or None, seconds, growth)


def _fault(error: BaseException) -> str | None:
  """What is wrong with an error that the reader may raise."""
  if "\n" in str(error):
    return f"more than one line: {error}"
  cause: BaseException | None = error
  while cause is not None:
    if isinstance(cause, MemoryError):
      return f"it asked for more memory than there is: {error}"
    cause = cause.__cause__ or cause.__context__
  return None


@contextlib.contextmanager
def _broken_off(seconds: float) -> Iterator[None]:
  """Ends what takes too long, by an exception or, where that is not heard, with the process."""

  def ring(*_: object) -> None:
    raise _TooLongError

  handler = signal.signal(signal.SIGALRM, ring)
  faulthandler.dump_traceback_later(_GIVE_UP * seconds, exit=True)
  signal.setitimer(signal.ITIMER_REAL, _BREAK_OFF * seconds)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()
    signal.signal(signal.SIGALRM, handler)


def work(folder: pathlib.Path, names: Sequence[str], first: int, end: int, seconds: float) -> None:
  """Runs cases in this process, which from now on may take little more memory than it has."""
  logging.set_verbosity(logging.ERROR)
  cases = Cases(folder, names, seconds)
  _print({"readers": list(cases.readers)})
  limits.cap(2 * limits.GROWTH)
  for number in range(first, end):
    _print({"begun": number})
    outcome = cases.run(number)
    _print({"ended": number, **outcome._asdict()})


def _print(fields: dict[str, object]) -> None:
  sys.stdout.write(json.dumps(fields) + "\n")
  sys.stdout.flush()
