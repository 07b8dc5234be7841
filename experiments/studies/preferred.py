"""Images that the classes of a classifier prefer, and whether another one sees the class in them.

    python -m experiments.studies.preferred --dataset=mnist --data_dir=... --workdir=runs/preferred

For each of `--layers` an inverter is trained, which makes images of what the judge has of them
there: by default the lowest map and the features. Its codes are climbed until the judge is sure of
a class. `layer_1.png` and so on have a row a class, a column a start. `preferred.json` holds how
sure the judge is of the classes, and how sure is the finder, another classifier that had no part
in it: where it is not, images were found that only the climbed one reads. Real test images stand
beside them.
"""

import pathlib
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from tqdm import tqdm

from experiments.common import (
  command_line,
  finding,
  judging,
  pictures,
  provenance,
  runs,
  tables,
  workdir,
)
from experiments.paper import layouts
from nsn_jax import metrics, preferred

__all__ = ["certainty", "layer"]


def certainty(
  classifier: metrics.Classifier, images: npt.NDArray[np.uint8], classes: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
  """Mean probability, of each class, that its images [N, H, W, C] are given: [classes]."""
  given = classifier.outputs(images).probabilities[np.arange(len(images)), classes]
  counts = np.bincount(classes, minlength=classifier.num_classes)
  sums = np.bincount(classes, given, minlength=classifier.num_classes)
  return sums / np.maximum(counts, 1)


def layer(
  key: jax.Array,
  judge: judging.Judge,
  finder: metrics.Classifier,
  number: int,
  folder: pathlib.Path,
  *,
  num_images: int | None,
  num_starts: int,
  num_steps: int,
  training_steps: int,
) -> dict[str, Any]:
  """Trains the inverter of a layer, climbs, and draws.

  Args:
    key: PRNG key.
    judge: whose classes.
    finder: that had no part.
    number: of the layer, from 1.
    folder: where the picture is put.
    num_images: that the inverter learns, the first; None for all.
    num_starts: of each class.
    num_steps: of the ascent.
    training_steps: of the inverter.

  Returns:
    A row, plain values.
  """
  train_key, climb_key = jax.random.split(key)
  with tqdm(desc=f"inverter of layer {number}", leave=False, disable=None) as bar:

    def progress(done: int, total: int, loss: float) -> None:
      bar.total = total
      bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
      bar.update(done - bar.n)

    inverter = preferred.train_inverter(
      train_key,
      judge.classifier,
      judge.train.images[:num_images],
      layer=number,
      num_steps=training_steps,
      progress=progress,
    )
  found = preferred.preferred_images(
    climb_key, judge.classifier, inverter, num_starts=num_starts, num_steps=num_steps
  )
  images = found.images.reshape(-1, *found.images.shape[2:])
  title = f"what each class prefers, by codes of layer {number}; a row a class, a column a start"
  pictures.grid(images, folder / f"layer_{number}.png", title, num_starts)
  classes = np.arange(judge.classifier.num_classes).repeat(num_starts)
  sides = inverter.deviations.shape
  return {
    "images": f"preferred, layer {number} ({'x'.join(map(str, sides))})",
    "unexplained": preferred.unexplained(inverter, judge.classifier, judge.test.images[:1000]),
    "judge": certainty(judge.classifier, images, classes).tolist(),
    "finder": certainty(finder, images, classes).tolist(),
  }


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data()
  command_line.define_judge_network(judging.NETWORKS)
  flags.DEFINE_list("layers", None, "Layers that are inverted, from 1; the lowest and the last.")
  flags.DEFINE_integer("num_starts", 8, "Images of a class.", lower_bound=1)
  flags.DEFINE_integer("num_steps", 200, "Steps of the ascent.", lower_bound=0)
  flags.DEFINE_integer("training_steps", 1500, "Steps of each inverter.", lower_bound=1)
  command_line.define_seed("Seed of inverters and starts.")


def _layers(given: list[str] | None, num_layers: int) -> list[int]:
  """The layers that are asked for."""
  if given is None:
    return sorted({1, num_layers})
  numbers = [int(text) if text.isdecimal() else 0 for text in given]
  if not numbers or not all(1 <= number <= num_layers for number in numbers):
    raise ValueError(
      f"layers: expected integers from 1 to {num_layers}, separated by commas, got "
      f"{','.join(given)!r}"
    )
  return numbers


def _main() -> None:
  """Trains, climbs, and says what both classifiers make of it."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  name = command_line.required("dataset", "a labelled data set")
  spec = runs.DataSpec(name, given.data_dir, given.image_size)
  judge = judging.judge(
    name,
    data_dir=spec.data_dir,
    image_size=spec.image_size,
    network=given.judge_network,
  )
  finder = finding.finder(
    name, judge.train.images, data_dir=spec.data_dir, image_size=spec.image_size
  )
  shape = jax.ShapeDtypeStruct((1, *judge.classifier.image_shape), np.uint8)
  num_layers = len(jax.eval_shape(metrics.look, judge.classifier, shape).layers)
  test = judge.test
  assert test.labels is not None  # As `judging.judge` gives them.
  real = {
    who: certainty(classifier, test.images, test.labels).tolist()
    for who, classifier in (("judge", judge.classifier), ("finder", finder.classifier))
  }
  rows: list[dict[str, Any]] = [{"images": "real test images", "unexplained": None, **real}]
  for number in _layers(given.layers, num_layers):
    key = jax.random.fold_in(jax.random.key(given.seed), number)
    rows.append(
      layer(
        key,
        judge,
        finder.classifier,
        number,
        folder,
        num_images=given.limit,
        num_starts=given.num_starts,
        num_steps=given.num_steps,
        training_steps=given.training_steps,
      )
    )
    print(folder / f"layer_{number}.png")
  print(tables.aligned(layouts.preferred.cells(rows)))
  network = judging.title(name, name, judge.test_accuracy, given.judge_network)
  found = {**spec.as_dict(), "judge": network, "finder_accuracy": finder.test_accuracy}
  found |= {"num_starts": given.num_starts, "num_steps": given.num_steps, "rows": rows}
  provenance.write_result(folder / "preferred.json", found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
