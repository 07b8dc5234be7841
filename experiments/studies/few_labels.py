"""Test errors where few images are labelled: by a semi-supervised GAN, and by these images alone.

    python -m experiments.studies.few_labels --num_labels=100 --dataset=mnist --data_dir=... \
        --workdir=runs/few_labels

As many images of each class are labelled, drawn by the seed; the GAN sees all training images,
those with their labels over and over. The other network is its critic with its noise, which sees
the labelled ones alone. With 100 labels of MNIST the paper has 93 errors in 10,000, with a
deviation of 6.5 over ten draws of them (Salimans et al. 2016, arXiv:1606.03498, Table 1).
`few_labels.json` holds both numbers of errors, `samples.png` what the GAN draws.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import command_line, pictures, provenance, workdir
from experiments.common.epoch_line import EpochLine
from nsn_jax import baselines, data
from nsn_jax.pixel_range import to_signed

__all__ = ["alone", "num_errors", "together"]

#: Test images that are told at a time.
_AT_ONCE = 1_000
#: Samples that are shown.
_SHOWN = 100


def num_errors(
  model: baselines.SemiSupervisedGAN,
  state: baselines.SemiSupervisedState,
  images: Any,
  labels: Any,
) -> int:
  """How many images are told to be of a class that they are not.

  Args:
    model: trained.
    state: of it.
    images: uint8 [N, H, W, C].
    labels: integers [N].
  """
  told = jax.jit(lambda state, images: model.logits(state, images).argmax(axis=1))
  found = 0
  for start in range(0, len(images), _AT_ONCE):
    rows = slice(start, start + _AT_ONCE)
    found += int((np.asarray(told(state, to_signed(images[rows]))) != labels[rows]).sum())
  return found


def together(
  key: jax.Array,
  model: baselines.SemiSupervisedGAN,
  loaded: data.Dataset,
  rows: Any,
  num_epochs: int,
  **progress: Any,
) -> baselines.SemiSupervisedState:
  """The GAN trained on all images, of which these rows are labelled.

  Args:
    key: PRNG key.
    model: the GAN.
    loaded: the training set.
    rows: of the labelled images, integers [n].
    num_epochs: each of all images, once without labels.
    **progress: `report` and `on_epoch` of `baselines.train`.
  """
  images, labels = baselines.repeat_few(loaded.images, loaded.labels, rows)
  return baselines.train(key, model, images, labels=labels, num_epochs=num_epochs, **progress)


def alone(
  key: jax.Array,
  model: baselines.SemiSupervisedGAN,
  loaded: data.Dataset,
  rows: Any,
  num_steps: int,
) -> baselines.SemiSupervisedState:
  """The same network trained on these rows and their labels alone.

  Args:
    key: PRNG key.
    model: the GAN, whose critic it is.
    loaded: the training set.
    rows: of the labelled images, integers [n].
    num_steps: of as many images as the GAN's.
  """
  classifier = dataclasses.replace(model, unlabelled_weight=0.0)
  again = np.resize(rows, num_steps * model.batch_size)
  labels = np.asarray(loaded.labels)[again]
  return baselines.train(key, classifier, loaded.images[again], labels=labels, num_epochs=1)


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data()
  flags.DEFINE_integer("num_labels", 100, "Labelled images, as many a class.", lower_bound=1)
  flags.DEFINE_integer("num_epochs", None, "Of the GAN; its default.", lower_bound=1)
  flags.DEFINE_integer(
    "alone_steps", 300, "Of the network that sees labelled images alone.", lower_bound=1
  )
  command_line.define_seed("Seed of the labelled images, and of training.")


def _main() -> None:
  """Trains both, prints and writes their errors, and draws."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  spec = command_line.data_spec(lambda name: flags.FLAGS[name].value)
  loaded, test = spec.load(), spec.load("test")
  if loaded.labels is None or test.labels is None:
    raise ValueError(f"dataset: expected one with labels, got {spec.name!r}")
  rows_key, together_key, alone_key, show_key = jax.random.split(jax.random.key(given.seed), 4)
  rows = baselines.choose_few(rows_key, loaded.labels, given.num_labels)
  model = baselines.SemiSupervisedGAN(
    image_shape=loaded.images.shape[1:], num_classes=int(loaded.labels.max()) + 1
  )
  found = {"dataset": spec.name, "num_labels": given.num_labels, "num_images": len(test.images)}
  state = alone(alone_key, model, loaded, rows, given.alone_steps)
  found["alone"] = num_errors(model, state, test.images, test.labels)
  print(f"the labelled images alone: {found['alone']:,} errors of {len(test.images):,}")
  num_epochs = given.num_epochs or model.default_epochs
  line = EpochLine(num_epochs)
  curve: list[int] = []

  def on_epoch(epoch: baselines.Epoch, state: Any) -> None:
    curve.append(num_errors(model, state, test.images, test.labels))
    line.epoch_done(epoch._asdict())
    print(f"with all images: {curve[-1]:,} errors", flush=True)

  try:
    state = together(together_key, model, loaded, rows, num_epochs, report=line, on_epoch=on_epoch)
  finally:
    line.close()
  samples = baselines.sample(show_key, model, state, _SHOWN)
  pictures.grid(samples, folder / "samples.png", columns=10)
  provenance.write_result(
    folder / "few_labels.json", found | {"together": curve[-1], "curve": curve}
  )


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
