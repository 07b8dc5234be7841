"""The page of all commands, one row an artefact: command, data, time, our number, the paper's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from experiments.common import tables
from experiments.paper import layouts, published
from experiments.paper.pages.source import Results, render

__all__ = ["Artefact", "page"]

#: The mask that stands for all where there is room for one.
_MASK = "square"


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


def page(results: Results) -> str:
  """The page of all commands, Markdown."""
  head = ["artefact", "`python -m experiments.` …", "data", "time", "ours", "the paper's"]

  def table(rows: Sequence[Artefact]) -> str:
    cells = [[row.name, f"`{row.command}`", *row[2:]] for row in rows]
    return tables.markdown([head, *cells], left=len(head))

  return render(
    "commands.md.jinja",
    tools=tables.markdown([["", head[1]], *_TOOLS], left=2),
    paper=table(list(_paper(results))),
    studies=table(list(_studies(results))),
  )


_TOOLS = (
  ["a first look, on `digits`, in minutes", "`quickstart`"],
  [
    "a network; after Ctrl-C or a kill `--resume` goes on within the layer, to the same bytes",
    "`train --dataset=mnist --data_dir=... --workdir=runs/mnist --checkpoint_seconds=60`",
  ],
  [
    "the same on more devices, by more processes",
    "`train ... --num_devices=8`, `train ... --distributed` (BUILD.md, Several processes)",
  ],
  ["how far that scales, on paper and counted", "`studies.scaling`"],
  ["samples of it, a grid and an `.npz`", "`sample --workdir=runs/mnist --num_samples=1000`"],
  ["scores of its samples, classes, histograms", "`score --model=runs/mnist/model.safetensors`"],
  [
    "scores of anybody's images",
    "`score --real=folder:A --generated=folder:B --judge=folder:SCENES --reference=a.npz`",
  ],
  ["search for gamma, alpha, beta, draws", "`tune_sampler --model=runs/mnist/model.safetensors`"],
  [
    "a baseline, scored along the way",
    "`train_baseline --model=dcgan --dataset=mnist --data_dir=... --workdir=runs/dcgan`",
  ],
  [
    "densities of trained baselines, in nats of the same pixels",
    "`studies.densities --workdirs=runs/vae,runs/draw,runs/rbm --workdir=...`",
  ],
  ["what an InfoGAN's codes mean", "`studies.codes --trained=runs/infogan --workdir=...`"],
  [
    "test errors by few labels, of a semi-supervised GAN and of a network alone",
    "`studies.few_labels --num_labels=100 --dataset=mnist --data_dir=... --workdir=...`",
  ],
  ["how a DRAW draws", "`studies.strokes --trained=runs/draw --workdir=...`"],
  [
    "a row a class, of a PixelCNN that is given the class",
    "`studies.classes --trained=runs/condpixelcnn --workdir=...`",
  ],
  [
    "what auto-encoders give back, and how sharp it is",
    "`studies.reconstructions --trained=runs/pixelcnnae --beside=runs/autoencoder --workdir=...`",
  ],
  [
    "images that a classifier's neurons prefer",
    "`studies.preferred --dataset=mnist --data_dir=... --workdir=...`",
  ],
  [
    "a generator from known factors, on combinations of them that it was not shown",
    "`studies.known_factors --dataset=mnist --data_dir=... --workdir=...`",
  ],
)


def _paper(results: Results) -> Iterator[Artefact]:
  rows = results.rows("tables/table1.json")
  nsn = next(row for row in rows if row["model"] == "nsn")
  yield Artefact(
    "Table 1: characteristics",
    "paper.table1 --dataset=mnist --workdir=runs/table1",
    layouts.table1.caption(rows).partition(";")[0],
    tables.seconds(sum(row["training_seconds"] * row["settings"]["num_seeds"] for row in rows)),
    f"size found; seeds' scores spread by {nsn['spread']:.2f}",
    "in words",
  )
  for dataset, network, group in layouts.table2.main_judges(results.rows("tables/table2.json")):
    best, judge = layouts.table2.best_nsn(group), network.partition(",")[0]
    paper = published.inception_score(dataset, "nsn")
    yield Artefact(
      "Table 2: inception scores",
      "paper.table2 --datasets=... --workdir=runs/table2",
      results.title(dataset),
      f"{tables.seconds(best['training_seconds'])} training",
      f"IS {best['inception_score']:.2f}, FID {best['fid']:.1f}, by a {judge}",
      f"IS {paper[0]:.2f}, by ImageNet's" if paper else "-",
    )
  for table in results.rows("tables/tables34.json", "tables"):
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
  mnist = results.title("mnist")

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
  found = results.rows("tables/stages.json", "stages")
  yield Artefact(
    "all of it but Tables 1 and 2, and a report",
    "paper --data_dir=... --workdir=runs/paper",
    "all four",
    tables.seconds(sum(stage["seconds"] for stage in found if stage["kind"] != "table1")),
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
    results.title("mnist"),
    tables.seconds(growth["seconds"]),
    f"ahead by {' / '.join(f'{gain:.4f}' for gain in gains)} in mean best similarity",
    "-",
  )
  bounds = results.json("mnist/mnist-best.bounds.json")
  yield Artefact(
    "where samples lose, by layer",
    "studies.bounds --model=... --data_dir=...",
    results.title("mnist"),
    tables.seconds(bounds.get("seconds")),
    _best(bounds["rows"]) if bounds else "-",
    "-",
  )
  outliers = results.json("mnist/outliers.json")
  yield Artefact(
    "densities as outlier scores",
    "studies.outliers --model=... --others=fashion_mnist --workdir=...",
    results.title("mnist"),
    tables.seconds(outliers.get("seconds")),
    _areas(outliers["rows"]) if outliers else "-",
    "-",
  )
  speed = results.json("tables/speed.json")
  ratios = [row["nsn_jax"] for row in speed["em"]]
  yield Artefact(
    "speed",
    "studies.speed --end_to_end --data_dir=...",
    results.title("mnist"),
    tables.seconds(speed["seconds"]),
    f"an EM pass in {min(ratios):.2f} to {max(ratios):.2f} bare products",
    "-",
  )


def _best(rows: Sequence[Mapping[str, Any]]) -> str:
  """The finder's FIDs of real images, of the last of their maps, and of samples, in words."""
  real, kept, drawn = (f"{rows[i]['fid']:.1f}" for i in (0, -2, -1))
  return f"the finder's FID: real {real}, as the last layer keeps them {kept}, samples {drawn}"


def _areas(rows: Sequence[Mapping[str, Any]]) -> str:
  """The AUROCs of the first kind of outliers, in words."""
  kind = next(iter(rows[0]["auroc"]))
  areas = ", ".join(f"{row['density']} {row['auroc'][kind]:.3f}" for row in rows)
  return f"AUROC of {kind}: {areas}"
