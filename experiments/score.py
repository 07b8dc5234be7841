"""Scores a network's samples by a classifier of its data set.

    python -m experiments.score --dataset=mnist --model=runs/mnist/model.safetensors

Prints the inception score with its deviation, the mean confidence, the classes' shares and the mean
pixel, for real test images and for samples; leaves a JSON file, a grid of samples and the two pixel
histograms beside the model.
"""

import dataclasses
import json
import pathlib
import time

import jax
from absl import app, flags

import nsn_jax
from experiments import pictures, scoring

_DATASET = flags.DEFINE_string("dataset", "mnist", "A data set with labels.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the TFDS data sets.")
_MODEL = flags.DEFINE_string("model", None, "Model file.", required=True)
_NUM_SAMPLES = flags.DEFINE_integer("num_samples", 10_000, "Samples to score.", lower_bound=100)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the noise.")


def main(argv: list[str]) -> None:
  """Scores real images and samples."""
  del argv
  judge = scoring.judge(_DATASET.value, data_dir=_DATA_DIR.value)
  real = scoring.score(judge, judge.test.images)
  nsn = nsn_jax.load(_MODEL.value)
  start = time.perf_counter()
  score, images = scoring.score_samples(
    jax.random.key(_SEED.value), judge, nsn, _NUM_SAMPLES.value
  )
  seconds = time.perf_counter() - start
  print(f"judge: accuracy {judge.test_accuracy:.4f} on test images")
  print(f"real:    {real.row()}")
  print(f"samples: {score.row()}")
  print(f"filters {nsn.num_filters}, {nsn.config.sampler}")
  stem = pathlib.Path(_MODEL.value).with_suffix("")
  pictures.grid(images[:100], stem.with_suffix(".samples.png"), title="", columns=20)
  pictures.histograms(judge.train.images, images, stem.with_suffix(".pixels.png"))
  found = {
    "dataset": _DATASET.value,
    "num_filters": nsn.num_filters,
    "num_samples": _NUM_SAMPLES.value,
    "sampler": dataclasses.asdict(nsn.config.sampler),
    "judge_accuracy": judge.test_accuracy,
    "real": real.as_dict(),
    "samples": score.as_dict(),
    "seconds": seconds,
  }
  stem.with_suffix(".score.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
  app.run(main)
