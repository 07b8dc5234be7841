"""One self-contained HTML page of the tables and figures in a workdir of `experiments.paper`.

A section is what the paper has, what keeps numbers from being compared, and blocks of tables and
pictures with the command, time, device and commit that made them. Data and networks may be any:
whatever is said of how good they are is computed from their own numbers.
"""

import base64
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from experiments.common import provenance, runs, tables, workdir
from experiments.paper import layouts
from nsn_jax import files

__all__ = ["Block", "Picture", "Section", "Shown", "write"]

#: Where `experiments.paper.table2` leaves its table, below the workdir.
_TABLE2 = pathlib.PurePath("table2", "table2.json")


class Shown(NamedTuple):
  """A data set in the report.

  Attributes:
    folder: of its stages.
    name: as `nsn_jax.data.load` takes it.
    preset: its own.
  """

  folder: pathlib.Path
  name: str
  preset: str

  def networks(self) -> list[pathlib.Path]:
    """Folders of its trained networks, its own preset first."""
    found = [
      path for path in self.folder.glob(f"{self.preset}*") if (path / workdir.CONFIG).is_file()
    ]
    return sorted(found, key=lambda path: path.name)


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture as it is embedded."""

  caption: str
  data: str
  is_plot: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
  """A table, pictures, or both, what made them, and what there is to say of them."""

  title: str = ""
  head: Sequence[str] = ()
  rows: Sequence[Sequence[str]] = ()
  pictures: Sequence[Picture] = ()
  made: Sequence[dict[str, Any]] = ()
  notes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Section:
  """A table or figure of the paper."""

  title: str
  paper: str
  blocks: Sequence[Block]
  short: str = ""


def write(root: pathlib.Path, datasets: Sequence[tuple[str, str, str]]) -> pathlib.Path:
  """Writes `report.html`.

  Args:
    root: the workdir of `experiments.paper`.
    datasets: folder's name, name and preset of each data set.

  Returns:
    The file.
  """
  shown = [Shown(root / folder, name, preset) for folder, name, preset in datasets]
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  page = environment.get_template("report.html.jinja").render(
    facts=provenance.record(), sections=_sections(root, shown)
  )
  path = root / "report.html"
  files.write_text(path, page)
  return path


def _sections(root: pathlib.Path, shown: Sequence[Shown]) -> list[Section]:
  def each(make: Callable[[Shown], Iterator[Block]]) -> list[Block]:
    return [block for one in shown for block in make(one)]

  return [
    Section(
      "Table 1: characteristics",
      "compares with PixelRNN, VAE and GAN, in words: the number of networks, whether the size is "
      "found, stability of training, whether pixels come in parallel, explicit density.",
      list(_table1(root)),
      "densities of the columns are of different things and cannot be compared with each other: "
      "nats of the maps that layers see, more of which is better, and bits of pixels, fewer; "
      "the baselines' trainings are as short as the table says.",
    ),
    Section(
      "Table 2: inception scores",
      "inception scores of 50,000 samples by ImageNet's network; its numbers stand beside ours, "
      "which are by the networks named, and comparable within a block only.",
      list(_table2(root)),
      "the comparison of inception scores is uneven where settings were found by the network that "
      "scores: who found them stands below each block.",
    ),
    Section(
      "Tables 3 and 4: architectures and filters found",
      "numbers of filters found by the growth in each layer, beside ours; where its data are "
      "LSUN's churches, ours may be other buildings, as each caption says.",
      list(_tables34(root)),
    ),
    Section(
      "Fig 3 and 4: samples",
      "grids of samples of MNIST and Fashion-MNIST, and of Church and LFW beside the GANs'. Its "
      "MNIST, Fashion-MNIST and Church networks are on plain images; ours are on whitened ones, "
      "but for those that are called plain.",
      each(_samples),
    ),
    Section(
      "The whitening's epsilon",
      "whitens LFW only, by an epsilon that its text does not give. Ours: the same layers and "
      "numbers of filters at several, on the first images; contrast chosen for each anew, "
      "where labels give somebody who can, and scored by another.",
      each(_epsilon),
    ),
    Section(
      "Fig 5: gamma, alpha and beta",
      "one varied, the others fixed: gamma sharpens and then takes diversity away, alpha is noise "
      "of the pixels, beta contrast; and the inception score along each.",
      each(
        lambda one: _block(
          one,
          ["sampler_effects"],
          [
            ("sampler_effects/sampler_effects.png", "score along each", True),
            *(
              (f"sampler_effects/effect_{knob}.png", knob, False)
              for knob in ("gamma", "alpha", "beta")
            ),
          ],
        )
      ),
    ),
    Section(
      "Fig 6: styling",
      "images encoded to the first layer's feature map and decoded again: the same scene in the "
      "filters' patches.",
      each(
        lambda one: _block(one, ["styling"], [("styling.png", "image, and three draws", False)])
      ),
    ),
    Section(
      "Fig 7: occlusion",
      "occluded faces and digits filled by way of the last layer, by eye.",
      each(_filling),
    ),
    Section(
      "Fig 8: samples of the intermediate layers",
      "samples that begin at each layer, as large as its receptive field.",
      each(_layers),
    ),
    Section(
      "Fig 9: interpolation and filter arithmetic",
      "between two of the last layer's filters, several draws; and A + B - C of three filters one "
      "layer down. Filters are proposed by a search, which the JSON beside describes.",
      each(
        lambda one: _block(
          one,
          ["arithmetic"],
          [
            ("arithmetic/interpolation.png", "9a", False),
            ("arithmetic/arithmetic.png", "9b", False),
          ],
        )
      ),
    ),
  ]


def _table1(root: pathlib.Path) -> Iterator[Block]:
  rows = files.read_json(root / "table1" / "table1.json").get("rows", [])
  if rows:
    head, *lines = layouts.table1.cells(rows)
    yield Block(layouts.table1.caption(rows), head, lines, made=_made(root, "table1"))


def _table2(root: pathlib.Path) -> Iterator[Block]:
  rows = files.read_json(root / _TABLE2).get("rows", [])
  titles = layouts.names.titles()
  for dataset, network, group in layouts.table2.groups(rows):
    head, *lines = layouts.table2.cells(group)
    made = {(row["command"], row["revision"], row["device"]) for row in group}
    names = [(row["model"], titles[row["model"]]) for row in group]
    named = [(f"{model}.png", f"samples of {name}", False) for model, name in names]
    named += [(f"{model}/{runs.CURVE}", f"training of {name}", True) for model, name in names]
    pictures = _pictures(root / "table2" / workdir.slug(dataset), named)
    yield Block(
      f"{dataset}, judged by {network}",
      head,
      lines,
      pictures,
      made=[
        {"command": command, "revision": revision, "device": device}
        for command, revision, device in sorted(made)
      ],
      notes=[*layouts.table2.origins(group), *layouts.table2.verdicts(group)],
    )


def _tables34(root: pathlib.Path) -> Iterator[Block]:
  for found in files.read_json(root / "tables34" / "tables34.json").get("tables", []):
    head, *lines = layouts.tables34.cells(found)
    yield Block(layouts.tables34.caption(found), head, lines)
  if (root / "tables34").is_dir():
    yield Block(made=_made(root, "tables34"))


def _samples(one: Shown) -> Iterator[Block]:
  networks = one.networks()
  yield from _block(
    one,
    [path.name for path in networks],
    [(f"{path.name}/samples.png", path.name, False) for path in networks],
  )
  scores = {path.name: files.read_json(path / "model.score.json") for path in networks}
  scores = {name: found for name, found in scores.items() if found}
  if scores:
    head, *lines = layouts.scores.cells(scores)
    yield Block(
      f"{one.name}: {layouts.scores.caption(list(scores.values()))}",
      head,
      lines,
      _pictures(one.folder, [(f"{p.name}/model.pixels.png", p.name, True) for p in networks]),
      _made_for(one, [f"{one.preset}-score"]),
      layouts.scores.verdicts(scores),
    )
  checked = files.read_json(one.folder / "sample_grids" / "sample_grids.json").get("copies", {})
  for block in _block(
    one,
    ["sample_grids"],
    [("sample_grids/nearest.png", "each sample, and below it its nearest training image", False)],
  ):
    yield dataclasses.replace(block, notes=_copies(checked))


def _copies(checked: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """A sentence a kind of distance: how many samples are nearer to training than held-out images."""
  meant = {"distance": "by pixels", "relative": "by pixels, over that to the next ten"}
  return [
    f"Distance to the nearest training image {meant.get(kind, kind)}: {check['suspected']:.1%} of "
    "the samples are nearer than 99% of the held-out images are; the medians are "
    f"{check['generated']:.3f} and {check['held_out']:.3f}."
    for kind, check in checked.items()
  ]


def _epsilon(one: Shown) -> Iterator[Block]:
  rows = files.read_json(one.folder / "epsilon" / "epsilon.json").get("rows", [])
  head, *lines = layouts.epsilon.cells(rows)
  for block in _block(one, ["epsilon"], [("epsilon/epsilon.png", "", False)]):
    yield dataclasses.replace(
      block, head=head if lines else (), rows=lines, notes=layouts.epsilon.verdicts(rows)
    )


def _filling(one: Shown) -> Iterator[Block]:
  found = sorted((one.folder / "filling").glob("filling_*.png"))
  names = [(f"filling/{f.name}", f.stem.removeprefix("filling_"), False) for f in found]
  rows = files.read_json(one.folder / "filling" / "filling.json").get("rows", [])
  head, *lines = layouts.filling.cells(rows)
  for block in _block(one, ["filling"], names):
    yield dataclasses.replace(block, head=head, rows=lines, notes=layouts.filling.verdicts(rows))


def _layers(one: Shown) -> Iterator[Block]:
  found = sorted((one.folder / "sample_grids").glob("layer*.png"))
  names = [
    (f"sample_grids/{path.name}", path.stem.replace("layer", "layer "), False) for path in found
  ]
  yield from _block(one, ["sample_grids"], names)


def _block(
  one: Shown, stages: Sequence[str], files: Sequence[tuple[str, str, bool]]
) -> Iterator[Block]:
  """Pictures of a data set, where they are there, and the stages that made them."""
  found = _pictures(one.folder, files)
  if found:
    yield Block(one.name, pictures=found, made=_made_for(one, stages))


def _made_for(one: Shown, stages: Sequence[str]) -> list[dict[str, Any]]:
  names = (f"{one.folder.name}/{stage}" for stage in stages)
  return [made for name in names for made in _made(one.folder.parent, name)]


def _pictures(folder: pathlib.Path, files: Sequence[tuple[str, str, bool]]) -> list[Picture]:
  return [
    Picture(caption, base64.b64encode((folder / name).read_bytes()).decode(), is_plot)
    for name, caption, is_plot in files
    if (folder / name).is_file()
  ]


def _made(root: pathlib.Path, stage: str) -> list[dict[str, Any]]:
  """The record of a stage, where it is done."""
  facts = files.read_json(workdir.done_file(root, stage))
  if not facts:
    return []
  # A training may have gone on after an interruption: its own record has the whole time.
  seconds = workdir.read_config(root / stage).get("seconds", facts["seconds"])
  return [facts | {"time": tables.seconds(seconds)}]
