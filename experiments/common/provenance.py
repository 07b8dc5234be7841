"""What a result is kept with: the command, the commit, the device, versions, data and time."""

import hashlib
import os
import pathlib
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import jaxlib
import numpy as np
import numpy.typing as npt

import nsn_jax
from experiments import common
from nsn_jax import files

__all__ = ["command", "describe", "record", "revision", "surroundings", "write_result"]


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


def command() -> str:
  """The command that runs this program, as a shell takes it."""
  spec = getattr(sys.modules["__main__"], "__spec__", None)
  if spec is None:  # A script, or a notebook.
    return shlex.join(["python", pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
  return shlex.join(["python", "-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]])


def record() -> dict[str, Any]:
  """The command, the commit, device and versions."""
  return {"command": command(), "revision": revision(), **surroundings()}


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
  files.write_json(path, record() | {"seconds": time.perf_counter() - common.BEGAN} | dict(result))
