"""Trains on scikit-learn's handwritten digits and draws samples: a few minutes, no download.

    python -m experiments.quickstart

Then `runs/quickstart` holds what `experiments.train` and `experiments.sample` leave in a workdir.
"""

import os
import pathlib

from experiments.common import command_line, network_training, runs, sample_files

__all__ = ["quickstart"]

_WORKDIR = "runs/quickstart"
_NUM_SAMPLES = 100


def quickstart(
  place: str | os.PathLike[str] = _WORKDIR, config: runs.NetworkTraining | None = None
) -> list[pathlib.Path]:
  """Trains, samples, and returns the pictures. What an earlier run left is overwritten.

  Args:
    place: the folder, made if need be.
    config: the training; by default of the preset for digits.
  """
  folder = pathlib.Path(place)
  config = config or runs.NetworkTraining.of_preset("digits", runs.DataSpec("digits"))
  found = network_training.train(folder, config, num_samples=_NUM_SAMPLES, overwrite=True)
  sample_files.write_samples(folder, found.nsn, _NUM_SAMPLES, seed=1)
  layers = [f"filters_layer{layer}.png" for layer in range(found.nsn.num_layers)]
  return [folder / name for name in (sample_files.GRID, "growth.png", *layers)]


def _main() -> None:
  found = quickstart(command_line.required("workdir", "a folder"))
  print("pictures:", *found, sep="\n  ")


if __name__ == "__main__":
  command_line.define_workdir(_WORKDIR)
  command_line.run(_main)
