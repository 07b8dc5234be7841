"""Finds a network's sampler settings: the search behind the presets' defaults.

    python -m experiments.tune_sampler --dataset=mnist --model=runs/mnist/model.safetensors

Coordinate search over gamma (a number a layer), beta, alpha and the number of draws, for the
highest inception score by a classifier of the data set, among settings that do not win it by
saturating (mean pixel within 25% of the training images', white pixels at most 5% more of all) nor
by few classes (each from 4% to 20%), with a little to spare, as the search's own samples are few.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
from absl import flags
from tqdm import tqdm

import nsn_jax
from experiments.common import command_line, judging, provenance
from nsn_jax import SamplerConfig
from nsn_jax.metrics import evaluation

__all__ = ["candidates", "search"]

#: Steps tried for each knob, as factors of its present value.
_GAMMA_FACTORS = (0.25, 0.5, 0.7, 1.4, 2.0, 4.0)
_BETAS = (1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0)
_ALPHAS = (0.0, 0.1, 0.2, 0.35)
_DRAWS = (1, 2, 3)


Settings = Callable[[SamplerConfig], list[SamplerConfig]]


def candidates(num_layers: int) -> Iterator[Settings]:
  """For each knob in turn, a function from the best setting so far to the settings to try."""

  def vary_gamma(layer: int) -> Settings:
    def settings(best: SamplerConfig) -> list[SamplerConfig]:
      gamma = list(best.per_layer("gamma", num_layers))
      present = gamma[layer]
      tried = []
      for factor in _GAMMA_FACTORS:
        gamma[layer] = float(f"{present * factor:.3g}")
        tried.append(dataclasses.replace(best, gamma=tuple(gamma)))
      return tried

    return settings

  def vary(name: str, values: tuple[Any, ...]) -> Settings:
    return lambda best: [
      dataclasses.replace(best, **{name: value}) for value in values if value != getattr(best, name)
    ]

  yield vary("beta", _BETAS)
  for layer in reversed(range(num_layers)):
    yield vary_gamma(layer)
  yield vary("alpha", _ALPHAS)
  yield vary("num_draws", _DRAWS)


def search(
  key: jax.Array, judge: judging.Judge, nsn: nsn_jax.NSN, *, num_samples: int, rounds: int
) -> tuple[SamplerConfig, judging.Score]:
  """The best setting found, and its score on `num_samples` samples."""

  def measure(sampler: SamplerConfig) -> judging.Score:
    return judging.score_samples(key, judge, nsn, num_samples, sampler)[0]

  best = nsn.config.sampler
  best_score = measure(best)
  for _ in range(rounds):
    before = best
    for settings in candidates(nsn.num_layers):
      for sampler in tqdm(settings(best), leave=False, disable=None):
        score = measure(sampler)
        if judging.rank(score) > judging.rank(best_score):
          best, best_score = sampler, score
      print(f"{best_score.row()}  {best}", flush=True)
    if best == before:
      break
  return best, best_score


def _define_flags() -> None:
  command_line.define_judged_model()
  flags.DEFINE_integer("search_samples", 3000, "Samples a setting.", lower_bound=100)
  command_line.define_num_samples(10_000)
  flags.DEFINE_integer("rounds", 2, "Rounds over all knobs.", lower_bound=1)
  command_line.define_seed("Seed of the noise, the same for every setting.")


def _main() -> None:
  """Tunes, scores on fresh noise, and writes the setting beside the model."""
  given = flags.FLAGS
  evaluation.check_count("num_samples", given.num_samples)
  data, model, nsn = command_line.judged()
  judging.check_held_out(data.name, data.replace(limit=None).load("test").images)
  judge = judging.judge(data.name, data_dir=data.data_dir, image_size=data.image_size)
  print(f"judge: test accuracy {judge.test_accuracy:.4f}")
  print(f"real test images: {judging.score(judge, judge.test.images).row()}")
  search_key, last_key = jax.random.split(jax.random.key(given.seed))
  best, _ = search(search_key, judge, nsn, num_samples=given.search_samples, rounds=given.rounds)
  score, _ = judging.score_samples(last_key, judge, nsn, given.num_samples, best)
  print(f"on {given.num_samples} fresh samples: {score.row()}\n{best}")
  out = model.with_suffix(".sampler.json")
  found = {"sampler": dataclasses.asdict(best), "score": score.as_dict()}
  provenance.write_result(out, found)
  print(f"wrote {out}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
