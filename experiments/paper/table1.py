"""Table 1: what NSN and other generative models are like, measured where it can be.

    python -m experiments.paper.table1 --dataset=mnist --data_dir=... --workdir=runs/table1

Each model is trained from several seeds, in folders below the workdir (`nsn/seed0` and so on) or,
where they are there, found. `table1.json`, `table1.txt`: how many networks a model is, whether its
size is found or given, how far the scores of the seeds are spread, the time of a batch of samples
and whether its pixels come together, and the density that it gives held-out images, where it has
one. A row that is there already is not made again; all rows of a folder are of the same settings.
"""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.common import command_line, judging, provenance, runs, workdir
from experiments.paper import contenders, layouts
from experiments.paper.layouts import names
from nsn_jax import baselines, files
from nsn_jax.metrics import evaluation

__all__ = ["Settings", "batch_seconds", "make_row", "make_table"]

#: Held-out images whose density is taken.
_HELD_OUT = 1_000


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides a row beside its model.

  Attributes:
    dataset: name, as `nsn_jax.data.load` takes it.
    num_seeds: trainings of each model.
    num_samples: that each training is scored on.
    num_epochs: of a baseline; None for each one's default.
    limit: number of training images at most.
  """

  dataset: str
  num_seeds: int = 5
  num_samples: int = 5_000
  num_epochs: int | None = None
  limit: int | None = None


def make_table(
  place: str | os.PathLike[str],
  models: Sequence[str],
  settings: Settings,
  judge: judging.Judge,
  data_dir: str | None = None,
) -> list[dict[str, Any]]:
  """Makes the rows that are missing, and writes the table after each.

  Args:
    place: the folder, made if need be.
    models: "nsn", "nsn-plain", "nsn-large", "nsn-best" and baselines' names.
    settings: of all rows.
    judge: whose classifier scores.
    data_dir: folder of the TFDS data sets.

  Returns:
    All rows, plain values.

  Raises:
    ValueError: for an unknown model, or settings that are not those of the rows in the folder.
    OSError: where the folder cannot be written, or another run uses it.
  """
  evaluation.check_count("num_samples", settings.num_samples)
  contenders.check(models, names.trainable())
  with workdir.using(place) as folder:
    return _make_table(folder, models, settings, judge, data_dir)


def _make_table(
  folder: pathlib.Path,
  models: Sequence[str],
  settings: Settings,
  judge: judging.Judge,
  data_dir: str | None,
) -> list[dict[str, Any]]:
  """`make_table`, in a folder that no other run uses."""
  path = folder / "table1.json"
  stored = files.read_json(path).get("rows", [])
  for row in stored:
    workdir.check_table(dataclasses.asdict(settings), row["settings"], path)
  rows = {row["model"]: row for row in stored}
  for model in models:
    if model not in rows:
      rows[model] = make_row(model, folder / model, settings, judge, data_dir)
      files.write_json(path, {"rows": list(rows.values())})
      files.write_text(folder / "table1.txt", layouts.table1.as_text(list(rows.values())))
  return [rows[model] for model in models]


def make_row(
  model: str,
  folder: pathlib.Path,
  settings: Settings,
  judge: judging.Judge,
  data_dir: str | None,
) -> dict[str, Any]:
  """A model trained from every seed, and measured."""
  folder.mkdir(exist_ok=True)
  data = runs.DataSpec(settings.dataset, data_dir, limit=settings.limit)
  title = names.titles()[model]
  scores: list[float | None] = []
  found: list[contenders.Contender] = []
  collapsed = 0
  for seed in range(settings.num_seeds):
    place = folder / f"seed{seed}"
    try:
      trained = contenders.find(model, place, data, num_epochs=settings.num_epochs, seed=seed)
    except baselines.DivergedError as error:
      scores.append(None)  # An unstable training is a result here.
      print(f"{title}, seed {seed}: {error}", flush=True)
      continue
    found.append(trained)
    images = trained.sample(jax.random.key(seed), settings.num_samples)
    scores.append(judging.score(judge, images).inception_score)
    if trained.family is baselines.Family.ADVERSARIAL:
      collapsed += runs.read_epochs(place)[-1]["collapsed"]
    print(f"{title}, seed {seed}: IS {scores[-1]:.2f}", flush=True)
  if not found:
    raise ValueError(f"models: expected one that can be trained, got {model!r}: all seeds diverged")
  finite = [score for score in scores if score is not None]
  first = found[0]
  size_is_found = first.num_filters is not None
  return {
    "model": model,
    "settings": dataclasses.asdict(settings),
    "num_networks": first.num_networks,
    "size_is_found": size_is_found,
    "num_filters": [list(one.num_filters or ()) for one in found] if size_is_found else None,
    "num_parameters": [one.num_parameters for one in found],
    "scores": scores,
    "num_collapsed": collapsed if first.family is baselines.Family.ADVERSARIAL else None,
    "num_epochs": first.facts.get("num_epochs"),
    "spread": float(np.std(finite, ddof=1)) if len(finite) > 1 else None,
    "training_seconds": float(np.mean([one.facts["seconds"] for one in found])),
    "batch_seconds": batch_seconds(first),
    "num_steps": first.sequential_steps,
    "pixels_come_together": first.sequential_steps < math.prod(judge.test.images.shape[1:3]),
    "density": first.density(jax.random.key(0), judge.test.images[:_HELD_OUT]),
    **provenance.record(),
  }


def batch_seconds(found: contenders.Contender) -> float:
  """The least time of three that a batch of samples takes, compiled before."""
  key = jax.random.key(0)
  times = []
  for _ in range(4):
    start = time.perf_counter()
    found.sample(key, layouts.table1.BATCH)
    times.append(time.perf_counter() - start)
  return min(times[1:])


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("dataset", "mnist", "Data set, one with labels.")
  command_line.define_data_dir()
  flags.DEFINE_list(
    "models", ["nsn", "vae", "pixelcnn", "dcgan"], f"Of {', '.join(names.trainable())}."
  )
  flags.DEFINE_integer("num_seeds", 5, "Trainings of each model.", lower_bound=1)
  flags.DEFINE_integer("num_epochs", None, "Of a baseline; each one's default.", lower_bound=1)
  flags.DEFINE_integer("limit", None, "Takes the first images only, so many.", lower_bound=1)
  command_line.define_num_samples(5_000)


def _main() -> None:
  given = flags.FLAGS
  folder = command_line.required("workdir", "a folder")
  settings = Settings(
    given.dataset, given.num_seeds, given.num_samples, given.num_epochs, given.limit
  )
  evaluation.check_count("num_samples", settings.num_samples)  # Before the judge is trained.
  judge = judging.judge(given.dataset, data_dir=given.data_dir)
  rows = make_table(folder, given.models, settings, judge, given.data_dir)
  print(layouts.table1.as_text(rows))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
