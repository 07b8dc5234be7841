"""Kills by their number and seed, each in a process of its own."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.common import workdir
from tests.experiments.helpers import FROM_A_TERMINAL, ROOT
from tests.kills import folders

__all__ = ["Summary", "run", "train_command"]

#: Instants of a training that is never killed are some 400, and it takes some 5 s after its start:
#: so that a training is killed a few times before it ends.
_MOST_INSTANTS, _MOST_SECONDS = 200, 4.0
#: Seconds between two states: after each step, or in the writer's thread, often or hardly ever.
_EVERY_S = (0.0, 0.05, 1.0, 60.0)
_PATIENCE_S = 300.0

_VICTIM = f"""{FROM_A_TERMINAL}
import sys
from tests.kills import victim
victim._main()
"""


class Summary(NamedTuple):
  """How a campaign ended.

  Attributes:
    kills: processes that were killed.
    trainings: that ended after kills.
    within: resumptions that went on within a layer.
    faults: what was wrong, a line each.
  """

  kills: int
  trainings: int
  within: int
  faults: list[str]


class _Ended(NamedTuple):
  """How a process ended: its exit code, what it printed, and how it was killed, if it was."""

  code: int
  out: str
  err: str
  how: str

  @property
  def is_done(self) -> bool:
    """Whether the training was over, also where the signal came on the way out of Python."""
    return self.code == 0 or "the network and its pictures are in" in self.err


def train_command(folder: pathlib.Path, instant: int, *options: str) -> list[str]:
  """`experiments.train` of a tiny network, which kills itself at an instant, or at 0 for none."""
  command = [sys.executable, "-c", _VICTIM, str(instant), "--dataset=digits", "--image_size=12"]
  return [*command, "--limit=120", "--num_samples=1", f"--workdir={folder}", *options]


def _environment(place: pathlib.Path) -> dict[str, str]:
  """Of all processes, which share their programs, as few as there are."""
  programs = {
    "JAX_COMPILATION_CACHE_DIR": str(place / "programs"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  }
  return programs | os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _ended(
  command: list[str], environment: dict[str, str], after_s: float | None = None, number: int = 0
) -> _Ended:
  """Runs a process, which is sent a signal so long after its first line."""
  pipe = subprocess.PIPE
  with subprocess.Popen(
    command, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe
  ) as process:
    assert process.stderr is not None
    first = process.stderr.readline()
    timer = None
    if after_s is not None:
      timer = threading.Timer(after_s, process.send_signal, [number])
      timer.start()
    try:
      out, err = process.communicate(timeout=_PATIENCE_S)
    finally:
      process.kill()
      if timer is not None:
        timer.cancel()
  found = re.search(r"^killed (at .*)$", out, re.MULTILINE)
  how = found[1] if found else f"{after_s:.2f} s after its start" if after_s is not None else ""
  return _Ended(process.returncode, out, first + err, how)


def run(count: int, seed: int, place: pathlib.Path, say: Callable[[str], None]) -> Summary:
  """Kills trainings so often, and trains the last one to its end.

  Args:
    count: kills.
    seed: decides all of them, but for what a clock does to them.
    place: an empty folder.
    say: told a line a kill.
  """
  random = np.random.default_rng([seed, 1805])
  environment = _environment(place)
  untouched = _ended(train_command(place / "untouched", 0), environment)
  if untouched.code:
    raise RuntimeError(
      f"a training that is not killed ended with {untouched.code}:\n{untouched.err}"
    )
  expected = folders.left(place / "untouched")
  folder, faults = place / "killed", []
  kills = trainings = within = 0
  is_hit = False  # The training in the folder was killed before.
  while kills < count or is_hit:
    every_s = _EVERY_S[random.integers(len(_EVERY_S))]
    kind = random.choice(["instant", "SIGKILL", "SIGTERM"], p=[0.7, 0.2, 0.1])
    instant = int(random.integers(1, _MOST_INSTANTS)) if kind == "instant" else 0
    after_s = None if instant else float(random.uniform(0.0, _MOST_SECONDS))
    if kills >= count:  # To its end.
      instant, after_s = 0, None
    command = train_command(folder, instant, f"--checkpoint_seconds={every_s}", "--resume")
    number = signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL
    ended = _ended(command, environment, after_s, number)
    within += "in part; on" in ended.err
    fault = _fault(ended, folder, expected)
    if not ended.is_done and ended.code in (-signal.SIGKILL, 128 + signal.SIGTERM):
      is_hit, kills = True, kills + 1
      name = signal.Signals(number).name
      say(f"kill {kills}: {name} {ended.how}, a state every {every_s:g} s: {fault or 'whole'}")
    else:
      trainings += is_hit
      say(f"ended after {kills} kills: {fault or 'the same'}")
      is_hit = False
      shutil.rmtree(folder, ignore_errors=True)
    if fault:
      faults.append(fault)
      shutil.rmtree(folder, ignore_errors=True)
      is_hit = False
  return Summary(kills, trainings, within, faults)


def _fault(ended: _Ended, folder: pathlib.Path, expected: dict[str, object]) -> str | None:
  """What is wrong with how a process ended, in a line."""
  try:
    if ended.is_done:
      found = folders.left(folder)
      if ended.code:  # Killed on the way out: its lock, which the system has let go, stays.
        found["files"] = [name for name in found["files"] if name != workdir.LOCK]
      other = [name for name, value in expected.items() if found[name] != value]
      if other:
        return f"other {', '.join(other)}"
    elif ended.code == -signal.SIGKILL:
      folders.check_whole(folder)
    elif ended.code == 128 + signal.SIGTERM:
      folders.check_whole(folder)
      if not re.search(r"^interrupted .*--resume$", ended.err.splitlines()[-1]):
        return f"it does not say how to go on: {ended.err[-200:]!r}"
    else:
      return f"it ended with {ended.code}: {ended.err[-300:]!r}"
  except (ValueError, OSError) as error:
    return f"{type(error).__name__}: {error}"
  if "training goes on from the last finished layer" in ended.err:
    stale = re.search(r"state: expected (none|one of layer)", ended.err)
    return None if stale else f"a state was not gone on from: {ended.err[-300:]!r}"
  return None
