"""Every table and figure of the paper, in one command, with a report at the end.

    python -m experiments.paper --data_dir=... --workdir=runs/paper
    python -m experiments.paper --data_dir=... --workdir=runs/paper     # goes on after Ctrl-C

Each stage is one of the other launchers' commands, run in a folder below the workdir; what is done
is kept in `done/` and not done again, unless the command has changed or a network that it shows was
trained anew; `stages.json` lists it, with command, time, device and commit. `report.html` then
shows every table and figure in one file: the paper's numbers beside ours, how each was computed, on
what, in what time, by which commit. Table 2 takes days without an accelerator and is run apart
(`experiments.table2 --workdir=WORKDIR/table2`); the report shows it where it is there.
"""

import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags

import nsn_jax
from experiments import flags as command_line
from experiments import report, train
from experiments import workdir as work
from nsn_jax import data

#: Side of the image that is styled: not the data set's own.
_STYLED_SIZE = 192
#: Of Table 1: images and samples of each of its trainings.
_TABLE1_LIMIT, _TABLE1_SAMPLES = 10_000, 5_000


class Stage(NamedTuple):
  """One launcher's run.

  Attributes:
    kind: the launcher's name.
    name: unique, `KIND` or `DATASET/KIND`.
    arguments: of the launcher.
    networks: folders of the trained networks that it shows.
  """

  kind: str
  name: str
  arguments: tuple[str, ...]
  networks: tuple[pathlib.Path, ...] = ()

  @property
  def command(self) -> list[str]:
    """As a shell takes it, after the interpreter."""
    return ["-m", f"experiments.{self.kind}", *self.arguments]

  def trained(self) -> list[float | None]:
    """When the networks were trained, as it were: a training of its own has a time of its own."""
    return [work.read_config(place).get("seconds") for place in self.networks]


def presets_of(dataset: str, own: str) -> list[str]:
  """The data set's own preset, and the same plain and with more filters, as far as there are."""
  found = (own, f"{own}-plain", f"{own}-large")
  return [name for name in found if name in nsn_jax.configs.names()]


def slug(dataset: str) -> str:
  """A folder's name of a data set."""
  return work.slug(dataset.rpartition("/")[2] or dataset)


def stages(
  folder: pathlib.Path,
  datasets: Sequence[str],
  *,
  data_dir: str | None,
  limit: int | None,
  num_samples: int,
) -> Iterator[Stage]:
  """All stages, in the order of their making."""
  place_of_data = () if data_dir is None else (f"--data_dir={data_dir}",)
  few = () if limit is None else (f"--limit={limit}",)
  trained: list[pathlib.Path] = []
  labelled: list[str] = []
  for dataset in datasets:
    own = train.preset_of(dataset)
    here = folder / slug(dataset)
    where = (f"--dataset={dataset}", *place_of_data)
    has_labels = data.load(dataset, data_dir=data_dir, limit=1).labels is not None
    for preset in presets_of(dataset, own):
      place = here / preset
      trained.append(place)
      yield Stage(
        "train",
        f"{slug(dataset)}/{preset}",
        (*where, *few, f"--preset={preset}", f"--workdir={place}", "--resume"),
      )
      if has_labels:
        yield Stage(
          "score",
          f"{slug(dataset)}/{preset}-score",
          (*where, f"--model={place / train.MODEL}", f"--num_samples={num_samples}"),
          (place,),
        )
    judged = (*where, f"--model={here / own / train.MODEL}")

    def at(kind: str, *more: str, here: pathlib.Path = here, own: str = own) -> Stage:
      return Stage(kind, f"{here.name}/{kind}", (*more, f"--workdir={here / kind}"), (here / own,))

    yield at("samples", *judged)
    if has_labels:
      labelled.append(dataset)
      yield at("effects", *judged, f"--num_samples={max(num_samples // 2, 100)}")
    yield at("epsilon", *judged, *few, f"--num_samples={max(num_samples // 3, 100)}")
    yield at("occlusion", *judged)
    yield at("interpolation", judged[-1])
    yield Stage(
      "style",
      f"{here.name}/style",
      (*judged, f"--size={_STYLED_SIZE}", f"--out={here / 'style.png'}"),
      (here / own,),
    )
  yield Stage(
    "tables34",
    "tables34",
    (f"--workdirs={','.join(map(str, trained))}", f"--out={folder / 'tables34'}"),
    tuple(trained),
  )
  if labelled:
    yield Stage(
      "table1",
      "table1",
      (
        f"--dataset={labelled[0]}",
        *place_of_data,
        f"--limit={min(limit or _TABLE1_LIMIT, _TABLE1_LIMIT)}",
        f"--num_samples={min(num_samples, _TABLE1_SAMPLES)}",
        f"--workdir={folder / 'table1'}",
      ),
    )


def present(datasets: Sequence[str], data_dir: str | None) -> list[str]:
  """Those of the data sets that are there; of the others it is said why they are not."""
  found = []
  for name in datasets:
    try:
      data.load(name, data_dir=data_dir, limit=1)
    except data.DataError as error:
      print(f"{name} is left out: {error}", flush=True)
    else:
      found.append(name)
  if not found:
    raise data.DataError("datasets: expected one that is there, got none: give --data_dir=...")
  return found


def run(stage: Stage, folder: pathlib.Path) -> bool:
  """Runs a stage in a process of its own, unless it is done, by the networks that are there.

  Returns:
    Whether it ran.

  Raises:
    OSError: where the launcher fails; it has said why.
  """
  done = work.done_file(folder, stage.name)
  before, trained = work.read_json(done), stage.trained()
  if before.get("arguments") == list(stage.arguments) and before.get("trained", trained) == trained:
    return False
  print(f"\n{stage.name}: python {shlex.join(stage.command)}", flush=True)
  start = time.perf_counter()
  ended = subprocess.run([sys.executable, *stage.command], check=False)
  if ended.returncode == command_line.INTERRUPTED:
    raise KeyboardInterrupt
  if ended.returncode:
    raise OSError(f"{stage.name}: {stage.kind} ended with exit code {ended.returncode}")
  done.parent.mkdir(exist_ok=True)
  facts = work.record() | {
    "command": f"python {shlex.join(stage.command)}",
    "arguments": stage.arguments,
    "kind": stage.kind,
    "seconds": time.perf_counter() - start,
    "trained": trained,
  }
  work.write_json(done, facts)
  return True


def records(folder: pathlib.Path) -> list[dict[str, Any]]:
  """What is done: command, kind, time, device and commit of each stage, in the order of names."""
  return [work.read_json(path) for path in sorted(work.done_file(folder, "").parent.glob("*.json"))]


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data_dir()
  flags.DEFINE_list(
    "datasets",
    ["mnist", "fashion_mnist", "lfw", "lsun/church_outdoor"],
    f"Of {', '.join(data.NAMES)}; a folder of photographs stands in for the churches.",
  )
  flags.DEFINE_list("stages", [], "Kinds of stages to run, as train,samples; by default all.")
  flags.DEFINE_integer("limit", None, "Trains on the first images only, so many.", lower_bound=2)
  command_line.define_num_samples(10_000)


def _main() -> None:
  given = flags.FLAGS
  folder = work.open_folder(command_line.required("workdir", "a folder"))
  datasets = given.datasets
  if not given["datasets"].present:
    datasets = present(datasets, given.data_dir)
  planned = list(
    stages(
      folder,
      datasets,
      data_dir=given.data_dir,
      limit=given.limit,
      num_samples=given.num_samples,
    )
  )
  kinds = list(dict.fromkeys(stage.kind for stage in planned))
  for kind in given.stages:
    if kind not in kinds:
      raise ValueError(f"stages: expected some of {', '.join(kinds)}, got {kind!r}")
  # Networks of a trial on few images would pass for those of a whole run.
  settings = {"limit": given.limit}
  work.check_table(settings, work.read_json(folder / "settings.json"), folder)
  work.write_json(folder / "settings.json", settings)
  chosen = [stage for stage in planned if not given.stages or stage.kind in given.stages]
  try:
    for index, stage in enumerate(chosen):
      if not run(stage, folder):
        print(f"[{index + 1}/{len(chosen)}] {stage.name}: done before", flush=True)
  except KeyboardInterrupt:
    raise command_line.Interrupted(
      "interrupted; what is done is kept: the same command goes on from there"
    ) from None
  finally:
    work.write_json(folder / "stages.json", {"stages": records(folder)})
    path = report.write(folder, [(slug(name), name, train.preset_of(name)) for name in datasets])
    print(f"the report so far is {path}", flush=True)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
