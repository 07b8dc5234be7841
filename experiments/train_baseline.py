"""Trains a baseline, as a GAN, a VAE or an RBM, and keeps its score's curve over training.

    python -m experiments.train_baseline --model=dcgan --dataset=mnist --workdir=runs/dcgan
    python -m experiments.train_baseline --model=vae --options=latent=50 --dataset=mnist --workdir=w
    python -m experiments.train_baseline --workdir=runs/dcgan --resume     # goes on after Ctrl-C

What the folder then holds: see `experiments.common.baseline_training`.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from absl import flags

from experiments.common import baseline_training, command_line, runs
from nsn_jax import baselines

__all__: list[str] = []


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_enum("model", None, sorted(baselines.MODELS), "The baseline.")
  command_line.define_data()
  flags.DEFINE_integer("num_epochs", None, "Epochs in all; the model's own default.", lower_bound=1)
  flags.DEFINE_integer(
    "width",
    None,
    "Channels of convolutions' first layer, else units of a hidden layer.",
    lower_bound=1,
  )
  flags.DEFINE_list(
    "options", [], "Fields of the model as the library's reference has them, NAME=VALUE,NAME=VALUE."
  )
  flags.DEFINE_integer("score_every", 1, "Epochs between two scores; 0 for none.", lower_bound=0)
  flags.DEFINE_integer("score_samples", 10_000, "Samples that are scored.", lower_bound=100)
  command_line.define_scenes()
  command_line.define_seed("Seed of training.")
  command_line.define_resumption()


def _main() -> None:
  given = flags.FLAGS
  folder, stored, setting = command_line.resumption()
  model = setting("model")
  if not model:
    raise ValueError(
      f"model: expected one of {', '.join(baselines.MODELS)}, got none: give --model=..."
    )
  options = _options(model, given.options) or stored.get("options", {})
  if given.width is not None:
    field = baselines.MODELS[model].width_field
    if field is None:
      raise ValueError(f"width: expected none, as {model} has no width, got {given.width}")
    options = {**options, field: given.width}
  baseline_training.train(
    folder,
    runs.BaselineTraining(
      data=command_line.data_spec(setting),
      seed=setting("seed"),
      model=model,
      options=options,
      num_epochs=setting("num_epochs"),
      score_every=setting("score_every"),
      score_samples=setting("score_samples"),
      scenes=setting("scenes"),
    ),
    resume=given.resume,
    overwrite=given.overwrite,
  )


def _options(model: str, given: Sequence[str]) -> dict[str, Any]:
  """The fields that a command line gives, whose values the model checks."""
  fields = [field.name for field in dataclasses.fields(baselines.MODELS[model])]
  fields.remove("image_shape")  # the data's
  found = {}
  for part in given:
    name, equals, value = part.partition("=")
    if not equals or name not in fields:
      raise ValueError(f"options: expected NAME=VALUE of {', '.join(fields)}, got {part!r}")
    try:
      found[name] = json.loads(value)
    except ValueError:
      found[name] = value  # a word
  return found


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
