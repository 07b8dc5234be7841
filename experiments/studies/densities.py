"""How likely held-out digits are to each baseline that has a density, in nats an image.

    python -m experiments.studies.densities --workdirs=runs/vae,runs/draw,runs/rbm \
        --workdir=runs/densities

Each of the workdirs is one of `experiments.train_baseline`, all of one data set, whose test images
are binarised: each pixel is white with its brightness as the probability, by draws that are the
same for all models. Numbers of binarised pixels can be compared, within what they are: variational
models give a bound, which lies above the truth in nats and comes nearer to it with the number of
draws; Boltzmann machines are normalised by annealed importance sampling, whose log Z lies below the
truth on average, so that the nats do too, a deep one's of a variational bound. Rows of other pixels
than binarised ones say so. `densities.json` holds the numbers.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags

from experiments.common import (
  baseline_training,
  command_line,
  provenance,
  runs,
  tables,
  workdir,
)
from experiments.paper import layouts
from nsn_jax import baselines

__all__ = ["make_row", "measure"]


def measure(
  key: jax.Array, places: Sequence[str], num_images: int, num_draws: int
) -> list[dict[str, Any]]:
  """A row a trained model, plain values.

  Args:
    key: PRNG key.
    places: folders of trained baselines.
    num_images: test images at most.
    num_draws: of each image, for the bound of a variational model.

  Raises:
    ValueError: for models without a density of this kind, or of several data sets.
    OSError: for folders without a model.
  """
  loaded = [(place, *baseline_training.load(pathlib.Path(place))) for place in places]
  kinds = {(facts["dataset"], model.image_shape) for _, model, _, facts in loaded}
  if len(kinds) != 1:
    names = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(kinds)) or "none"
    raise ValueError(f"workdirs: expected models of one data set, at one size, got {names}")
  for place, model, _, _ in loaded:
    if not isinstance(model, baselines.Variational | baselines.BoltzmannMachine):
      raise ValueError(
        f"workdirs: expected models with a density that can be compared, variational ones and "
        f"Boltzmann machines, got {model.title} in {place!r}"
      )
  images = baseline_training.held_out(loaded[0][3], num_images).load("test").images
  rows = []
  for place, model, state, facts in loaded:
    rows.append({"workdir": place, **make_row(key, model, state, images, num_draws)})
    done = len(runs.read_epochs(pathlib.Path(place)))
    rows[-1] |= {"options": facts["options"], "num_epochs": done}
    print(f"{model.title}: {rows[-1]['nats']:.2f} nats", flush=True)
  return rows


def make_row(
  key: jax.Array, model: baselines.Baseline, state: Any, images: Any, num_draws: int
) -> dict[str, Any]:
  """The nats of one model.

  Args:
    key: PRNG key.
    model: a `Variational` one or a `BoltzmannMachine`.
    state: trained.
    images: uint8 [N, H, W, C].
    num_draws: of each image, for a bound.

  Returns:
    Plain values; "log_z_error", the standard error of a Boltzmann machine's log Z, else None.
  """
  found: dict[str, Any] = {"model": model.title, "num_images": len(images), "log_z_error": None}
  if isinstance(model, baselines.BoltzmannMachine):
    logs, partition = model.log_likelihoods(key, state, images)
    found |= {"kind": model.density_kind, "nats": float(-logs.mean())}
    return found | {"log_z_error": partition.standard_error}
  assert isinstance(model, baselines.Variational)
  density = model.importance_density(key, state, images, num_draws=num_draws)
  nats = density.bits * math.prod(model.image_shape) * math.log(2)
  return found | {"kind": density.kind, "nats": nats}


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_list("workdirs", [], "Folders of trained baselines, of one data set.")
  flags.DEFINE_integer("num_images", 1_000, "Test images at most.", lower_bound=1)
  flags.DEFINE_integer("num_draws", 500, "Of each image, for a bound.", lower_bound=1)
  command_line.define_seed("Seed of all draws but those of the pixels.")


def _main() -> None:
  """Prints the table and writes it."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  key = jax.random.key(given.seed)
  rows = measure(key, given.workdirs, given.num_images, given.num_draws)
  print(tables.aligned(layouts.densities.cells(rows)))
  provenance.write_result(folder / "densities.json", {"rows": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
