"""Table 2: real data, GANs and NSN under the same judges, beside the paper's numbers.

    python -m experiments.table2 --data_dir=... --workdir=runs/table2

For each data set the models are trained in folders below the workdir (`mnist/dcgan` and so on) or,
where they are there, found; 50,000 samples of each are drawn and scored. Every row is made the same
way: uint8 images, the network's own input handling, numbers. The folder then holds `table2.json`,
`table2.txt`, `table2.tex`, and a picture of samples a row. A row that is there already is not made
again, unless its model was trained on since; all rows of a folder are of as many samples.

The judges: a classifier trained on the data set's own labels where it has labels, one trained on
labelled scenes (`--scenes`) where it has none, and ImageNet's Inception v3 where its weights are at
hand (`--inception_weights`), which is the paper's.
"""

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

from experiments import contenders, evaluation, pictures, scoring, tables
from experiments import flags as command_line
from experiments import workdir as work
from nsn_jax import data, metrics

#: Inception score, mean and deviation, by the paper's Table 2.
PAPER: dict[str, dict[str, tuple[float, float]]] = {
  "mnist": {
    "real": (1.99, 0.01),
    "dcgan": (2.27, 0.01),
    "wgan": (2.02, 0.02),
    "lsgan": (2.03, 0.01),
    "nsn": (2.44, 0.02),
  },
  "fashion_mnist": {
    "real": (4.25, 0.05),
    "dcgan": (4.15, 0.04),
    "wgan": (3.00, 0.03),
    "lsgan": (4.45, 0.03),
    "nsn": (3.85, 0.04),
  },
  "lfw": {
    "real": (3.64, 0.28),
    "dcgan": (2.67, 0.03),
    "wgan": (2.94, 0.03),
    "lsgan": (2.33, 0.02),
    "nsn": (3.04, 0.10),
  },
  "lsun/church_outdoor": {
    "real": (2.70, 0.04),
    "dcgan": (2.89, 0.02),
    "wgan": (3.05, 0.02),
    "lsgan": (3.44, 0.04),
    "nsn": (2.99, 0.02),
  },
}

#: The table's file in its folder.
TABLE = "table2.json"
#: Buildings of other kinds stand in for the paper's churches.
_CHURCHES = "lsun/church_outdoor"

_COLUMNS = (
  ("IS", lambda row: _number(row["inception_score"], row["inception_score_deviation"])),
  ("paper's IS", lambda row: _paper(row)),
  ("FID", lambda row: f"{row['fid']:.2f}"),
  ("KID x 1000", lambda row: _number(1e3 * row["kid"], 1e3 * row["kid_deviation"])),
  ("precision", lambda row: f"{row['precision']:.3f}"),
  ("recall", lambda row: f"{row['recall']:.3f}"),
  ("nearest", lambda row: f"{row['copy_ratio']:.2f}"),
  ("copies", lambda row: f"{row['suspected_copies']:.1%}"),
  ("epochs", lambda row: str(row["source"].get("num_epochs", "-"))),
  ("training", lambda row: tables.seconds(row["training_seconds"])),
  ("trained on", lambda row: row["source"].get("device", "-")),
  ("sampling", lambda row: tables.seconds(row["sampling_seconds"])),
  ("parameters", lambda row: f"{row['num_parameters']:,}" if row["num_parameters"] else "-"),
  ("images", lambda row: f"{row['num_images']:,}"),
)


#: What decides between models: name, field, factor it is shown with, digits, and whether more is
#: better.
_MEASURES = (
  ("IS", "inception_score", 1, 2, True),
  ("FID", "fid", 1, 2, False),
  ("KID x 1000", "kid", 1e3, 2, False),
  ("precision", "precision", 1, 3, True),
  ("recall", "recall", 1, 3, True),
)


@dataclasses.dataclass(frozen=True)
class Drawn:
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
  source: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def make_table(
  *,
  workdir: str | os.PathLike[str],
  datasets: Sequence[str],
  models: Sequence[str],
  num_samples: int = 50_000,
  data_dir: str | None = None,
  image_size: int | None = None,
  limit: int | None = None,
  num_epochs: int | None = None,
  scenes: str | None = None,
  inception_weights: str | None = None,
  seed: int = 0,
) -> list[dict[str, Any]]:
  """Makes the rows that are missing, and writes the table after each.

  Args:
    workdir: the folder, made if need be.
    datasets: names, as `nsn_jax.data.load` takes them.
    models: "real", "nsn", "nsn-plain", "nsn-large" and baselines' names.
    num_samples: drawn of each model.
    data_dir: folder of the TFDS data sets.
    image_size: side to which images are resized.
    limit: number of images at most, of the training and of the held-out set.
    num_epochs: of the baselines; None for each one's default.
    scenes: folder of labelled scenes, whose classifier judges what has no labels.
    inception_weights: Inception v3's file; None for no such judge.
    seed: of training and sampling.

  Returns:
    All rows, plain values.

  Raises:
    ValueError: for arguments that are not as above, or not as the rows in the folder were made, or
      a data set that nothing can judge.
    OSError: where the folder cannot be written, or data or weights are missing.
  """
  folder = work.open_folder(workdir)
  contenders.check(models)
  sample_key, score_key = jax.random.split(jax.random.key(seed))
  settings = {"num_samples": num_samples, "image_size": image_size, "limit": limit, "seed": seed}
  stored = work.read_json(folder / TABLE)
  work.check_table(settings, stored.get("settings", {}), folder / TABLE)
  done = {(row["dataset"], row["model"], row["network"]): row for row in stored.get("rows", [])}
  chosen: dict[str, Any] = {"data_dir": data_dir, "image_size": image_size, "limit": limit}
  for dataset in datasets:
    sets = [data.load(dataset, split=split, **chosen) for split in ("train", "test")]
    networks = judges(
      dataset,
      sets[0],
      data_dir=data_dir,
      image_size=image_size,
      scenes=scenes,
      inception_weights=inception_weights,
    )
    against = {name: evaluation.reference(network, *sets) for name, network in networks}
    if not against:
      raise scoring.no_judge(dataset, "--inception_weights=...")
    for model in models:
      place = folder / work.slug(dataset) / model
      trained = work.read_config(place)
      missing = [
        name
        for name in against
        if not _is_current(done.get((dataset, model, name)), trained, num_epochs)
      ]
      if not missing:
        continue
      place.parent.mkdir(exist_ok=True)
      drawn = (
        Drawn(sets[1].images)
        if model == "real"
        else draw(
          sample_key,
          model=model,
          dataset=dataset,
          folder=place,
          num_samples=num_samples,
          num_epochs=num_epochs,
          seed=seed,
          **chosen,
        )
      )
      pictures.grid(drawn.images[:100], place.with_suffix(".png"), columns=20)
      for name in missing:
        row = make_row(
          score_key, model=model, dataset=dataset, drawn=drawn, network=name, against=against[name]
        )
        done[dataset, model, name] = row
        _write(folder, settings, list(done.values()))
        print(f"{dataset}, {contenders.NAMES[model]}: {evaluation.of(row).row()}", flush=True)
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
  drawn: Drawn,
  network: str,
  against: evaluation.Reference,
) -> dict[str, Any]:
  """One row: the scores of a set of images by one network, and what they cost."""
  scores = evaluation.evaluate(key, against, drawn.images)
  stands_in = any(word in dataset.lower() for word in ("building", "church"))
  paper = PAPER.get(dataset, PAPER[_CHURCHES] if stands_in else {})
  return {
    "dataset": dataset,
    "model": model,
    "network": network,
    **scores.as_dict(),
    "paper": paper.get(model),
    "training_seconds": drawn.training_seconds,
    "sampling_seconds": drawn.sampling_seconds,
    "num_parameters": drawn.num_parameters,
    "source": dict(drawn.source),
    **work.record(),
  }


def draw(
  key: jax.Array,
  *,
  model: str,
  dataset: str,
  folder: pathlib.Path,
  num_samples: int,
  data_dir: str | None,
  image_size: int | None,
  limit: int | None,
  num_epochs: int | None,
  seed: int,
) -> Drawn:
  """Samples of a model, which is trained first where it is not there, or not to its end.

  Args:
    key: PRNG key of the samples.
    model: "nsn", "nsn-plain", "nsn-large" or a baseline's name.
    dataset: that it is trained on.
    folder: of the model.
    num_samples: how many.
    data_dir: folder of the TFDS data sets.
    image_size: side to which images are resized.
    limit: number of training images at most.
    num_epochs: of a baseline; None for its default.
    seed: of training.

  Returns:
    The samples and what they cost.
  """
  found = contenders.find(
    model,
    folder,
    dataset=dataset,
    num_epochs=num_epochs,
    data_dir=data_dir,
    image_size=image_size,
    limit=limit,
    seed=seed,
  )
  print(f"{dataset}, {contenders.NAMES[model]}: drawing {num_samples:,} samples", flush=True)
  found.sample(key, min(num_samples, 1000))  # Compiles; that is not sampling's time.
  start = time.perf_counter()
  images = found.sample(key, num_samples)
  seconds = time.perf_counter() - start
  names = ("preset", "num_filters", "options", "num_epochs", "device")
  source: dict[str, Any] = {name: found.facts[name] for name in names if name in found.facts}
  return Drawn(images, found.facts["seconds"], seconds, found.num_parameters, source)


def judges(
  dataset: str,
  train_set: data.Dataset,
  *,
  data_dir: str | None,
  image_size: int | None,
  scenes: str | None,
  inception_weights: str | None,
) -> Iterator[tuple[str, metrics.Network]]:
  """The networks that a data set is judged by, with what they are called."""
  judging = scoring.judging_set(dataset, train_set.labels, scenes)
  if judging is not None:
    found = scoring.judge(judging, data_dir=data_dir, image_size=image_size)
    of = dataset if judging == dataset else "scenes"
    yield f"classifier of {of}, {found.test_accuracy:.2%} on test images", found.classifier
  if inception_weights is not None:
    yield "ImageNet Inception v3", metrics.load_inception(inception_weights)


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
  """The table for a terminal: a block a data set and network."""
  blocks = []
  for dataset, network, group in groups(rows):
    lines = [f"{dataset}, judged by: {network}", tables.aligned(cells(group)), *verdicts(group)]
    blocks.append("\n".join(lines))
  return "\n\n".join(blocks) + "\n"


def as_latex(rows: Sequence[Mapping[str, Any]]) -> str:
  """The table for a paper: one tabular a data set and network."""
  blocks = []
  for dataset, network, group in groups(rows):
    head, *lines = (" & ".join(line) for line in cells(group))
    body = " \\\\\n".join([head + " \\\\\n\\hline", *lines]).replace("\\hline \\\\\n", "\\hline\n")
    body = body.replace("%", "\\%").replace("+-", "$\\pm$")
    name = f"{dataset}, judged by: {network}".replace("_", "\\_").replace("%", "\\%")
    columns = "l" + "r" * len(_COLUMNS)
    blocks.append(
      f"\\begin{{table}}\n\\caption{{{name}}}\n\\begin{{tabular}}{{{columns}}}\n{body} \\\\\n"
      "\\end{tabular}\n\\end{table}"
    )
  return "\n\n".join(blocks) + "\n"


def groups(
  rows: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
  """Data set, network and rows of each block of the table, the rows in the table's order."""
  order = list(contenders.NAMES)
  for dataset, network in dict.fromkeys((row["dataset"], row["network"]) for row in rows):
    group = [row for row in rows if (row["dataset"], row["network"]) == (dataset, network)]
    yield dataset, network, sorted(group, key=lambda row: order.index(row["model"]))


def cells(group: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a row."""
  found = [["", *(name for name, _ in _COLUMNS)]]
  found += [[contenders.NAMES[row["model"]], *(show(row) for _, show in _COLUMNS)] for row in group]
  return found


def verdicts(group: Sequence[Mapping[str, Any]]) -> list[str]:
  """A sentence for each NSN of a block: by how much it beats or misses the best baseline there."""
  own = [row for row in group if row["model"].startswith("nsn")]
  others = [row for row in group if row not in own and row["model"] != "real"]
  if not others:
    return []
  found = []
  for row in own:
    parts = []
    for name, field, factor, digits, more_is_better in _MEASURES:
      best = (max if more_is_better else min)(others, key=lambda other: other[field])
      gain = factor * (row[field] - best[field]) * (1 if more_is_better else -1)
      parts.append(
        f"{name} {factor * row[field]:.{digits}f}, {'better' if gain > 0 else 'worse'} than "
        f"{contenders.NAMES[best['model']]}'s by {abs(gain):.{digits}f}"
      )
    name = contenders.NAMES[row["model"]]
    found.append(f"{name} against the best baseline of each: {'; '.join(parts)}.")
  return found


def _number(mean: float, deviation: float) -> str:
  return f"{mean:.2f} +- {deviation:.2f}"


def _paper(row: Mapping[str, Any]) -> str:
  """The paper's number, and whose it is where not of the same data."""
  if not row["paper"]:
    return "-"
  return _number(*row["paper"]) + ("" if row["dataset"] in PAPER else " (LSUN)")


def _write(
  folder: pathlib.Path, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
  work.write_json(folder / TABLE, {"settings": settings, "rows": list(rows)})
  (folder / "table2.txt").write_text(as_text(rows))
  (folder / "table2.tex").write_text(as_latex(rows))


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_list("datasets", ["mnist", "fashion_mnist"], f"Of {', '.join(data.NAMES)}.")
  flags.DEFINE_list(
    "models", ["real", "dcgan", "wgan", "lsgan", "nsn"], f"Of {', '.join(contenders.NAMES)}."
  )
  command_line.define_selection()
  flags.DEFINE_integer("num_epochs", None, "Of a baseline; each one's default.", lower_bound=1)
  command_line.define_num_samples(50_000)
  command_line.define_scenes()
  flags.DEFINE_string("inception_weights", None, "Inception v3's .pth file.")
  command_line.define_seed("Seed of training and sampling.")


def _main() -> None:
  given = flags.FLAGS
  rows = make_table(
    workdir=command_line.required("workdir", "a folder"),
    datasets=given.datasets,
    models=given.models,
    num_samples=given.num_samples,
    data_dir=given.data_dir,
    image_size=given.image_size,
    limit=given.limit,
    num_epochs=given.num_epochs,
    scenes=given.scenes,
    inception_weights=given.inception_weights,
    seed=given.seed,
  )
  print(as_text(rows))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
