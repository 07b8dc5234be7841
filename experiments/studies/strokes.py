"""How DRAW draws: the canvas of some samples over time.

    python -m experiments.studies.strokes --trained=runs/draw --workdir=runs/strokes

`--trained` is a workdir of `experiments.train_baseline --model=draw`, or `convdraw`. `strokes.png`
has a row a sample; its columns are the canvas after steps evenly spread, the last of which is the
sample.
"""

import pathlib

import jax
import numpy as np
from absl import flags

from experiments.common import baseline_training, command_line, pictures, workdir
from nsn_jax import baselines
from nsn_jax.pixel_range import from_signed

__all__ = ["draw"]

#: Canvases of a sample that are shown at most.
_SHOWN = 16


def draw(
  key: jax.Array,
  model: baselines.Drawing,
  state: baselines.VAEState,
  num_samples: int,
  path: pathlib.Path,
) -> list[int]:
  """Draws the picture, and returns the steps that are shown, the last one last.

  Args:
    key: PRNG key of the samples.
    model: trained.
    state: of it.
    num_samples: rows.
    path: of the picture.
  """
  canvases = jax.jit(model.canvases, static_argnums=2)(key, state, num_samples)
  steps = np.unique(np.linspace(0, model.num_steps - 1, _SHOWN).round().astype(int))
  rows = np.asarray(from_signed(canvases[steps])).swapaxes(0, 1)
  title = f"the canvas after steps {steps[0] + 1} to {steps[-1] + 1}; a row a sample"
  pictures.grid(rows.reshape(-1, *model.image_shape), path, title, len(steps))
  return [int(step) + 1 for step in steps]


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("trained", None, "Workdir of a trained DRAW.")
  flags.DEFINE_integer("num_samples", 8, "Rows.", lower_bound=1)
  command_line.define_seed("Seed of the samples.")


def _main() -> None:
  """Draws and says where."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  place = command_line.required("trained", "the workdir of a trained DRAW")
  model, state, _ = baseline_training.load_kind(
    "trained",
    place,
    baselines.Drawing,  # type: ignore[type-abstract]  # either kind will do
    "a DRAW",
  )
  path = folder / "strokes.png"
  draw(jax.random.key(given.seed), model, state, given.num_samples, path)
  print(path)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
