"""Scores a network's samples by a classifier of its data set.

    python -m experiments.score --dataset=mnist --model=runs/mnist/model.safetensors

Prints the inception score with its deviation, the mean confidence, the classes' shares and the mean
pixel, for real test images and for samples; leaves a JSON file, a grid of samples and the two pixel
histograms beside the model.
"""

import dataclasses

import jax
from absl import flags

from experiments.common import command_line, judging, pictures, plots, provenance
from nsn_jax.metrics import evaluation

__all__: list[str] = []


def _define_flags() -> None:
  command_line.define_judged_model()
  command_line.define_num_samples(10_000)
  command_line.define_seed("Seed of the noise.")


def _main() -> None:
  """Scores real images and samples."""
  given = flags.FLAGS
  evaluation.check_count("num_samples", given.num_samples)
  data, model, nsn = command_line.judged()
  training = data.load().images
  judging.check_held_out(data.name, data.replace(limit=None).load("test").images)
  judge = judging.judge(data.name, data_dir=data.data_dir, image_size=data.image_size)
  real = judging.score(judge, judge.test.images)
  score, images = judging.score_samples(jax.random.key(given.seed), judge, nsn, given.num_samples)
  print(f"judge: accuracy {judge.test_accuracy:.4f} on test images")
  print(f"real:    {real.row()}")
  print(f"samples: {score.row()}")
  print(f"filters {nsn.num_filters}, {nsn.config.sampler}")
  stem = model.with_suffix("")
  pictures.grid(images[:100], stem.with_suffix(".samples.png"), title="", columns=20)
  plots.histograms(training, images, stem.with_suffix(".pixels.png"))
  found = {
    "dataset": data.name,
    "image_size": data.image_size,
    "limit": data.limit,
    "num_filters": nsn.num_filters,
    "num_samples": given.num_samples,
    "sampler": dataclasses.asdict(nsn.config.sampler),
    "judge_accuracy": judge.test_accuracy,
    "real": real.as_dict(),
    "samples": score.as_dict(),
  }
  provenance.write_result(stem.with_suffix(".score.json"), found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
