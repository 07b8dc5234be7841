"""Folders that launchers leave their work in: what a run began with, and whether it fits.

What differs by launcher, the files of its work, stays with the launcher.
"""

import contextlib
import datetime
import errno
import json
import os
import pathlib
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import filelock
from absl import logging

from nsn_jax import files

__all__ = [
  "CONFIG",
  "LOCK",
  "Interrupted",
  "Run",
  "check_resumption",
  "check_same",
  "check_same_data",
  "check_table",
  "config_of_training",
  "dataset_folder",
  "done_file",
  "expanded",
  "open_folder",
  "read_config",
  "remove",
  "slug",
  "using",
]

CONFIG = "config.json"
#: There as long as a run uses the folder; says which.
LOCK = ".lock"

#: Seconds in which a run that is just ending lets a folder go.
_LOCK_S = 0.5
#: What a file system says that knows no locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


class Interrupted(KeyboardInterrupt):
  """Ctrl-C, with a line on what is kept and how to go on."""


def expanded(name: str, path: str | os.PathLike[str]) -> pathlib.Path:
  """A path whose `~` stands for a home folder, which shells leave as it is in `--workdir=~/x`.

  Raises:
    ValueError: for the home of a user that there is not; `name` is what it was given as.
  """
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError as error:
    raise ValueError(
      f"{name}: expected ~ or ~USER of a user that there is, got {str(path)!r}"
    ) from error


def open_folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
  """Makes the folder, whose `~` is a home, and tries to write in it.

  What was left there by writers that were killed is removed, when it is an hour old.

  Raises:
    OSError: where that does not work.
    ValueError: for the home of a user that there is not.
  """
  folder = expanded("workdir", workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
  except OSError as error:
    raise OSError(
      f"workdir: expected a folder that can be written, got {str(folder)!r}: {error.strerror}"
    ) from error
  files.remove_leftovers(folder, older_than_s=files.LEFT_S)
  return folder


@contextlib.contextmanager
def using(workdir: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """The folder as `open_folder` makes it, for this run alone as long as the block goes on.

  Two runs in one folder would take each other's files away, and mix their records. What a run
  leaves that is killed is removed: its lock, which the system has let go, and half-written files.

  Raises:
    OSError: where another run uses the folder, or it cannot be written.
    ValueError: for the home of a user that there is not.
  """
  folder = open_folder(workdir)
  with _locked(folder):
    files.remove_leftovers(folder)
    yield folder


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
  path = folder / LOCK
  lock = filelock.FileLock(path, thread_local=False, fallback_to_soft=False)
  try:
    lock.acquire(timeout=_LOCK_S)
  except filelock.Timeout:
    raise OSError(
      f"workdir: expected a folder that no other run uses, got {str(folder)!r}, which is in use by "
      f"{_user_of(path)}"
    ) from None
  except OSError as error:
    if error.errno not in _NO_LOCKS:
      raise
    logging.warning("workdir: %s has no locks: see to it that one run at a time uses it", folder)
    path.unlink(missing_ok=True)
    yield
    return
  try:
    began = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    facts = {"process": os.getpid(), "host": socket.gethostname(), "began": began}
    # In place, as the lock is of this file. Another system may not write into a locked one.
    with contextlib.suppress(OSError):
      path.write_text(json.dumps(facts))
    yield
  finally:
    # Before it is let go: who waits for it sees that its file is gone, and makes another.
    with contextlib.suppress(OSError):
      path.unlink()
    lock.release()


def _user_of(path: pathlib.Path) -> str:
  """Whose a lock is, as it says."""
  try:
    facts = files.read_json(path)
    host = "" if facts["host"] == socket.gethostname() else f" on {facts['host']}"
    return f"process {facts['process']}{host} since {facts['began']}"
  except (OSError, ValueError, KeyError):  # It may be at writing it.
    return "another process"


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """What training in this folder began with; empty where it never began.

  Raises:
    ValueError: for a damaged file.
  """
  return files.read_json(folder / CONFIG)


def config_of_training(folder: pathlib.Path) -> dict[str, Any]:
  """The record of a finished training.

  Raises:
    OSError: where there is none, as beside a model file that came from elsewhere.
  """
  found = read_config(folder)
  if "seconds" not in found:
    raise OSError(
      f"workdir: expected a training's folder, with {CONFIG}, got {str(folder)!r}: train one with "
      "python -m experiments.train"
    )
  return found


def slug(name: str) -> str:
  """A folder's name for any name: what is no letter, digit or `_` becomes `-`."""
  return re.sub(r"\W+", "-", name).strip("-")


def dataset_folder(dataset: str) -> str:
  """A folder's name of a data set: its last part.

  >>> dataset_folder("lsun/church_outdoor"), dataset_folder("folder:photos/buildings")
  ('church_outdoor', 'buildings')
  """
  return slug(dataset.rpartition("/")[2] or dataset)


def done_file(folder: pathlib.Path, stage: str) -> pathlib.Path:
  """Where `experiments.paper` keeps that a stage is done, and its record."""
  return folder / "done" / f"{stage.replace('/', '.')}.json"


def check_resumption(resume: bool, overwrite: bool) -> None:
  """Raises ValueError where a run is to go on and to begin anew."""
  if resume and overwrite:
    raise ValueError("resume: expected either --resume or --overwrite, got both")


def remove(folder: pathlib.Path, patterns: Sequence[str]) -> None:
  """Takes a launcher's own files away, and nothing else."""
  for pattern in patterns:
    for path in folder.glob(pattern):
      path.unlink()


def check_same(
  facts: Mapping[str, Any],
  stored: Mapping[str, Any],
  names: Sequence[str],
  folder: pathlib.Path,
) -> None:
  """Compares what a run is asked for with what the one in the folder began with.

  Args:
    facts: of this run.
    stored: of that one.
    names: of the facts that must be the same.
    folder: for the error.

  Raises:
    ValueError: for the first that differs.
  """
  for name in names:
    began, now = stored.get(name), facts[name]
    if began == now:
      continue
    name, began, now = _difference(name, began, now)
    raise ValueError(
      f"{name}: expected {began!r}, as training in {folder} began, got {now!r}: give --overwrite "
      "to begin anew"
    )


def check_same_data(
  facts: Mapping[str, Any], stored: Mapping[str, Any], folder: pathlib.Path
) -> None:
  """Raises ValueError where the images are not those that training in the folder began with."""
  if facts["data"] != stored.get("data", facts["data"]):
    raise ValueError(
      f"dataset: expected the images that training in {folder} began with, got others "
      f"under the same name {facts['dataset']!r}: give --overwrite to begin anew"
    )


def check_table(asked: Mapping[str, Any], stored: Mapping[str, Any], place: pathlib.Path) -> None:
  """Compares what decides all rows of a table, or all stages, with what those there were made by.

  Raises:
    ValueError: for the first that differs: its rows would stand beside rows of another kind.
  """
  for name, value in asked.items():
    if stored.get(name, value) != value:
      raise ValueError(
        f"{name}: expected {stored[name]!r}, as what is in {place} was made, got {value!r}: give "
        "another --workdir"
      )


def _difference(name: str, began: Any, now: Any) -> tuple[str, Any, Any]:
  """The first value that differs in two nested JSON values, and its name."""
  if isinstance(began, dict) and isinstance(now, dict):
    for key in began.keys() | now.keys():
      if began.get(key) != now.get(key):
        return _difference(f"{name}.{key}", began.get(key), now.get(key))
  if isinstance(began, list) and isinstance(now, list) and len(began) == len(now):
    for index, (one, other) in enumerate(zip(began, now, strict=True)):
      if one != other:
        return _difference(f"{name}[{index}]", one, other)
  return name, began, now


class Run:
  """A training in a folder: what it was asked for, what an earlier one left, and its record.

  Attributes:
    folder: of the training.
    stored: what the training that is to go on began with; empty where one begins.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    asked: Mapping[str, Any],
    decisive: Sequence[str],
    *,
    resume: bool,
    overwrite: bool,
    read: Callable[[pathlib.Path], dict[str, Any]] = read_config,
  ):
    """Reads what is there.

    Args:
      folder: in use by this run, as `using` has it.
      asked: what training is asked for, plain values.
      decisive: names of those that must be the same where it goes on.
      resume: whether it is to go on, where it began before.
      overwrite: whether it is to begin anew, whatever is there.
      read: gives the record of the run that was there.

    Raises:
      ValueError: for both, or where what is to go on was asked for otherwise.
    """
    self.folder = folder
    check_resumption(resume, overwrite)
    self._asked = dict(asked)
    self.stored = read(self.folder) if resume else {}
    if self.stored:
      check_same(self._asked, self.stored, decisive, self.folder)

  def check_images(self, described: Mapping[str, Any]) -> None:
    """Raises ValueError where the images are not those that the run to go on began with."""
    self._asked["data"] = dict(described)
    if self.stored:
      check_same_data(self._asked, self.stored, self.folder)

  def begin(self, outputs: Sequence[str], described: Mapping[str, Any], **facts: Any) -> None:
    """Takes an earlier run's files away, unless it goes on, and writes what this one begins with.

    Args:
      outputs: patterns of the launcher's own files.
      described: shape and hash of the images.
      **facts: plain values for the record.

    Raises:
      ValueError: where the images are not those that the run to go on began with.
    """
    self.check_images(described)
    if not self.stored:
      remove(self.folder, outputs)
    self.write(**facts, finished=False)

  def write(self, **found: Any) -> None:
    """Writes the record, with what is known now beside what was asked for."""
    self._asked |= found
    files.write_json(self.folder / CONFIG, self._asked)

  def keep_stored(self, **found: Any) -> None:
    """Leaves the record as the earlier run has it, but for what is found out now."""
    files.write_json(self.folder / CONFIG, self.stored | found)
