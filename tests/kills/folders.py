"""What a training leaves in its folder, to be compared."""

import pathlib
from typing import Any

import nsn_jax
from experiments.common import runs

__all__ = ["check_whole", "left"]


def left(folder: pathlib.Path) -> dict[str, Any]:
  """All that must be the same however often a training was killed."""
  records = runs.read_metrics(folder)
  return {
    "files": sorted(path.name for path in folder.iterdir()),
    "model": (folder / runs.MODEL).read_bytes(),
    "records": [[record._replace(seconds=0.0) for record in layer] for layer in records],
    "lines": (folder / runs.METRICS).read_text().count("\n"),
  }


def check_whole(folder: pathlib.Path) -> None:
  """Raises ValueError where a killed process left a file that is there and not whole."""
  for name, load in (
    (runs.MODEL, nsn_jax.load),
    (runs.PARTIAL, nsn_jax.load),
    (runs.STATE, nsn_jax.load_state),
  ):
    if (folder / name).exists():
      load(folder / name)
