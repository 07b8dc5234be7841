"""What a conditional PixelCNN makes of classes: samples of each, and images told by their density.

    python -m experiments.studies.classes --trained=runs/condpixelcnn --workdir=runs/classes

`--trained` is a workdir of `experiments.train_baseline --model=condpixelcnn`. `classes.png` has a
row a class. `classes.json` holds the share of its samples that the data set's judge takes for their
class, and of test images whose class is the likeliest one by Bayes' rule, p(y | x).
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from absl import flags

from experiments.common import (
  baseline_training,
  command_line,
  judging,
  pictures,
  provenance,
  workdir,
)
from nsn_jax import baselines
from nsn_jax.pixel_range import from_signed, to_signed

__all__ = ["accuracy", "draw"]

#: Samples of a class that are shown.
_SHOWN = 10
#: Images that are told, or drawn, at a time.
_AT_ONCE = 100


def draw(
  key: jax.Array,
  model: baselines.CondPixelCNN,
  state: baselines.AutoregressiveState,
  num_samples: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
  """Samples of each class in turn, and their classes.

  Args:
    key: PRNG key.
    model: trained.
    state: of it.
    num_samples: of each class.

  Returns:
    uint8 [num_classes * num_samples, H, W, 1] and int32 [num_classes * num_samples].
  """
  labels = np.repeat(np.arange(model.num_classes, dtype=np.int32), num_samples)
  size = min(_AT_ONCE, len(labels))
  drawn = jax.jit(lambda *given: from_signed(model.generate_with(*given)))
  found = np.empty((len(labels), *model.image_shape), np.uint8)
  for start in range(0, len(labels), size):
    # The last ones again with some before them: one program for all.
    rows = slice(min(start, len(labels) - size), start + size)
    found[rows] = drawn(jax.random.fold_in(key, start), state, labels[rows])
  return found, labels


def accuracy(
  model: baselines.CondPixelCNN, state: baselines.AutoregressiveState, images: Any, labels: Any
) -> float:
  """The share of images whose likeliest class is their own.

  Args:
    model: trained.
    state: of it.
    images: uint8 [N, H, W, 1].
    labels: integers [N].
  """
  told = jax.jit(lambda params, images: model.class_logs(params, images).argmax(axis=1))
  found = [
    np.asarray(told(state.params, to_signed(jnp.asarray(images[start : start + _AT_ONCE]))))
    for start in range(0, len(images), _AT_ONCE)
  ]
  return float((np.concatenate(found) == labels).mean())


def _judged(facts: Any, images: Any, labels: Any) -> dict[str, Any]:
  """The share of samples that the judge takes for their class."""
  name = facts["dataset"]
  judge = judging.judge(name, data_dir=facts["data_dir"], image_size=facts["image_size"])
  told = judge.classifier.outputs(images).probabilities.argmax(axis=1)
  return {
    "judge": judging.title(name, name, judge.test_accuracy),
    "num_samples": len(images),
    "judged": float((told == labels).mean()),
  }


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("trained", None, "Workdir of a trained conditional PixelCNN.")
  flags.DEFINE_integer("num_samples", 100, "Of each class, for the judge.", lower_bound=_SHOWN)
  flags.DEFINE_integer("num_images", 1_000, "Test images at most.", lower_bound=1)
  command_line.define_seed("Seed of the samples.")


def _main() -> None:
  """Draws, has samples judged and images told, and writes the shares."""
  given = flags.FLAGS
  folder: pathlib.Path = workdir.open_folder(command_line.required("workdir", "a folder"))
  place = command_line.required("trained", "the workdir of a trained conditional PixelCNN")
  model, state, facts = baseline_training.load_kind(
    "trained", place, baselines.CondPixelCNN, "a conditional PixelCNN"
  )
  images, labels = draw(jax.random.key(given.seed), model, state, given.num_samples)
  path = folder / "classes.png"
  shown = images.reshape(model.num_classes, -1, *model.image_shape)[:, :_SHOWN]
  pictures.grid(shown.reshape(-1, *model.image_shape), path, "a row a class", _SHOWN)
  print(path)
  found = {"dataset": facts["dataset"], "options": facts["options"]}
  found |= _judged(facts, images, labels)
  print(f"{found['judged']:.1%} of {len(images):,} samples are of their class to the judge")
  test = baseline_training.held_out(facts, given.num_images).load("test")
  found |= {"num_images": len(test.images)}
  found["accuracy"] = accuracy(model, state, test.images, test.labels)
  print(f"{found['accuracy']:.1%} of {len(test.images):,} test images are told by their density")
  provenance.write_result(folder / "classes.json", found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
