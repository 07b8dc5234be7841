"""What auto-encoders give back: means by deconvolutions, draws by a PixelCNN, of one code's size.

    python -m experiments.studies.reconstructions --trained=runs/pixelcnnae \
        --beside=runs/autoencoder --workdir=runs/reconstructions

`--trained` and `--beside` are workdirs of `experiments.train_baseline --model=pixelcnnae` and
`--model=autoencoder`, of one data set. `reconstructions.png` has a test image a row: itself, what
the plain one gives back, and several draws of the PixelCNN. `reconstructions.json` holds, of test
images and of what either gives back: the judge's scores, the share that it takes for their class,
how sharp they are, and the error.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

from experiments.common import (
  baseline_training,
  command_line,
  judging,
  pictures,
  provenance,
  tables,
  workdir,
)
from nsn_jax import baselines
from nsn_jax.metrics import evaluation
from nsn_jax.pixel_range import from_signed, to_signed

__all__ = ["measure", "reconstruct", "sharpness"]

Images = npt.NDArray[np.uint8]

#: Rows of the picture, and draws of a row.
_SHOWN, _DRAWS = 10, 6
#: Images that are given back at a time.
_AT_ONCE = 100


def reconstruct(
  key: jax.Array, model: baselines.EncodingModel, state: baselines.EncodingState, images: Images
) -> Images:
  """What a model gives back of images, uint8 [N, H, W, C], one draw each where it draws.

  Args:
    key: PRNG key.
    model: trained.
    state: of it.
    images: uint8 [N, H, W, C].
  """
  size = min(_AT_ONCE, len(images))
  found = np.empty(images.shape, np.uint8)
  for start in range(0, len(images), size):
    # The last ones again with some before them: one program for all.
    rows = slice(min(start, len(images) - size), start + size)
    found[rows] = _given_back(model, jax.random.fold_in(key, start), state, images[rows])
  return found


@functools.partial(jax.jit, static_argnums=0)
def _given_back(model: Any, key: jax.Array, state: Any, images: jax.Array) -> jax.Array:
  return from_signed(model.reconstruct(key, state, to_signed(images)))


def sharpness(images: Images) -> float:
  """The mean absolute difference of neighbouring values, along rows and columns, in 0-255."""
  values = images.astype(np.int16)
  steps = np.abs(np.diff(values, axis=1)), np.abs(np.diff(values, axis=2))
  return float(sum(step.sum() for step in steps) / sum(step.size for step in steps))


def measure(
  key: jax.Array,
  judge: judging.Judge,
  against: evaluation.Reference,
  originals: Images,
  labels: npt.NDArray[np.int32],
  found: Mapping[str, Images],
) -> list[dict[str, Any]]:
  """A row a set of images that stand for the originals, plain values.

  Args:
    key: PRNG key of the scores.
    judge: that names classes.
    against: the training images, as the judge sees them.
    originals: uint8 [N, H, W, C].
    labels: their classes.
    found: by name, what was given back; uint8 [N, H, W, C].
  """
  rows = []
  for name, images in found.items():
    told = judge.classifier.outputs(images).probabilities.argmax(axis=1)
    error = np.square(images.astype(np.float64) - originals).mean() ** 0.5
    rows.append(
      {
        "images": name,
        "sharpness": sharpness(images),
        "root_mean_square_error": float(error),
        "same_class": float((told == labels).mean()),
        **evaluation.evaluate(key, against, images).as_dict(),
      }
    )
  return rows


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
  """The table of the rows, its head first."""
  head = ["images", "FID", "precision", "recall", "of its class", "sharpness", "error"]
  cells = [
    [
      row["images"],
      f"{row['fid']:.2f}",
      f"{row['precision']:.3f}",
      f"{row['recall']:.3f}",
      f"{row['same_class']:.1%}",
      f"{row['sharpness']:.2f}",
      f"{row['root_mean_square_error']:.1f}",
    ]
    for row in rows
  ]
  return [head, *cells]


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("trained", None, "Workdir of a trained PixelCNN auto-encoder.")
  flags.DEFINE_string("beside", None, "Workdir of a trained plain auto-encoder.")
  flags.DEFINE_integer(
    "num_images", 1_000, "Test images at most.", lower_bound=evaluation.LEAST_IMAGES
  )
  command_line.define_seed("Seed of the draws.")


def _main() -> None:
  """Gives images back, draws some, prints the table and writes it."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  place = command_line.required("trained", "the workdir of a trained PixelCNN auto-encoder")
  model, state, facts = baseline_training.load_kind(
    "trained", place, baselines.PixelCNNAutoEncoder, "a PixelCNN auto-encoder"
  )
  place = command_line.required("beside", "the workdir of a trained auto-encoder")
  plain, plain_state, plain_facts = baseline_training.load_kind(
    "beside", place, baselines.ConvAutoEncoder, "an auto-encoder"
  )
  kinds = [(x["dataset"], x["image_size"]) for x in (facts, plain_facts)]
  if kinds[0] != kinds[1]:
    raise ValueError(f"beside: expected one of {kinds[0][0]} at the same size, got {kinds[1][0]}")
  spec = baseline_training.held_out(facts, given.num_images)
  test = spec.load("test")
  images_key, shown_key, score_key = jax.random.split(jax.random.key(given.seed), 3)
  found = {
    "test images": test.images,
    plain.title: reconstruct(images_key, plain, plain_state, test.images),
    model.title: reconstruct(images_key, model, state, test.images),
  }
  rows = slice(min(_SHOWN, len(test.images)))
  columns = [images[rows] for images in found.values()]
  keys = jax.random.split(shown_key, _DRAWS - 1)
  columns += [reconstruct(key, model, state, test.images[rows]) for key in keys]
  path = folder / "reconstructions.png"
  shown = np.stack(columns, axis=1).reshape(-1, *model.image_shape)
  title = "test images, what deconvolutions give back, and draws of the PixelCNN"
  pictures.grid(shown, path, title, len(columns))
  print(path)
  judge = judging.judge(spec.name, data_dir=spec.data_dir, image_size=spec.image_size)
  against = evaluation.reference(judge.classifier, judge.train.images, judge.test.images)
  assert test.labels is not None  # As a judge has them.
  measured = measure(score_key, judge, against, test.images, test.labels, found)
  print(tables.aligned(_cells(measured)))
  judged_by = judging.title(spec.name, spec.name, judge.test_accuracy)
  result = {"dataset": spec.name, "judge": judged_by, "num_images": len(test.images)}
  options = {"options": [facts["options"], plain_facts["options"]]}
  provenance.write_result(folder / "reconstructions.json", result | options | {"rows": measured})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
