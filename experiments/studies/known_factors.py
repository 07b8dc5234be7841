"""A generator from known factors, on combinations of them that it was not shown.

    python -m experiments.studies.known_factors --dataset=mnist --data_dir=... \
        --workdir=runs/known_factors

Digits are rendered turned, stretched and thickened: prototypes of each class, at every combination
of some angles, widths and thicknesses. A share of the combinations is held out; the network is
trained on the others (Dosovitskiy et al. 2015, arXiv:1411.5928). `known_factors.json` holds its
error on those that it saw, on those that it did not, and on angles halfway between trained ones;
beside it that of the seen image of the nearest factors, of the mean of all that are as near, and of
the seen image that is nearest in pixels, which looks at the truth. `unseen.png` shows them;
`along_angle.png` and so on go along a factor, also between its trained values, true images above
those of the network. `morphing.png` goes from one prototype to another.
"""

import math
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from tqdm import tqdm

from experiments.common import command_line, pictures, provenance, tables, workdir
from experiments.paper import layouts
from nsn_jax import data, from_factors, host_random

__all__ = ["Digits", "draw", "errors", "learn", "render"]

Images = npt.NDArray[np.uint8]

#: Values of the factors.
_ANGLES = tuple(float(angle) for angle in range(0, 360, 30))
_WIDTHS = (0.6, 0.8, 1.0, 1.2)
_THICKNESSES = (-0.25, 0.25, 0.75)
#: Images of a row of a picture, and shapes that a strip is shown of.
_SHOWN, _SHAPES = 13, 3


class Digits(NamedTuple):
  """Digits of known factors.

  Attributes:
    prototypes: uint8 [P, H, W, C].
    grid: of the factors.
    factors: all combinations, N.
    images: of these, uint8 [N, H, W, C].
    is_held_out: bool [N].
  """

  prototypes: Images
  grid: data.FactorGrid
  factors: data.Factors
  images: Images
  is_held_out: npt.NDArray[np.bool_]


def render(key: jax.Array, loaded: data.Dataset, per_class: int, share: float) -> Digits:
  """Chooses prototypes, renders them, and holds combinations out.

  Args:
    key: PRNG key.
    loaded: with labels.
    per_class: prototypes of a class.
    share: of combinations that are held out.

  Raises:
    ValueError: where there are no labels, or too few images, or the share is too large.
  """
  if loaded.labels is None:
    raise ValueError("dataset: expected one with labels, got none")
  chosen_key, held_out_key = jax.random.split(key)
  rows = data.choose_prototypes(chosen_key, loaded.images, loaded.labels, per_class)
  prototypes = np.asarray(loaded.images[rows])
  grid = data.FactorGrid(
    num_identities=len(rows), angles=_ANGLES, widths=_WIDTHS, thicknesses=_THICKNESSES
  )
  is_held_out = data.hold_out(held_out_key, grid, share)
  factors = grid.factors()
  return Digits(prototypes, grid, factors, data.render(prototypes, factors), is_held_out)


def learn(
  key: jax.Array, model: from_factors.FactorNetwork, digits: Digits
) -> from_factors.FactorState:
  """Trains on what is not held out.

  Args:
    key: PRNG key.
    model: the network.
    digits: all of them.
  """
  seen = ~digits.is_held_out
  with tqdm(total=model.num_steps, desc="network", leave=False, disable=None) as bar:

    def progress(done: int, _: int, loss: float) -> None:
      bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
      bar.update(done - bar.n)

    return from_factors.train(
      key, model, digits.factors.rows(seen), digits.images[seen], progress=progress
    )


def errors(
  key: jax.Array,
  model: from_factors.FactorNetwork,
  state: from_factors.FactorState,
  digits: Digits,
) -> tuple[list[dict[str, Any]], dict[str, Images]]:
  """Errors of the network and of what was seen: rows of plain values, and images of unseen factors.

  Args:
    key: PRNG key, of the combinations whose angles are put halfway to the next: as many as are held
      out.
    model: the network.
    state: of it, trained.
    digits: all of them.
  """
  held_out = digits.is_held_out
  factors, seen = digits.factors.rows(~held_out), digits.images[~held_out]
  random = host_random.generator(key)
  drawn = random.choice(len(held_out), max(int(held_out.sum()), 1), replace=False)
  between = digits.factors.rows(np.sort(drawn))
  between = between._replace(angles=between.angles + np.float32(digits.grid.steps[0] / 2))
  made = {"seen": {"network": from_factors.generate(model, state, factors)}}
  truths = {"seen": seen}
  unseen = digits.factors.rows(held_out)
  for kind, wanted in (("unseen", unseen), ("angles between", between)):
    if not len(wanted.identities):
      continue
    truths[kind] = data.render(digits.prototypes, wanted)
    found = from_factors.look_up(wanted, factors, seen, digits.grid.steps)
    made[kind] = {
      "network": from_factors.generate(model, state, wanted),
      "nearest factors": found.nearest,
      "mean of the nearest": found.mean,
      "nearest in pixels": from_factors.nearest_images(truths[kind], seen),
    }
  rows = [
    {"factors": kind, "by": by, **_error(images, truths[kind])}
    for kind, ways in made.items()
    for by, images in ways.items()
  ]
  return rows, {"truth": truths["unseen"], **made["unseen"]} if "unseen" in made else {}


def _error(images: Images, truth: Images) -> dict[str, Any]:
  error = math.sqrt(((images.astype(np.float64) - truth) ** 2).mean())
  psnr = 20 * math.log10(255 / max(error, 1e-6))
  return {"num_images": len(images), "root_mean_square_error": error, "psnr": psnr}


def draw(
  model: from_factors.FactorNetwork,
  state: from_factors.FactorState,
  digits: Digits,
  folder: pathlib.Path,
) -> list[pathlib.Path]:
  """Draws strips along each factor, from its first trained value to the last, and a morphing.

  Args:
    model: the network.
    state: of it, trained.
    digits: all of them.
    folder: where pictures are put.

  Returns:
    The pictures' paths.
  """
  grid = digits.grid
  shapes = np.linspace(0, grid.num_identities - 1, 2 * _SHAPES).astype(np.int32)
  identities = np.repeat(shapes[:_SHAPES], _SHOWN)
  plain = data.Factors(identities, *(np.full(len(identities), x) for x in (0.0, 1.0, 0.0)))
  made = []
  for name, field, values in (
    ("angle", "angles", (*grid.angles, 360.0)),
    ("width", "widths", grid.widths),
    ("thickness", "thicknesses", grid.thicknesses),
  ):
    # Thirteen angles are every 30 degrees: those between two trained ones are asked for instead.
    shift = grid.steps[0] / 2 if field == "angles" else 0.0
    along = np.linspace(values[0], values[-1], _SHOWN) + shift
    changed: dict[str, Any] = {field: np.tile(along, _SHAPES)}
    wanted = plain._replace(**changed)
    both = data.render(digits.prototypes, wanted), from_factors.generate(model, state, wanted)
    shown = np.stack([each.reshape(_SHAPES, _SHOWN, *model.image_shape) for each in both], axis=1)
    made.append(folder / f"along_{name}.png")
    title = f"{name} from {along[0]:g} to {along[-1]:g}, true images above the network's"
    pictures.grid(shown.reshape(-1, *model.image_shape), made[-1], title, _SHOWN)
  first = model.inputs(state, plain)
  others = np.repeat(shapes[_SHAPES:], _SHOWN)
  second = model.inputs(state, plain._replace(identities=others))
  share = np.tile(np.linspace(0, 1, _SHOWN, dtype=np.float32), _SHAPES)[:, None]
  mixed = jax.tree.map(lambda a, b: (1 - share) * a + share * b, first, second)
  made.append(folder / "morphing.png")
  title = "from one prototype to another, by the network"
  pictures.grid(from_factors.generate(model, state, mixed), made[-1], title, _SHOWN)
  return made


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data()
  flags.DEFINE_integer("per_class", 2, "Prototypes of a class.", lower_bound=1)
  flags.DEFINE_float("held_out", 0.5, "Share of combinations that are held out.", lower_bound=0.0)
  flags.DEFINE_integer("training_steps", 4_000, "Steps of training.", lower_bound=1)
  flags.DEFINE_integer("hidden", 128, "Units of a dense layer of a stream.", lower_bound=1)
  flags.DEFINE_integer("width", 16, "Channels of the last map but the image.", lower_bound=1)
  command_line.define_seed("Seed of prototypes, of what is held out, and of training.")


def _main() -> None:
  """Renders, trains, measures and draws."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  spec = command_line.data_spec(lambda name: flags.FLAGS[name].value)
  render_key, train_key, errors_key, show_key = jax.random.split(jax.random.key(given.seed), 4)
  digits = render(render_key, spec.load(), given.per_class, given.held_out)
  model = from_factors.FactorNetwork(
    image_shape=digits.prototypes.shape[1:],
    num_identities=len(digits.prototypes),
    hidden=given.hidden,
    width=given.width,
    num_steps=given.training_steps,
  )
  state = learn(train_key, model, digits)
  rows, made = errors(errors_key, model, state, digits)
  print(tables.aligned(layouts.known_factors.cells(rows)))
  if made:
    images = list(made.values())
    count = min(_SHOWN, len(images[0]))
    chosen = host_random.generator(show_key).choice(len(images[0]), count, replace=False)
    shown = np.concatenate([each[chosen] for each in images])
    title = f"unseen combinations, from above: {', '.join(made)}"
    pictures.grid(shown, folder / "unseen.png", title, count)
    print(folder / "unseen.png")
  for path in draw(model, state, digits, folder):
    print(path)
  found = {**spec.as_dict(), "grid": digits.grid.shape, "held_out": given.held_out}
  found |= {"training_steps": given.training_steps, "hidden": given.hidden, "width": given.width}
  provenance.write_result(folder / "known_factors.json", found | {"rows": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
