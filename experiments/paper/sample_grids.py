"""Fig 3, 4 and 8: samples beside their nearest training images, and samples of every layer.

    python -m experiments.paper.sample_grids --dataset=mnist --model=... --workdir=runs/samples

`nearest.png`: samples, and below each its nearest by pixels of the images that the network was
trained on, so that copying would show. `layer0.png` and so on: samples that begin at each layer,
which are patches of its receptive field. `sample_grids.json`: whether samples are copies, by
pixels, against held-out images.
"""

import pathlib
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

import nsn_jax
from experiments.common import command_line, pictures, provenance, workdir
from nsn_jax import metrics
from nsn_jax.pixel_range import to_uint8

__all__ = ["beside_nearest", "check_copies", "draw"]

_COLUMNS = 15
#: Samples, and held-out images, of the copy check.
_CHECKED = 1_000


def beside_nearest(
  samples: npt.NDArray[np.uint8], training: npt.NDArray[np.uint8], path: pathlib.Path
) -> float:
  """Draws rows of samples, each above the row of their nearest; returns the median distance."""
  found = metrics.nearest(training, samples)
  near = training[found.position]
  cut = range(0, len(samples), _COLUMNS)
  rows = [part for i in cut for part in (samples[i : i + _COLUMNS], near[i : i + _COLUMNS])]
  pictures.grid(
    np.concatenate(rows),
    path,
    columns=_COLUMNS,
    title="samples, and below each row the nearest training images",
  )
  return float(np.median(found.distance) / 255)


def draw(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  training: npt.NDArray[np.uint8],
  folder: pathlib.Path,
  num_samples: int,
) -> dict[str, Any]:
  """Draws all pictures; returns the median distance to the nearest training image."""
  num_samples = -(-num_samples // _COLUMNS) * _COLUMNS
  for layer in range(nsn.num_layers):
    samples = to_uint8(nsn_jax.sample(key, nsn, num_samples, layer=layer))
    height, width = samples.shape[1:3]
    pictures.grid(
      samples,
      folder / f"layer{layer}.png",
      columns=_COLUMNS,
      title=f"samples of layer {layer}, {height}x{width} pixels",
    )
  return {"nearest": beside_nearest(samples, training, folder / "nearest.png")}


def check_copies(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  training: npt.NDArray[np.uint8],
  held_out: npt.NDArray[np.uint8],
) -> dict[str, metrics.CopyCheck]:
  """The copy check of 1,000 samples by pixel distance, and by distance relative to the next ten."""
  samples = to_uint8(nsn_jax.sample(key, nsn, _CHECKED))
  real, found = (metrics.nearest(training, x) for x in (held_out[:_CHECKED], samples))
  return {
    "distance": metrics.compare_distances(real.distance / 255, found.distance / 255),
    "relative": metrics.compare_distances(real.relative, found.relative),
  }


def _define_flags() -> None:
  command_line.define_figure("Seed of the samples.", num_samples=60)


def _main() -> None:
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  data, _, nsn = command_line.judged()
  training = data.load().images
  held_out = data.replace(limit=None).load("test").images
  key = jax.random.key(given.seed)
  found = draw(key, nsn, training, folder, given.num_samples)
  copies = check_copies(key, nsn, training, held_out)
  plain = {name: check._asdict() for name, check in copies.items()}
  provenance.write_result(folder / "sample_grids.json", found | {"copies": plain})
  print(f"median distance to the nearest training image {found['nearest']:.3f}; see {folder}")
  for name, check in copies.items():
    print(
      f"{name}: median {check.generated:.3f}, of held-out images {check.held_out:.3f}; "
      f"{check.suspected:.1%} are nearer than 99% of those"
    )


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
