"""Samples of a trained network, as a picture and as an array.

    python -m experiments.sample --workdir=runs/mnist --num_samples=64
    python -m experiments.sample --workdir=runs/mnist --gamma=400,200,20 --alpha=0.1
    python -m experiments.sample --workdir=runs/mnist-best --label=7

Writes `samples_grid.png` (the first 100) and `samples.npz`: `images`, uint8 [N, H, W, C], so that
it is a data set `npz:PATH` too, and with them seed, layer and the sampler's settings.
"""

import pathlib

from absl import flags

from experiments.common import command_line, runs, sample_files, workdir

__all__: list[str] = []


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_num_samples(64)
  command_line.define_seed("Seed of the samples.")
  command_line.define_sampler()
  flags.DEFINE_integer(
    "layer",
    None,
    "Starts at this layer, 0 nearest the pixels; by default the last.",
    lower_bound=0,
  )
  flags.DEFINE_integer(
    "label",
    None,
    "Draws this class alone, of a network that was trained with labels and whose prior is the "
    "mixture.",
    lower_bound=0,
  )


def _main() -> None:
  given = flags.FLAGS
  folder = pathlib.Path(command_line.required("workdir", "a folder with a trained network"))
  nsn = runs.load_model(folder)
  sample_files.write_samples(
    workdir.open_folder(folder),
    nsn,
    given.num_samples,
    seed=given.seed,
    sampler=command_line.sampler(nsn.config.sampler),
    layer=given.layer,
    label=given.label,
  )
  print(f"{given.num_samples} samples are in {folder / sample_files.ARRAYS}")
  print(f"a picture of them is {folder / sample_files.GRID}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
