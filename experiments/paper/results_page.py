"""The pages of the results: written from the JSON files in `experiments/results`, never by hand.

    python -m experiments.paper.results_page            # writes them
    python -m experiments.paper.results_page --check     # says whether they are what it would write

`experiments/results/README.md` shows every table and figure that is kept there,
`experiments/README.md` every command with its number and the paper's, and the README's table of
headline results stands between two marks. What is said of a picture is in `words.json`. A file that
no page links to is an error.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2
from absl import flags

from experiments.common import command_line, tables, workdir
from experiments.paper import layouts, published
from experiments.paper.layouts import names
from nsn_jax import baselines, files

__all__ = ["Artefact", "Results", "commands", "headline", "page", "write"]

_HERE = pathlib.Path(__file__).parent
#: The repository, and the results in it.
ROOT = _HERE.parents[1]
RESULTS = ROOT / "experiments" / "results"

_WORDS = "words.json"
_PAGE = "README.md"
#: Marks of the README between which the headline stands.
_BEGIN = "<!-- headline: written by python -m experiments.paper.results_page -->"
_END = "<!-- /headline -->"
#: Columns of Table 2 that a page has room for.
_WIDE = ("nearest", "trained on", "parameters", "images", "KID x 1000")
#: The mask that stands for all where there is room for one.
_MASK = "square"


class Results:
  """The results' files, each read once and known to be linked to or not.

  Attributes:
    root: their folder.
    words: titles, notes and captions.
    linked: names of the files that a page links to.
  """

  def __init__(self, root: pathlib.Path = RESULTS):
    """Reads the words; raises ValueError where there are none."""
    self.root = root
    self.words = self.json(_WORDS)
    if not self.words:
      raise ValueError(f"results: expected {_WORDS} in {str(root)!r}, got none")
    self.linked = {_WORDS, _PAGE}

  def json(self, name: str) -> dict[str, Any]:
    """A file's JSON; empty where there is none."""
    return files.read_json(self.root / name)

  def named(self, pattern: str) -> list[str]:
    """Names of the files of a pattern, sorted."""
    return sorted(path.relative_to(self.root).as_posix() for path in self.root.glob(pattern))

  def link(self, name: str, text: str) -> str:
    """A link to a file."""
    self.linked.add(name)
    return f"[{text}]({quote(name)})"

  def picture(self, name: str, caption: str) -> str:
    """A picture with what is to be seen on it."""
    self.linked.add(name)
    return f"{caption}\n\n![{caption.replace('`', '')}]({quote(name)})"

  def made(self, name: str) -> str:
    """How a result was made: commit, device, time, and a link to all of it."""
    found = self.json(name)
    took = f", {tables.seconds(found['seconds'])}" if "seconds" in found else ""
    return f"{self.link(name, 'JSON')}: commit {found['revision']}, {found['device']}{took}."

  def unlinked(self) -> list[str]:
    """Files that no page links to."""
    there = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*.*")}
    return sorted(there - self.linked)


def _folder(dataset: str) -> str:
  """The results' folder of a data set's name."""
  return workdir.slug(dataset.rpartition("/")[2] or dataset)


def page(results: Results) -> str:
  """The page of all results, Markdown."""
  return _render(
    "results.md.jinja",
    stages=_stages(results),
    table1=_table1(results),
    table2=list(_table2(results)),
    tables34=_tables34(results),
    speed=_speed(results),
    datasets=[_dataset(results, folder) for folder in results.words["datasets"]],
  )


def _render(template: str, **values: Any) -> str:
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_HERE), trim_blocks=True, lstrip_blocks=True
  )
  text = environment.get_template(template).render(**values)
  return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _stages(results: Results) -> dict[str, Any]:
  found = results.json("tables/stages.json")["stages"]
  commits = sorted({stage["revision"] for stage in found})
  return {
    "count": len(found),
    "time": tables.seconds(sum(stage["seconds"] for stage in found)),
    "commits": ", ".join(commits),
    "link": results.link("tables/stages.json", "every stage"),
  }


def _table1(results: Results) -> dict[str, Any]:
  rows = results.json("tables/table1.json")["rows"]
  return {
    "caption": layouts.table1.caption(rows),
    "table": tables.markdown(layouts.table1.cells(rows)),
    "link": results.link("tables/table1.json", "JSON"),
  }


def _table2(results: Results) -> Iterator[dict[str, Any]]:
  rows = results.json("tables/table2.json")["rows"]
  results.link("tables/table2.json", "JSON")
  for dataset, network, group in layouts.table2.groups(rows):
    yield {
      "title": results.words["datasets"][_folder(dataset)]["title"],
      "network": network,
      "table": tables.markdown(layouts.table2.cells(group, without=_WIDE)),
      "verdicts": layouts.table2.verdicts(group),
    }


def _tables34(results: Results) -> list[dict[str, Any]]:
  results.link("tables/tables34.json", "JSON")
  return [
    {
      "caption": layouts.tables34.caption(table),
      "table": tables.markdown(layouts.tables34.cells(table)),
    }
    for table in results.json("tables/tables34.json")["tables"]
  ]


def _speed(results: Results) -> dict[str, Any]:
  found = results.json("tables/speed.json")
  return {
    "table": tables.markdown(layouts.speed.cells(found["em"])),
    "sentences": layouts.speed.end_to_end(found["end_to_end"], 50_000),
    "made": results.made("tables/speed.json"),
  }


def _dataset(results: Results, folder: str) -> dict[str, Any]:
  """All that is kept of a data set, in the order of the page."""
  words = results.words["datasets"][folder]
  scores = {
    pathlib.PurePath(name).name.removesuffix(".score.json"): results.json(name)
    for name in results.named(f"{folder}/*.score.json")
  }
  growth = {
    pathlib.PurePath(name).name.removesuffix(".growth_vs_kmeans.json"): name
    for name in results.named(f"{folder}/*.growth_vs_kmeans.json")
  }
  return {
    "title": words["title"],
    "notes": words["notes"],
    "scores": {
      "caption": layouts.scores.caption(list(scores.values())),
      "table": tables.markdown(layouts.scores.cells(scores)),
      "made": [results.made(f"{folder}/{preset}.score.json") for preset in scores],
    }
    if scores
    else None,
    "presets": list(_preset_pictures(results, folder)),
    "figures": list(_figures(results, folder)),
    "growth": [
      {
        "preset": preset,
        "table": tables.markdown(
          layouts.growth.cells(results.json(name)["rows"], published.filter_counts(preset))
        ),
        "made": results.made(name),
      }
      for preset, name in growth.items()
    ],
    "baselines": list(_baselines(results, folder)),
  }


def _preset_pictures(results: Results, folder: str) -> Iterator[str]:
  for name in results.named(f"{folder}/*.samples.png"):
    preset = pathlib.PurePath(name).name.removesuffix(".samples.png")
    if preset not in baselines.MODELS:
      yield results.picture(name, f"Samples of the preset `{preset}`.")


def _figures(results: Results, folder: str) -> Iterator[dict[str, Any]]:
  """Pictures with captions, in the captions' order, and the numbers that stand beside them."""
  numbers = {
    "filling_square.png": ("filling.json", lambda found: layouts.filling.cells(found["rows"])),
    "epsilon.png": ("epsilon.json", _epsilon),
    "nearest.png": ("sample_grids.json", None),
    "sampler_effects.png": ("sampler_effects.json", None),
    "interpolation.png": ("arithmetic.json", None),
    "arithmetic.png": ("arithmetic.json", None),
  }
  done = set()
  for picture, caption in results.words["captions"].items():
    name = f"{folder}/{picture}"
    has_picture = (results.root / name).is_file()
    file, make = numbers.get(picture, ("", None))
    has_numbers = file not in done and (results.root / folder / file).is_file() and file
    if not (has_picture or has_numbers):
      continue
    found = results.json(f"{folder}/{file}") if has_numbers else {}
    done.add(file)
    cells = make(found) if make and found else None
    yield {
      "picture": results.picture(name, caption) if has_picture else caption,
      "table": tables.markdown(cells) if cells else None,
      "copies": _copies(found) if file == "sample_grids.json" else None,
      "made": results.made(f"{folder}/{file}") if has_numbers else None,
    }


def _epsilon(found: Mapping[str, Any]) -> list[list[str]] | None:
  """The table of scores, where labels give any."""
  return layouts.epsilon.cells(found["rows"]) if "score" in found["rows"][0] else None


def _copies(found: Mapping[str, Any]) -> str:
  """What the copy check says, a sentence."""
  relative = found["copies"]["relative"]
  return (
    f"A sample's distance to its nearest training image over that to the next ten is "
    f"{relative['generated']:.2f} in the median, {relative['held_out']:.2f} of held-out images; "
    f"{relative['suspected']:.1%} of the samples are below 99% of these."
  )


def _baselines(results: Results, folder: str) -> Iterator[dict[str, Any]]:
  for name, model in baselines.MODELS.items():
    epochs = f"{folder}/{name}.epochs.jsonl"
    if not (results.root / epochs).is_file():
      continue
    pictures = [
      results.picture(f"{folder}/{name}.{kind}.png", f"{model.title}: {caption}.")
      for kind, caption in (("samples", "samples"), ("curve", "scores by epoch"))
      if (results.root / folder / f"{name}.{kind}.png").is_file()
    ]
    yield {"title": model.title, "pictures": pictures, "link": results.link(epochs, "its epochs")}


class Artefact(NamedTuple):
  """A row of the table of commands.

  Attributes:
    name: what it is.
    command: after `python -m experiments.`, with the flags that matter.
    data: what it was run on here.
    time: that it took here.
    ours: our number.
    paper: the paper's.
  """

  name: str
  command: str
  data: str = ""
  time: str = ""
  ours: str = ""
  paper: str = ""


def commands(results: Results) -> str:
  """The page of all commands, Markdown."""
  head = ["artefact", "`python -m experiments.` …", "data", "time", "ours", "the paper's"]

  def table(rows: Sequence[Artefact]) -> str:
    cells = [[row.name, f"`{row.command}`", *row[2:]] for row in rows]
    return tables.markdown([head, *cells], left=len(head))

  return _render(
    "commands.md.jinja",
    tools=tables.markdown([["", head[1]], *_TOOLS], left=2),
    paper=table(list(_paper(results))),
    studies=table(list(_studies(results))),
  )


_TOOLS = (
  ["a first look, on `digits`, in minutes", "`quickstart`"],
  ["a network", "`train --dataset=mnist --data_dir=... --workdir=runs/mnist`"],
  ["samples of it, a grid and an `.npz`", "`sample --workdir=runs/mnist --num_samples=1000`"],
  ["inception score, classes, histograms", "`score --model=runs/mnist/model.safetensors`"],
  ["search for gamma, alpha, beta, draws", "`tune_sampler --model=runs/mnist/model.safetensors`"],
  [
    "a baseline, scored along the way",
    "`train_baseline --model=dcgan --dataset=mnist --data_dir=... --workdir=runs/dcgan`",
  ],
)


def _paper(results: Results) -> Iterator[Artefact]:
  rows = results.json("tables/table1.json")["rows"]
  nsn = next(row for row in rows if row["model"] == "nsn")
  yield Artefact(
    "Table 1: characteristics",
    "paper.table1 --dataset=mnist --workdir=runs/table1",
    layouts.table1.caption(rows).partition(";")[0],
    tables.seconds(sum(row["training_seconds"] * row["settings"]["num_seeds"] for row in rows)),
    f"size found; seeds' scores spread by {nsn['spread']:.2f}",
    "in words",
  )
  for dataset, _, group in layouts.table2.groups(results.json("tables/table2.json")["rows"]):
    best = _best(group)
    paper = published.inception_score(dataset, "nsn")
    yield Artefact(
      "Table 2: inception scores",
      "paper.table2 --datasets=... --workdir=runs/table2",
      results.words["datasets"][_folder(dataset)]["title"],
      f"{tables.seconds(best['training_seconds'])} training",
      f"IS {best['inception_score']:.2f}, FID {best['fid']:.1f}, by its own classifier",
      f"IS {paper[0]:.2f}, by ImageNet's" if paper else "-",
    )
  for table in results.json("tables/tables34.json")["tables"]:
    if "-" in table["preset"]:
      continue
    yield Artefact(
      "Tables 3, 4: filters found",
      "paper.tables34 --workdirs=... --out=...",
      f"{table['num_images']:,} images, `{table['preset']}`",
      tables.seconds(table["seconds"]),
      " / ".join(str(layer["num_filters"]) for layer in table["layers"]),
      " / ".join(str(layer["paper"]) for layer in table["layers"]),
    )
  mnist = results.words["datasets"]["mnist"]["title"]

  def took(name: str) -> str:
    return tables.seconds(results.json(f"mnist/{name}.json")["seconds"])

  copies = results.json("mnist/sample_grids.json")["copies"]["distance"]
  yield Artefact(
    "Fig 3, 4, 8: samples",
    "paper.sample_grids --model=... --workdir=...",
    mnist,
    took("sample_grids"),
    f"{copies['suspected']:.1%} suspected copies",
    "pictures",
  )
  scores = [row["inception_score"] for row in results.json("mnist/sampler_effects.json")["gamma"]]
  yield Artefact(
    "Fig 5: gamma, alpha, beta",
    "paper.sampler_effects --model=... --workdir=...",
    mnist,
    took("sampler_effects"),
    f"IS from {min(scores):.2f} to {max(scores):.2f} along gamma",
    "a curve",
  )
  yield Artefact(
    "Fig 6: styling", "paper.styling --image=photo.jpg --model=...", "", "", "a picture", "pictures"
  )
  filled = {
    row["method"]: row["psnr"]
    for row in results.json("mnist/filling.json")["rows"]
    if row["mask"] == _MASK
  }
  yield Artefact(
    "Fig 7: filling",
    "paper.filling --model=... --workdir=...",
    mnist,
    took("filling"),
    f"{filled['NSN']:.1f} dB; nearest image {filled['nearest image']:.1f}",
    "pictures",
  )
  yield Artefact(
    "Fig 9: between filters, and sums",
    "paper.arithmetic --model=... --workdir=...",
    mnist,
    took("arithmetic"),
    "pictures",
    "pictures",
  )
  found = results.json("tables/stages.json")["stages"]
  yield Artefact(
    "all of it but Table 2, and a report",
    "paper --data_dir=... --workdir=runs/paper",
    "all four",
    tables.seconds(sum(stage["seconds"] for stage in found)),
    "one page",
    "",
  )


def _studies(results: Results) -> Iterator[Artefact]:
  epsilon = results.json("mnist/epsilon.json")
  best = max(epsilon["rows"], key=lambda row: row["score"]["inception_score"])
  yield Artefact(
    "the whitening's epsilon",
    "studies.epsilon --model=... --workdir=...",
    f"{epsilon['num_images']:,} digits",
    tables.seconds(epsilon["seconds"]),
    f"best at {layouts.epsilon.name(best['epsilon'])}: IS {best['score']['inception_score']:.2f}",
    "-",
  )
  growth = results.json("mnist/mnist.growth_vs_kmeans.json")
  gains = [row["difference"] for row in growth["rows"]]
  yield Artefact(
    "growth against k-means",
    "studies.growth_vs_kmeans --model=...",
    results.words["datasets"]["mnist"]["title"],
    tables.seconds(growth["seconds"]),
    f"ahead by {' / '.join(f'{gain:.4f}' for gain in gains)} in mean best similarity",
    "-",
  )
  speed = results.json("tables/speed.json")
  ratios = [row["nsn_jax"] for row in speed["em"]]
  yield Artefact(
    "speed",
    "studies.speed --end_to_end --data_dir=...",
    results.words["datasets"]["mnist"]["title"],
    tables.seconds(speed["seconds"]),
    f"an EM pass in {min(ratios):.2f} to {max(ratios):.2f} bare products",
    "-",
  )


def _best(group: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
  """The NSN of a block of Table 2 that is nearest to the real images, by FID."""
  return min((row for row in group if row["model"] in names.NSN), key=lambda row: row["fid"])


def headline(results: Results) -> str:
  """The README's table: real images, the best baseline and the best NSN of each data set."""
  titles = names.titles()
  cells = [["", "", "inception score", "FID", "precision", "recall", "training"]]
  for dataset, _, group in layouts.table2.groups(results.json("tables/table2.json")["rows"]):
    opponents = [row for row in group if row["model"] in baselines.MODELS]
    real = [row for row in group if row["model"] == names.REAL]
    title = results.words["datasets"][_folder(dataset)]["title"]
    for row in (*real, min(opponents, key=lambda row: row["fid"]), _best(group)):
      cells.append(
        [
          title,
          titles[row["model"]],
          f"{row['inception_score']:.2f}",
          f"{row['fid']:.2f}",
          f"{row['precision']:.3f}",
          f"{row['recall']:.3f}",
          tables.seconds(row["training_seconds"]),
        ]
      )
      title = ""
  return tables.markdown(cells, left=2)


def _between_marks(text: str, table: str) -> str:
  """The README with its headline anew; raises ValueError where it has no marks."""
  before, begin, rest = text.partition(_BEGIN)
  _, end, after = rest.partition(_END)
  if not begin or not end:
    raise ValueError(f"README.md: expected the marks {_BEGIN} and {_END}, got none")
  return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def write(root: pathlib.Path = ROOT, *, check: bool = False) -> list[pathlib.Path]:
  """Writes the pages, or looks whether they are as they would be written.

  Args:
    root: of the repository.
    check: writes nothing.

  Returns:
    Those that were not as they would be written.

  Raises:
    ValueError: where a result is linked from nowhere, or the words or marks are missing.
  """
  results = Results(root / "experiments" / "results")
  readme = root / "README.md"
  pages = {
    results.root / _PAGE: page(results),
    root / "experiments" / "README.md": commands(results),
    readme: _between_marks(readme.read_text(encoding="utf-8"), headline(results)),
  }
  unlinked = results.unlinked()
  if unlinked:
    raise ValueError(
      f"results: expected every file to be linked from {_PAGE}, got {', '.join(unlinked)} that are "
      "not: give each a caption in words.json, or remove it"
    )
  stale = [
    path
    for path, text in pages.items()
    if not path.is_file() or path.read_text(encoding="utf-8") != text
  ]
  for path in () if check else stale:
    files.write_text(path, pages[path])
  return stale


def _define_flags() -> None:
  flags.DEFINE_bool("check", False, "Writes nothing; an error where a page is not up to date.")


def _main() -> None:
  stale = [path.relative_to(ROOT).as_posix() for path in write(check=flags.FLAGS.check)]
  if flags.FLAGS.check and stale:
    raise ValueError(
      f"results: expected pages as their JSON files say, got stale ones, {', '.join(stale)}: run "
      "python -m experiments.paper.results_page"
    )
  print("\n".join(stale) or "all pages are up to date")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
