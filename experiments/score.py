"""Scores a network's samples, or anybody's images.

    python -m experiments.score --dataset=mnist --model=runs/mnist/model.safetensors
    python -m experiments.score --real=folder:A --generated=folder:B --judge=folder:SCENES

The first draws samples and has a classifier of the data set judge them, or of another one
(`--judge`) where it has no labels. It prints the inception score with its deviation, the mean
confidence, the classes' shares and the mean pixel, then FID, KID, precision, recall and the copy
check, for real test images and for samples; it leaves a JSON file, a grid of samples and the two
pixel histograms beside the model.

The second compares images with images, of folders, `npz:` files or data sets, and prints the same
but for classes and pixels: for real ones that are held out, then for the generated ones. Judges are
the classifier of a labelled data set (`--judge=mnist`) or ImageNet's Inception v3
(`--inception_weights`). Images are brought to the judge's size, or to `--image_size`, antialiased.
`--reference` keeps what the judge made of the real images, and `--out` the scores, as JSON.

With `--judge_network=fractal` the classifier is a FractalNet, in both.

FID and recall say who is ahead; the inception score alone does not. It is of images in a random
order, always the same. Compare FID of equally many images only.
"""

import dataclasses
import pathlib

import jax
from absl import flags

from experiments.common import (
  command_line,
  image_scores,
  judging,
  pictures,
  plots,
  provenance,
  runs,
)
from nsn_jax.metrics import evaluation

__all__: list[str] = []

#: Flags that one of the two uses does not take.
_OF_MODELS, _OF_IMAGES = ("model", "dataset"), ("real", "generated")
_OF_IMAGES_ONLY = ("inception_weights", "reference", "out")


def _define_flags() -> None:
  command_line.define_judged_model()
  command_line.define_num_samples(10_000)
  command_line.define_seed("Seed of the noise.")
  flags.DEFINE_string("real", None, "Real images: a data set's name, folder:PATH or npz:PATH.")
  flags.DEFINE_string("generated", None, "Generated images, named likewise.")
  flags.DEFINE_string(
    "judge", None, "Labelled data set whose classifier judges; by default that of the images."
  )
  command_line.define_judge_network(judging.NETWORKS)
  flags.DEFINE_string("inception_weights", None, "Inception v3's .pth file, to judge instead.")
  flags.DEFINE_string(
    "reference", None, "File (.npz) of what the judge makes of the real images; made or reused."
  )
  flags.DEFINE_string("out", None, "File (.json) for the scores of images.")


def _main() -> None:
  given = flags.FLAGS
  is_of_images = any(given[name].value for name in _OF_IMAGES)
  for name in _OF_MODELS if is_of_images else _OF_IMAGES_ONLY:
    if given[name].value:
      with_what = "without" if is_of_images else "only with"
      raise ValueError(
        f"{name}: expected {with_what} --real and --generated, got {given[name].value!r}"
      )
  if is_of_images:
    _score_images()
  else:
    _score_model()


def _score_images() -> None:
  """Scores generated images beside real ones."""
  given = flags.FLAGS
  real, generated = (
    command_line.required(name, f"{name} images, as folder:PATH") for name in _OF_IMAGES
  )
  if given.out and not pathlib.Path(given.out).parent.is_dir():
    raise FileNotFoundError(f"out: expected a folder for {given.out!r}, found none")
  found = image_scores.score(
    runs.DataSpec(real, given.data_dir, given.image_size, given.limit),
    generated,
    judge=given.judge,
    network=given.judge_network,
    inception_weights=given.inception_weights,
    reference=given.reference,
  )
  if given.out:
    provenance.write_result(pathlib.Path(given.out), found)
    print(f"wrote {given.out}")


def _score_model() -> None:
  """Scores real images and a network's samples."""
  given = flags.FLAGS
  evaluation.check_count("num_samples", given.num_samples)
  data, model, nsn = command_line.judged()
  training = data.load()
  judging_set = given.judge or judging.judging_set(data.name, training.labels, None)
  if judging_set is None:
    raise judging.no_judge(data.name, flag="judge")
  # All images, whatever the limit of training.
  whole = data.replace(limit=None)
  judging.check_held_out(data.name, whole.load("test").images)
  judge = judging.judge(
    judging_set,
    data_dir=data.data_dir,
    image_size=data.image_size,
    network=given.judge_network,
  )
  if judging_set != data.name:
    judge = dataclasses.replace(judge, train=whole.load(), test=whole.load("test"))
  key = jax.random.key(given.seed)
  real = judging.score(judge, judge.test.images)
  score, images = judging.score_samples(key, judge, nsn, given.num_samples)
  against = evaluation.reference(judge.classifier, judge.train.images, judge.test.images)
  score_key = jax.random.fold_in(key, 1)
  rows = [evaluation.evaluate(score_key, against, found) for found in (judge.test.images, images)]
  print(f"judge: accuracy {judge.test_accuracy:.4f} on test images")
  print(f"real:    {real.row()}\n         {rows[0].row()}")
  print(f"samples: {score.row()}\n         {rows[1].row()}")
  print(f"filters {nsn.num_filters}, {nsn.config.sampler}")
  stem = model.with_suffix("")
  pictures.grid(images[:100], stem.with_suffix(".samples.png"), title="", columns=20)
  plots.histograms(training.images, images, stem.with_suffix(".pixels.png"))
  found = {
    "dataset": data.name,
    "image_size": data.image_size,
    "limit": data.limit,
    "num_filters": nsn.num_filters,
    "num_samples": given.num_samples,
    "sampler": dataclasses.asdict(nsn.config.sampler),
    "judge": judging.title(data.name, judging_set, judge.test_accuracy, given.judge_network),
    "judge_accuracy": judge.test_accuracy,
    "real": {**real.as_dict(), **rows[0].as_dict()},
    "samples": {**score.as_dict(), **rows[1].as_dict()},
  }
  provenance.write_result(stem.with_suffix(".score.json"), found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
