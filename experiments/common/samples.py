"""Samples of a trained network, as a picture and as an array.

    python -m experiments.sample --workdir=runs/mnist --num_samples=64
    python -m experiments.sample --workdir=runs/mnist --gamma=400,200,20 --alpha=0.1

Writes `samples_grid.png` (the first 100) and `samples.npz`: `images`, uint8 [N, H, W, C], so that
it is a data set `npz:PATH` too, and with them seed, layer and the sampler's settings.
"""

import dataclasses
import os
import pathlib

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

import nsn_jax
from experiments import flags as command_line
from experiments import pictures, train
from experiments import workdir as work

_MOST_SHOWN = 100


def write_samples(
  *,
  workdir: str | os.PathLike[str],
  num_samples: int,
  seed: int = 0,
  sampler: nsn_jax.SamplerConfig | None = None,
  layer: int | None = None,
  nsn: nsn_jax.NSN | None = None,
) -> npt.NDArray[np.uint8]:
  """Draws samples and writes them to the folder.

  Args:
    workdir: the folder, which holds a trained network.
    num_samples: N, at least 1.
    seed: of the samples.
    sampler: gamma, T, alpha, beta; by default the network's own.
    layer: where to start, 0 nearest the pixels; by default the last.
    nsn: the network, where it is at hand.

  Returns:
    The samples, clipped, uint8 [N, H, W, C].

  Raises:
    ValueError: for arguments that are not as above.
    OSError: where there is no model, or the folder cannot be written.
  """
  folder = pathlib.Path(workdir)
  nsn = load_model(folder) if nsn is None else nsn
  work.open_folder(folder)
  sampler = sampler or nsn.config.sampler
  images = pictures.to_uint8(nsn_jax.sample(jax.random.key(seed), nsn, num_samples, sampler, layer))
  top = nsn.num_layers - 1 if layer is None else layer
  settings = {name: np.asarray(value) for name, value in dataclasses.asdict(sampler).items()}
  # Compressed: samples are mostly dark, and take a tenth of the room.
  np.savez_compressed(
    folder / "samples.npz",
    allow_pickle=False,
    images=images,
    seed=np.asarray(seed),
    layer=np.asarray(top),
    **settings,
  )
  shown = images[:_MOST_SHOWN]
  pictures.grid(shown, folder / "samples_grid.png", columns=min(len(shown), 10))
  return images


def load_model(folder: pathlib.Path) -> nsn_jax.NSN:
  """The trained network of a workdir.

  Raises:
    OSError: where there is none, or one trained in part.
    ValueError: for a damaged file.
  """
  if (folder / train.MODEL).is_file():
    return nsn_jax.load(folder / train.MODEL)
  if (folder / train.PARTIAL).is_file():
    raise OSError(
      f"workdir: expected a trained network, got {str(folder)!r}, whose network is trained in "
      "part: finish it with python -m experiments.train --resume"
    )
  raise OSError(
    f"workdir: expected a folder with {train.MODEL}, got {str(folder)!r}: train a network with "
    "python -m experiments.train"
  )


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


def _main() -> None:
  given = flags.FLAGS
  folder = pathlib.Path(command_line.required("workdir", "a folder with a trained network"))
  nsn = load_model(folder)
  write_samples(
    workdir=folder,
    num_samples=given.num_samples,
    seed=given.seed,
    sampler=command_line.sampler(nsn.config.sampler),
    layer=given.layer,
    nsn=nsn,
  )
  print(f"{given.num_samples} samples are in {folder / 'samples.npz'}")
  print(f"a picture of them is {folder / 'samples_grid.png'}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
