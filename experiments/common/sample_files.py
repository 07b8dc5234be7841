"""Samples of a trained network in a folder: a picture, and an array that is a data set, too."""

import dataclasses
import pathlib

import jax
import numpy as np
import numpy.typing as npt

import nsn_jax
from experiments.common import pictures
from nsn_jax import files
from nsn_jax.pixel_range import to_uint8

__all__ = ["ARRAYS", "GRID", "write_samples"]

#: What is written.
ARRAYS, GRID = "samples.npz", "samples_grid.png"
_MOST_SHOWN = 100


def write_samples(
  folder: pathlib.Path,
  nsn: nsn_jax.NSN,
  num_samples: int,
  *,
  seed: int = 0,
  sampler: nsn_jax.SamplerConfig | None = None,
  layer: int | None = None,
  label: int | None = None,
) -> npt.NDArray[np.uint8]:
  """Draws samples and writes them to a folder.

  Args:
    folder: that is there.
    nsn: the network.
    num_samples: N, at least 1.
    seed: of the samples.
    sampler: its settings; by default the network's own.
    layer: where to start, 0 nearest the pixels; by default the last.
    label: the class to draw; by default all.

  Returns:
    The samples, clipped, uint8 [N, H, W, C].

  Raises:
    ValueError: for arguments that are not as above.
    OSError: where the folder cannot be written.
  """
  sampler = sampler or nsn.config.sampler
  images = to_uint8(nsn_jax.sample(jax.random.key(seed), nsn, num_samples, sampler, layer, label))
  top = nsn.num_layers - 1 if layer is None else layer
  settings = {name: np.asarray(value) for name, value in dataclasses.asdict(sampler).items()}
  with files.replacing(folder / ARRAYS) as temporary, temporary.open("wb") as file:
    # Compressed: samples are mostly dark, and take a tenth of the room.
    np.savez_compressed(
      file,
      allow_pickle=False,
      images=images,
      seed=np.asarray(seed),
      layer=np.asarray(top),
      **({} if label is None else {"label": np.asarray(label)}),
      **settings,
    )
  shown = images[:_MOST_SHOWN]
  pictures.grid(shown, folder / GRID, columns=min(len(shown), 10))
  return images
