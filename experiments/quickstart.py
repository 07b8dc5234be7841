"""Trains on scikit-learn's handwritten digits and draws samples: a few minutes, no download.

    python -m experiments.quickstart

Then `runs/quickstart` holds what `experiments.train` and `experiments.sample` leave in a workdir.
"""

import os
import pathlib

import nsn_jax
from experiments import flags as command_line
from experiments import sample, train

_WORKDIR = "runs/quickstart"
_PRESET = "digits"
_NUM_SAMPLES = 100


def quickstart(
  workdir: str | os.PathLike[str] = _WORKDIR, config: nsn_jax.NetworkConfig | None = None
) -> list[pathlib.Path]:
  """Trains, samples, and returns the pictures. What an earlier run left is overwritten.

  Args:
    workdir: the folder, made if need be.
    config: the network; by default the preset for digits.
  """
  found = train.train(
    workdir=workdir,
    dataset="digits",
    config=config or nsn_jax.configs.get(_PRESET),
    preset=_PRESET,
    num_samples=_NUM_SAMPLES,
    overwrite=True,
  )
  sample.write_samples(workdir=workdir, num_samples=_NUM_SAMPLES, seed=1, nsn=found.nsn)
  folder = pathlib.Path(workdir)
  layers = [f"filters_layer{layer}.png" for layer in range(found.nsn.num_layers)]
  return [folder / name for name in ("samples_grid.png", "growth.png", *layers)]


def _main() -> None:
  found = quickstart(command_line.required("workdir", "a folder"))
  print("pictures:", *found, sep="\n  ")


if __name__ == "__main__":
  command_line.define_workdir(_WORKDIR)
  command_line.run(_main)
