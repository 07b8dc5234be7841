"""The instants at which a training may be killed that matter: around each change of a file.

As long as `counted` goes on, whatever the library and the launchers do to files is cut in two: half
of the content is written, then an instant passes, then the rest; and an instant passes before and
after each file is synced, moved, removed, and after each step of training.
"""

import contextlib
import pathlib
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import nsn_jax
from experiments.common import runs
from nsn_jax import files

__all__ = ["Killed", "counted", "dying_at"]


class Killed(BaseException):
  """A process is dead: nothing that it would do after this is done."""


def dying_at(number: int) -> Callable[[int, str], None]:
  """What `counted` calls: from an instant on, every one raises `Killed`, clean-ups among them."""

  def act(instant: int, what: str) -> None:
    if instant >= number:
      raise Killed(f"{instant}: {what}")

  return act


def _name(path: pathlib.Path) -> str:
  """Of a file, also while it has the name that it is written by."""
  return "the folder" if path.is_dir() else re.sub(r"\.[0-9a-f]{32}\.tmp$", "", path.name)


@contextlib.contextmanager
def counted(act: Callable[[int, str], None]) -> Iterator[Callable[[], int]]:
  """Has `act` called at every instant, with its number, from 1 on, and what is about to happen.

  Yields:
    A function that says how many there were.
  """
  lock, count = threading.Lock(), 0

  def instant(what: str) -> None:
    nonlocal count
    with lock:
      count += 1
      number = count
    act(number, what)

  write_bytes, append = pathlib.Path.write_bytes, runs.append_metrics
  step = nsn_jax.StateWriter.__call__

  def half_written(path: pathlib.Path, content: bytes) -> int:
    with path.open("wb") as file:
      file.write(content[: len(content) // 2])
      file.flush()
      instant(f"half of {_name(path)} is written")
      return file.write(content[len(content) // 2 :])

  def half_appended(folder: pathlib.Path, layer: int, records: Sequence[nsn_jax.Record]) -> None:
    before = (folder / runs.METRICS).read_bytes() if (folder / runs.METRICS).exists() else b""
    append(folder, layer, records)
    whole = (folder / runs.METRICS).read_bytes()
    half = (len(before) + len(whole)) // 2
    write_bytes(folder / runs.METRICS, whole[:half])
    instant("half of the records are written")
    write_bytes(folder / runs.METRICS, whole)

  def around(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: pathlib.Path, *arguments: Any, **options: Any) -> Any:
      what = f"{_name(path)} is {name}"
      instant(f"before {what}")
      found = function(path, *arguments, **options)
      instant(f"after {what}")
      return found

    return call

  def stepped(writer: nsn_jax.StateWriter, state: nsn_jax.TrainingState) -> None:
    step(writer, state)
    instant(f"step {state.state.step} of {state.state.phase} in layer {state.layer} is done")

  with contextlib.ExitStack() as stack:
    for owner, name, function in (
      (pathlib.Path, "write_bytes", half_written),
      (pathlib.Path, "replace", around("moved", pathlib.Path.replace)),
      (pathlib.Path, "unlink", around("removed", pathlib.Path.unlink)),
      (files, "sync", around("synced", files.sync)),
      (runs, "append_metrics", half_appended),
      (nsn_jax.StateWriter, "__call__", stepped),
    ):
      stack.enter_context(mock.patch.object(owner, name, function))
    yield lambda: count
