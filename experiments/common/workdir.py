"""Folders that launchers leave their work in: what a run began with, on what, and whether it fits.

What differs by launcher, the files of its work, stays with the launcher.
"""

import hashlib
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jaxlib
import numpy as np
import numpy.typing as npt

import nsn_jax

CONFIG = "config.json"
#: When the program began, but for what it imports before: seconds.
_BEGAN = time.perf_counter()


def open_folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
  """Makes the folder and tries to write in it.

  Raises:
    OSError: where that does not work.
  """
  folder = pathlib.Path(workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
  except OSError as error:
    raise OSError(
      f"workdir: expected a folder that can be written, got {str(folder)!r}: {error.strerror}"
    ) from error
  return folder


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """What training in this folder began with; empty where it never began.

  Raises:
    ValueError: for a damaged file.
  """
  return read_json(folder / CONFIG)


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


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """The JSON object of a file; empty where there is none.

  Raises:
    ValueError: for a damaged file.
  """
  try:
    found = json.loads(path.read_text())
  except FileNotFoundError:
    return {}
  except ValueError as error:
    raise ValueError(f"{path}: expected JSON, got a damaged file ({error})") from error
  if not isinstance(found, dict):
    raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
  return found


def slug(name: str) -> str:
  """A folder's name for any name: what is no letter, digit or `_` becomes `-`."""
  return re.sub(r"\W+", "-", name).strip("-")


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


def describe(images: npt.NDArray[np.uint8]) -> dict[str, Any]:
  """Shape and hash of the images: the same name may stand for others another day."""
  digest = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
  return {"shape": list(images.shape), "sha256": digest}


def surroundings() -> dict[str, Any]:
  """Device and versions."""
  return {
    "device": _device(),
    "versions": {
      "python": platform.python_version(),
      "nsn_jax": nsn_jax.__version__,
      "jax": jax.__version__,
      "jaxlib": jaxlib.__version__,
      "numpy": np.__version__,
    },
  }


def _device() -> str:
  """What this process runs on."""
  device = jax.devices()[0]
  if device.platform != "cpu":
    return f"{jax.device_count()} x {device.device_kind} ({device.platform})"
  count = _num_cores()
  return f"CPU, {count} core{'s' if count > 1 else ''}"


def _num_cores() -> int:
  """Those that this process may use."""
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Not on every system.
    return os.cpu_count() or 1


def record() -> dict[str, Any]:
  """What a result is kept with: the command, the commit, device and versions."""
  program = pathlib.Path(sys.argv[0]).stem
  command = shlex.join(["python", "-m", f"experiments.{program}", *sys.argv[1:]])
  return {"command": command, "revision": revision(), **surroundings()}


def revision() -> str:
  """The commit of this code, with a + where files differ from it; "unknown" outside of git."""
  folder = pathlib.Path(__file__).parent
  try:
    found = subprocess.run(
      ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
      cwd=folder,
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return "unknown"
  return found.stdout.strip()


def write_result(path: pathlib.Path, result: Mapping[str, Any]) -> None:
  """Writes a launcher's numbers with their `record`, and the seconds that the launcher took."""
  write_json(path, record() | {"seconds": time.perf_counter() - _BEGAN} | dict(result))


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes beside and moves, so that the file is always whole."""
  temporary = path.with_suffix(".tmp")
  temporary.write_text(json.dumps(value, indent=2) + "\n")
  temporary.replace(path)
