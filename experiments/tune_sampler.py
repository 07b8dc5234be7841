"""Finds a network's sampler settings: the search behind the presets' defaults.

    python -m experiments.tune_sampler --dataset=mnist --model=runs/mnist/model.safetensors

Coordinate search over gamma (a number a layer), temperature, beta of the first layer, alpha and the
number of draws, each with the contrast that is found for it without labels
(`nsn_jax.find_contrast`), to which beta is relative. Settings are ranked by the finder
(`experiments.common.finding`), a classifier of another architecture and seed than the judge,
trained on half of the training images: the lowest FID against that half wins, where FID is raised
by as many hundredths as precision and recall are below 0.9 each. The judge has no part in it; the
last line is its score of the setting that was found. What has no labels is found and scored by
classifiers of labelled scenes (`--scenes`).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from tqdm import tqdm

import nsn_jax
from experiments.common import command_line, finding, judging, provenance
from nsn_jax import SamplerConfig
from nsn_jax.metrics import evaluation
from nsn_jax.pixel_range import to_uint8

__all__ = ["KNOBS", "Knob", "Settings", "candidates", "factors", "of_pixels", "search", "values"]

#: From the best setting so far to those to try.
Settings = Callable[[SamplerConfig], list[SamplerConfig]]
#: What is tried of one field, by the number of layers: one `Settings` after the other.
Knob = Callable[[int], Iterator[Settings]]


def values(name: str, *tried: Any) -> Knob:
  """The field `name` at these values, each for all layers."""

  def settings(best: SamplerConfig) -> list[SamplerConfig]:
    return [
      dataclasses.replace(best, **{name: value}) for value in tried if value != getattr(best, name)
    ]

  return lambda _: iter([settings])


def of_pixels(name: str, *tried: float) -> Knob:
  """The field `name` of the first layer, which decodes to pixels, at these values."""

  def knob(num_layers: int) -> Iterator[Settings]:
    def settings(best: SamplerConfig) -> list[SamplerConfig]:
      present = best.per_layer(name, num_layers)
      others = [value for value in tried if value != present[0]]
      return [_with_layer(best, name, present, 0, value) for value in others]

    return iter([settings])

  return knob


def factors(name: str, *tried: float) -> Knob:
  """The field `name`, a number a layer, at these factors of the present ones; the last first."""

  def of_layer(layer: int, num_layers: int) -> Settings:
    def settings(best: SamplerConfig) -> list[SamplerConfig]:
      present = best.per_layer(name, num_layers)
      values = [float(f"{present[layer] * factor:.3g}") for factor in tried]
      return [_with_layer(best, name, present, layer, value) for value in values]

    return settings

  return lambda num_layers: (of_layer(n, num_layers) for n in reversed(range(num_layers)))


def _with_layer(
  best: SamplerConfig, name: str, present: tuple[float, ...], layer: int, value: float
) -> SamplerConfig:
  """A setting whose field `name`, a number a layer at present, has another one for a layer."""
  changed: dict[str, Any] = {name: (*present[:layer], value, *present[layer + 1 :])}
  return dataclasses.replace(best, **changed)


#: In the order of the search. A field more of `SamplerConfig` is a line more here.
KNOBS: tuple[Knob, ...] = (
  factors("gamma", 0.25, 0.5, 0.7, 1.4, 2.0, 4.0),
  values("temperature", 0.8, 0.9, 1.0, 1.15, 1.3),
  of_pixels("beta", 0.9, 1.0, 1.05, 1.1, 1.2),
  values("alpha", 0.0, 0.1, 0.2, 0.35),
  values("num_draws", 1, 2, 3),
)


def candidates(num_layers: int, knobs: Sequence[Knob] = KNOBS) -> Iterator[Settings]:
  """For each knob in turn, a function from the best setting so far to the settings to try."""
  for knob in knobs:
    yield from knob(num_layers)


def search(
  key: jax.Array,
  finder: finding.Finder,
  nsn: nsn_jax.NSN,
  images: npt.NDArray[np.uint8],
  *,
  num_samples: int,
  rounds: int,
  knobs: Sequence[Knob] = KNOBS,
) -> tuple[SamplerConfig, finding.Likeness]:
  """The setting of the lowest cost, from the network's own on, and how like its samples are.

  Args:
    key: PRNG key of the noise, the same for every setting.
    finder: who ranks.
    nsn: the network. Each setting has a contrast of its own, found without labels.
    images: uint8 [N, H, W, C], its training images.
    num_samples: drawn of each setting, above 5.
    rounds: over all knobs at most; a round that finds nothing better is the last.
    knobs: what is tried.
  """
  contrast_key, sample_key = jax.random.split(key)

  def measure(sampler: SamplerConfig) -> finding.Likeness:
    contrast = nsn_jax.find_contrast(contrast_key, nsn, images, sampler)
    network = dataclasses.replace(nsn, contrast=contrast)
    drawn = nsn_jax.sample(sample_key, network, num_samples, sampler)
    return finding.likeness(finder, to_uint8(drawn))

  best = nsn.config.sampler
  reached = measure(best)
  print(f"{reached.row()}  {best}", flush=True)
  for _ in range(rounds):
    before = best
    for settings in candidates(nsn.num_layers, knobs):
      for sampler in tqdm(settings(best), leave=False, disable=None):
        found = measure(sampler)
        if found.cost < reached.cost:
          best, reached = sampler, found
      print(f"{reached.row()}  {best}", flush=True)
    if best == before:
      break
  return best, reached


def _define_flags() -> None:
  command_line.define_judged_model()
  command_line.define_scenes()
  flags.DEFINE_integer("search_samples", 3000, "Samples a setting.", lower_bound=100)
  command_line.define_num_samples(10_000)
  flags.DEFINE_integer("rounds", 2, "Rounds over all knobs.", lower_bound=1)
  command_line.define_seed("Seed of the noise, the same for every setting.")


def _main() -> None:
  """Tunes, has the judge score on fresh noise, and writes the setting beside the model."""
  given = flags.FLAGS
  evaluation.check_count("num_samples", given.num_samples)
  data, model, nsn = command_line.judged()
  finder, found_by, judging_set, train, test = finding.find(data, given.scenes)
  print(f"finder: {found_by}, on half of the training images")
  print(f"real, held out: {finding.likeness(finder, test.images).row()}")
  search_key, contrast_key, last_key, score_key = jax.random.split(jax.random.key(given.seed), 4)
  best, reached = search(
    search_key, finder, nsn, train.images, num_samples=given.search_samples, rounds=given.rounds
  )
  judge = judging.judge(judging_set, data_dir=data.data_dir, image_size=data.image_size)
  scored_by = judging.title(data.name, judging_set, judge.test_accuracy)
  against = evaluation.reference(judge.classifier, train.images, test.images)
  real = evaluation.evaluate(score_key, against, test.images)
  contrast = nsn_jax.find_contrast(contrast_key, nsn, train.images, best)
  nsn = dataclasses.replace(nsn, contrast=contrast)
  samples = to_uint8(nsn_jax.sample(last_key, nsn, given.num_samples, best))
  scores = evaluation.evaluate(score_key, against, samples)
  found = {
    "dataset": data.name,
    "sampler": dataclasses.asdict(best),
    "found_by": {
      "network": found_by,
      "num_samples": given.search_samples,
      "rounds": given.rounds,
      "samples": reached.as_dict(),
    },
    "scored_by": {"network": scored_by, "real": real.as_dict(), "samples": scores.as_dict()},
  }
  out = model.with_suffix(".sampler.json")
  provenance.write_result(out, found)
  print(f"wrote {out}\n{best}\njudge, which had no part in it: {scored_by}")
  print(f"real, held out: {real.row()}")
  print(f"{given.num_samples:,} fresh samples: {scores.row()}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
