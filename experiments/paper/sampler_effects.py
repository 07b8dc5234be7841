"""Fig 5: what gamma, alpha and beta do, one varied, the others as the network has them.

    python -m experiments.paper.sampler_effects --model=... --workdir=runs/fig5

For each knob `effect_gamma.png` and so on shows samples of the same noise, a row a value, and
`sampler_effects.png` the inception score (by the data set's classifier) along each;
`sampler_effects.json` holds the numbers.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

import nsn_jax
from experiments.common import command_line, judging, pictures, plots, provenance, workdir
from nsn_jax.metrics import evaluation

__all__ = ["curves", "settings", "vary"]

#: Factors of the network's own gamma in every layer, and values of the other two.
_GAMMA_FACTORS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_ALPHAS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5)
_BETAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
_SHOWN = 12


def settings(nsn: nsn_jax.NSN) -> dict[str, list[tuple[float, nsn_jax.SamplerConfig]]]:
  """For each knob its values, and the sampler that has them; gamma's value is a factor."""
  own = nsn.config.sampler
  gamma = own.per_layer("gamma", nsn.num_layers)
  return {
    "gamma": [
      (factor, dataclasses.replace(own, gamma=tuple(factor * float(g) for g in gamma)))
      for factor in _GAMMA_FACTORS
    ],
    "alpha": [(value, dataclasses.replace(own, alpha=value)) for value in _ALPHAS],
    "beta": [(value, dataclasses.replace(own, beta=value)) for value in _BETAS],
  }


def vary(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  judge: judging.Judge,
  folder: pathlib.Path,
  num_samples: int,
) -> dict[str, list[dict[str, Any]]]:
  """Draws the strips and the curves; returns a row of numbers a value of each knob."""
  found: dict[str, list[dict[str, Any]]] = {}
  for knob, values in settings(nsn).items():
    strips: list[np.ndarray] = []
    found[knob] = []
    for value, sampler in values:
      score, images = judging.score_samples(key, judge, nsn, num_samples, sampler)
      strips.append(images[:_SHOWN])
      found[knob].append({"value": value, **score.as_dict()})
      print(f"{knob} {value:g}: {score.row()}", flush=True)
    shown = ", ".join(f"{value:g}" for value, _ in values)
    what = "times the network's own gamma" if knob == "gamma" else knob
    pictures.grid(
      np.concatenate(strips),
      folder / f"effect_{knob}.png",
      columns=_SHOWN,
      title=f"{what}, from above: {shown}",
    )
  curves(found, folder / "sampler_effects.png")
  return found


def curves(found: Mapping[str, Sequence[Mapping[str, Any]]], path: pathlib.Path) -> None:
  """Draws the inception score along each knob."""
  plots.lines(
    [
      (
        "gamma, times the network's own" if knob == "gamma" else knob,
        [row["value"] for row in rows],
        [row["inception_score"] for row in rows],
      )
      for knob, rows in found.items()
    ],
    "inception score",
    path,
    logarithmic=[knob == "gamma" for knob in found],
  )


def _define_flags() -> None:
  command_line.define_figure("Seed of the noise, the same for every value.", num_samples=5_000)


def _main() -> None:
  given = flags.FLAGS
  evaluation.check_count("num_samples", given.num_samples)
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  data, _, nsn = command_line.judged()
  judge = judging.judge(data.name, data_dir=data.data_dir, image_size=data.image_size)
  found = vary(jax.random.key(given.seed), nsn, judge, folder, given.num_samples)
  provenance.write_result(folder / "sampler_effects.json", found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
