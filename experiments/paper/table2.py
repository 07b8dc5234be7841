"""Table 2: real data, GANs and NSN under the same judges, beside the paper's numbers.

    python -m experiments.paper.table2 --data_dir=... --workdir=runs/table2

For each data set the models are trained in folders below the workdir (`mnist/dcgan` and so on) or,
where they are there, found; 50,000 samples of each are drawn and scored. Every row is made the same
way: uint8 images, the network's own input handling, numbers. The folder then holds `table2.json`,
`table2.txt`, `table2.tex`, and a picture of samples a row. A row that is there already is not made
again, unless its model was trained on since; all rows of a folder are of as many samples. Below
each block stands who found the models' settings, and whether that is who scores.

The judges: a classifier trained on the data set's own labels where it has labels, one trained on
labelled scenes (`--scenes`) where it has none, and ImageNet's Inception v3 where its weights are at
hand (`--inception_weights`), which is the paper's. With `--judge_network=fractal` the classifier is
a FractalNet; its rows stand in blocks of their own beside those that are there.
"""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

from experiments.common import (
  command_line,
  judging,
  pictures,
  provenance,
  runs,
  workdir,
)
from experiments.paper import contenders, layouts, origins, published
from experiments.paper.layouts import names
from nsn_jax import data, files, metrics
from nsn_jax.metrics import evaluation

__all__ = ["TABLE", "Entry", "draw", "judges", "make_row", "make_table"]

#: The table's file in its folder.
TABLE = "table2.json"


class Entry(NamedTuple):
  """Images of a row and what they cost.

  Attributes:
    images: uint8 [N, H, W, C].
    training_seconds: without scores and pictures; None for real images.
    sampling_seconds: of all N; None for real images.
    num_parameters: that sampling needs; None for real images.
    source: how the model was trained, for the record.
  """

  images: npt.NDArray[np.uint8]
  training_seconds: float | None = None
  sampling_seconds: float | None = None
  num_parameters: int | None = None
  source: Mapping[str, Any] = {}


def make_table(
  place: str | os.PathLike[str],
  datasets: Sequence[runs.DataSpec],
  models: Sequence[str],
  *,
  num_samples: int = 50_000,
  num_epochs: int | None = None,
  scenes: str | None = None,
  inception_weights: str | None = None,
  judge_network: str = "classifier",
  seed: int = 0,
) -> list[dict[str, Any]]:
  """Makes the rows that are missing, and writes the table after each.

  Args:
    place: the folder, made if need be.
    datasets: the data, at one size and limit, of the training and of the held-out set.
    models: "real", "nsn", "nsn-plain", "nsn-large", "nsn-best" and baselines' names.
    num_samples: drawn of each model.
    num_epochs: of the baselines; None for each one's default.
    scenes: folder of labelled scenes, whose classifier judges what has no labels.
    inception_weights: Inception v3's file; None for no such judge.
    judge_network: what the classifier is, of `judging.NETWORKS`; rows of several stay side by side.
    seed: of training and sampling.

  Returns:
    All rows, plain values.

  Raises:
    ValueError: for arguments that are not as above, or not as the rows in the folder were made, or
      a data set that nothing can judge.
    OSError: where the folder cannot be written or another run uses it, or data or weights are
      missing.
  """
  evaluation.check_count("num_samples", num_samples)
  contenders.check(models, names.titles())
  with workdir.using(place) as folder:
    return _make_table(
      folder,
      datasets,
      models,
      num_samples=num_samples,
      num_epochs=num_epochs,
      scenes=scenes,
      inception_weights=inception_weights,
      judge_network=judge_network,
      seed=seed,
    )


def _make_table(
  folder: pathlib.Path,
  datasets: Sequence[runs.DataSpec],
  models: Sequence[str],
  *,
  num_samples: int,
  num_epochs: int | None,
  scenes: str | None,
  inception_weights: str | None,
  judge_network: str,
  seed: int,
) -> list[dict[str, Any]]:
  """`make_table`, in a folder that no other run uses."""
  titles = names.titles()
  sample_key, score_key = jax.random.split(jax.random.key(seed))
  stored = files.read_json(folder / TABLE)
  done = {(row["dataset"], row["model"], row["network"]): row for row in stored.get("rows", [])}
  settings = stored.get("settings", {})
  for spec in datasets:
    asked = {
      "num_samples": num_samples,
      "image_size": spec.image_size,
      "limit": spec.limit,
      "seed": seed,
    }
    workdir.check_table(asked, settings, folder / TABLE)
    settings = asked
  for spec in datasets:
    train, held_out = (spec.load(split) for split in ("train", "test"))
    if names.REAL in models:
      judging.check_held_out(spec.name, held_out.images)
    networks = judges(
      spec,
      train,
      scenes=scenes,
      inception_weights=inception_weights,
      judge_network=judge_network,
    )
    against = {
      name: evaluation.reference(network, train.images, held_out.images)
      for name, network in networks
    }
    if not against:
      raise judging.no_judge(spec.name, "--inception_weights=...")
    for model in models:
      own = folder / workdir.slug(spec.name) / model
      trained = workdir.read_config(own)
      missing = [
        name
        for name in against
        if not _is_current(done.get((spec.name, model, name)), trained, num_epochs)
      ]
      if not missing:
        continue
      own.parent.mkdir(exist_ok=True)
      files.remove_leftovers(own.parent)
      if model == names.REAL:
        entry = Entry(held_out.images)
      else:
        found = contenders.find(model, own, spec, num_epochs=num_epochs, seed=seed)
        print(f"{spec.name}, {titles[model]}: drawing {num_samples:,} samples", flush=True)
        entry = draw(sample_key, found, num_samples)
      pictures.grid(entry.images[:100], own.with_suffix(".png"), columns=20)
      for name in missing:
        row = make_row(
          score_key,
          model=model,
          dataset=spec.name,
          entry=entry,
          network=name,
          against=against[name],
        )
        done[spec.name, model, name] = row
        _write(folder, settings, list(done.values()))
        scores = evaluation.Evaluation.from_row(row)
        print(f"{spec.name}, {titles[model]}: {scores.row()}", flush=True)
  return list(done.values())


def _is_current(
  row: Mapping[str, Any] | None, trained: Mapping[str, Any], num_epochs: int | None
) -> bool:
  """Whether a row is there, and of the model as it is trained now, by so many epochs if given."""
  if row is None:
    return False
  source = row["source"]
  if num_epochs is not None and source.get("num_epochs", num_epochs) != num_epochs:
    return False
  # Any training on changes its seconds. A folder that is gone leaves its row.
  return trained.get("seconds", row["training_seconds"]) == row["training_seconds"]


def make_row(
  key: jax.Array,
  *,
  model: str,
  dataset: str,
  entry: Entry,
  network: str,
  against: evaluation.Reference,
) -> dict[str, Any]:
  """One row: the scores of a set of images by one network, and what they cost."""
  scores = evaluation.evaluate(key, against, entry.images)
  costs = entry._asdict()
  del costs["images"]
  return {
    "dataset": dataset,
    "model": model,
    "network": network,
    **scores.as_dict(),
    "paper": published.inception_score(dataset, model),
    **costs,
    **provenance.record(),
  }


def draw(key: jax.Array, found: contenders.Contender, num_samples: int) -> Entry:
  """Samples of a model and what they cost."""
  drawn = evaluation.draw(key, found.sample, num_samples)
  kept = ("preset", "num_filters", "options", "num_epochs", "device")
  source = {name: found.facts[name] for name in kept if name in found.facts}
  origin = origins.FOUND_BY.get(found.facts.get("preset", ""))
  if origin is not None:
    source["settings"] = str(origin)
  return Entry(drawn.images, found.facts["seconds"], drawn.seconds, found.num_parameters, source)


def judges(
  spec: runs.DataSpec,
  train: data.Dataset,
  *,
  scenes: str | None,
  inception_weights: str | None,
  judge_network: str = "classifier",
) -> Iterator[tuple[str, metrics.Network]]:
  """The networks that a data set is judged by, with what they are called."""
  judging_set = judging.judging_set(spec.name, train.labels, scenes)
  if judging_set is not None:
    found = judging.judge(
      judging_set,
      data_dir=spec.data_dir,
      image_size=spec.image_size,
      network=judge_network,
    )
    name = judging.title(spec.name, judging_set, found.test_accuracy, judge_network)
    yield name, found.classifier
  if inception_weights is not None:
    yield "ImageNet Inception v3", metrics.load_inception(inception_weights)


def _write(
  folder: pathlib.Path, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
  files.write_json(folder / TABLE, {"settings": settings, "rows": list(rows)})
  files.write_text(folder / "table2.txt", layouts.table2.as_text(rows))
  files.write_text(folder / "table2.tex", layouts.table2.as_latex(rows))


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_list("datasets", ["mnist", "fashion_mnist"], f"Of {', '.join(data.NAMES)}.")
  flags.DEFINE_list(
    "models", ["real", "dcgan", "wgan", "lsgan", "nsn"], f"Of {', '.join(names.titles())}."
  )
  command_line.define_selection()
  flags.DEFINE_integer("num_epochs", None, "Of a baseline; each one's default.", lower_bound=1)
  command_line.define_num_samples(50_000)
  command_line.define_scenes()
  command_line.define_judge_network(judging.NETWORKS)
  flags.DEFINE_string("inception_weights", None, "Inception v3's .pth file.")
  command_line.define_seed("Seed of training and sampling.")


def _main() -> None:
  given = flags.FLAGS
  rows = make_table(
    command_line.required("workdir", "a folder"),
    [runs.DataSpec(name, given.data_dir, given.image_size, given.limit) for name in given.datasets],
    given.models,
    num_samples=given.num_samples,
    num_epochs=given.num_epochs,
    scenes=given.scenes,
    inception_weights=given.inception_weights,
    judge_network=given.judge_network,
    seed=given.seed,
  )
  print(layouts.table2.as_text(rows))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
