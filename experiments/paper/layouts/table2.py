"""Table 2: a block a data set and judge, a row a model, who found its settings, who is ahead."""

import collections
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from experiments.common import tables
from experiments.paper import published
from experiments.paper.layouts import names
from experiments.paper.origins import Origin
from nsn_jax import baselines
from nsn_jax.metrics import evaluation

__all__ = [
  "as_latex",
  "as_text",
  "best_nsn",
  "cells",
  "groups",
  "main_judges",
  "origins",
  "verdicts",
]

Row = Mapping[str, Any]

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


#: How each measure is shown: name, factor, digits.
_SHOWN = {
  "inception_score": ("IS", 1, 2),
  "fid": ("FID", 1, 2),
  "kid": ("KID x 1000", 1e3, 2),
  "precision": ("precision", 1, 3),
  "recall": ("recall", 1, 3),
}

#: What is scored by the judge that its settings were found by.
_SAME = "same"
#: What is said of each.
_ORIGINS = {
  Origin.FINDER: (
    "found by FID, precision and recall of a classifier of another architecture and seed, trained "
    "on half of the training images, which has no part in these scores"
  ),
  _SAME: (
    "found by the inception score of the same classifier that scores here, which favours them in "
    "it; FID, precision and recall had no part"
  ),
  Origin.JUDGE: "found by the inception score of a classifier of the data set, not of this network",
  Origin.EYE: "set by eye",
}


def groups(rows: Sequence[Row]) -> Iterator[tuple[str, str, list[Row]]]:
  """Data set, network and rows of each block, a data set's blocks together; rows in order."""
  order = list(names.titles())
  datasets = list(dict.fromkeys(row["dataset"] for row in rows))
  blocks = dict.fromkeys((row["dataset"], row["network"]) for row in rows)
  for dataset, network in sorted(blocks, key=lambda block: datasets.index(block[0])):
    group = [row for row in rows if (row["dataset"], row["network"]) == (dataset, network)]
    yield dataset, network, sorted(group, key=lambda row: order.index(row["model"]))


def main_judges(rows: Sequence[Row]) -> list[tuple[str, str, list[Row]]]:
  """Of each data set the block of its main judge, which has an NSN and an opponent.

  That is of the kind that comes first; where such a one was trained again, the last.
  """
  kinds: dict[str, str] = {}
  found: dict[str, tuple[str, str, list[Row]]] = {}
  for dataset, network, group in groups(rows):
    kind = network.partition(",")[0]  # without its accuracy
    models = {row["model"] for row in group}
    if not (models & names.NSN.keys() and models & baselines.MODELS.keys()):
      continue
    if kinds.setdefault(dataset, kind) == kind:
      found[dataset] = dataset, network, group
  return list(found.values())


def best_nsn(group: Sequence[Row]) -> Row:
  """The NSN of a block that is nearest to the real images, by FID."""
  return min((row for row in group if row["model"] in names.NSN), key=lambda row: row["fid"])


def cells(group: Sequence[Row], without: Collection[str] = ()) -> list[list[str]]:
  """The head and a line a row of a block, without some columns; a family by its first row."""
  columns = [column for column in _COLUMNS if column[0] not in without]
  titles = names.titles()
  found = [["", "family", *(name for name, _ in columns)]]
  last = None
  for row in group:
    family = names.family(row["model"])
    shown = "" if family == last else family
    found.append([titles[row["model"]], shown, *(show(row) for _, show in columns)])
    last = family
  return found


def origins(group: Sequence[Row]) -> list[str]:
  """Sentences on who found the settings of a block's models, and whether that one scores here."""
  titles = names.titles()
  of_nsn: dict[str, list[str]] = collections.defaultdict(list)
  of_papers = []
  for row in group:
    title = titles[row["model"]]
    if row["model"] in names.NSN:
      of_nsn[_origin(row)].append(title)
    elif row["model"] in baselines.MODELS:
      options = row["source"].get("options", {})
      changed = ", ".join(f"{name}={value}" for name, value in options.items())
      of_papers.append(f"{title} ({changed})" if changed else title)
  found = [
    f"Settings of {'; '.join(of_nsn[origin])}: {sentence}."
    for origin, sentence in _ORIGINS.items()
    if origin in of_nsn
  ]
  if of_papers:
    found.append(
      f"Settings of {'; '.join(of_papers)}: their papers', but for epochs and what stands in "
      "brackets."
    )
  return found


def _origin(row: Row) -> str:
  """Who found an NSN's settings, and whether it is who scores."""
  is_own = row["network"].startswith(f"classifier of {row['dataset']},")
  # Rows of before say nothing: settings were found by the judge where there was one, else by eye.
  before = Origin.JUDGE if is_own else Origin.EYE
  origin = row["source"].get("settings", before)
  return _SAME if origin == Origin.JUDGE and is_own else origin


def verdicts(group: Sequence[Row]) -> list[str]:
  """A sentence for each NSN of a block: by how much it beats or misses the best baseline there."""
  titles = names.titles()
  others = {
    titles[row["model"]]: evaluation.Evaluation.from_row(row)
    for row in group
    if row["model"] in baselines.MODELS
  }
  if not others:
    return []
  found = []
  for row in group:
    if row["model"] not in names.NSN:
      continue
    parts = []
    for field, own, best, gain in evaluation.compare(evaluation.Evaluation.from_row(row), others):
      name, factor, digits = _SHOWN[field]
      parts.append(
        f"{name} {factor * own:.{digits}f}, {'better' if gain > 0 else 'worse'} than "
        f"{best}'s by {factor * abs(gain):.{digits}f}"
      )
    name = titles[row["model"]]
    found.append(f"{name} against the best baseline of each: {'; '.join(parts)}.")
  return found


def as_text(rows: Sequence[Row]) -> str:
  """The table for a terminal: a block a data set and network."""
  blocks = []
  for dataset, network, group in groups(rows):
    lines = [
      f"{dataset}, judged by: {network}",
      tables.aligned(cells(group)),
      *origins(group),
      *verdicts(group),
    ]
    blocks.append("\n".join(lines))
  return "\n\n".join(blocks) + "\n"


def as_latex(rows: Sequence[Row]) -> str:
  """The table for a paper: one tabular a data set and network."""
  blocks = []
  for dataset, network, group in groups(rows):
    caption = " ".join([f"{dataset}, judged by: {network}.", *origins(group)])
    name = caption.replace("_", "\\_").replace("%", "\\%")
    body = tables.latex(cells(group)).replace("+-", "$\\pm$")
    blocks.append(f"\\begin{{table}}\n\\caption{{{name}}}\n{body}\n\\end{{table}}")
  return "\n\n".join(blocks) + "\n"


def _number(mean: float, deviation: float) -> str:
  return f"{mean:.2f} +- {deviation:.2f}"


def _paper(row: Row) -> str:
  """The paper's number, and whose it is where not of the same data."""
  if not row["paper"]:
    return "-"
  of_same = row["dataset"] in published.INCEPTION_SCORES
  return _number(*row["paper"]) + ("" if of_same else " (LSUN)")
