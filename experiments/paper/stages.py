"""The stages of the whole report: which commands make it, and which of them are done.

A stage is one launcher's command, run in a folder below the workdir and in a process of its own,
which ends where this one is ended. What is done is kept in `done/` and not done again, unless the
command has changed or a network that it shows was trained anew.
"""

import pathlib
import shlex
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import nsn_jax
from experiments.common import provenance, runs, signals, workdir
from nsn_jax import data, files

__all__ = ["Stage", "plan", "present", "presets_of", "records", "run"]

#: Side of the image that is styled: not the data set's own.
_STYLED_SIZE = 192
#: Of Table 1: images and samples of each of its trainings.
_TABLE1_LIMIT, _TABLE1_SAMPLES = 10_000, 5_000


class Stage(NamedTuple):
  """One launcher's run.

  Attributes:
    launcher: its module, below `experiments`.
    name: unique, `KIND` or `DATASET/KIND`.
    arguments: of the launcher.
    networks: folders of the trained networks that it shows.
  """

  launcher: str
  name: str
  arguments: tuple[str, ...]
  networks: tuple[pathlib.Path, ...] = ()

  @property
  def kind(self) -> str:
    """The launcher's own name."""
    return self.launcher.rpartition(".")[2]

  @property
  def command(self) -> list[str]:
    """As a shell takes it, after the interpreter."""
    return ["-m", f"experiments.{self.launcher}", *self.arguments]

  def trained(self) -> list[float | None]:
    """When the networks were trained, as it were: a training of its own has a time of its own."""
    return [workdir.read_config(place).get("seconds") for place in self.networks]


def presets_of(dataset: str, own: str) -> list[str]:
  """The data set's own preset, and the same plain and with more filters, as far as there are."""
  found = (own, f"{own}-plain", f"{own}-large", f"{own}-best")
  return [name for name in found if name in nsn_jax.presets.names()]


def plan(
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
    own = runs.preset_of(dataset)
    here = folder / workdir.dataset_folder(dataset)
    where = (f"--dataset={dataset}", *place_of_data)
    has_labels = data.load(dataset, data_dir=data_dir, limit=1).labels is not None
    for preset in presets_of(dataset, own):
      place = here / preset
      trained.append(place)
      yield Stage(
        "train",
        f"{here.name}/{preset}",
        (*where, *few, f"--preset={preset}", f"--workdir={place}", "--resume"),
      )
      if has_labels:
        yield Stage(
          "score",
          f"{here.name}/{preset}-score",
          (*where, f"--model={place / runs.MODEL}", f"--num_samples={num_samples}"),
          (place,),
        )
    judged = (*where, f"--model={here / own / runs.MODEL}")

    def at(launcher: str, *more: str, here: pathlib.Path = here, own: str = own) -> Stage:
      kind = launcher.rpartition(".")[2]
      place = f"--workdir={here / kind}"
      return Stage(launcher, f"{here.name}/{kind}", (*more, place), (here / own,))

    yield at("paper.sample_grids", *judged)
    if has_labels:
      labelled.append(dataset)
      yield at("paper.sampler_effects", *judged, f"--num_samples={max(num_samples // 2, 100)}")
    yield at("studies.epsilon", *judged, *few, f"--num_samples={max(num_samples // 3, 100)}")
    yield at("paper.filling", *judged)
    yield at("paper.arithmetic", judged[-1])
    yield Stage(
      "paper.styling",
      f"{here.name}/styling",
      (*judged, f"--size={_STYLED_SIZE}", f"--out={here / 'styling.png'}"),
      (here / own,),
    )
  yield Stage(
    "paper.tables34",
    "tables34",
    (f"--workdirs={','.join(map(str, trained))}", f"--out={folder / 'tables34'}"),
    tuple(trained),
  )
  if labelled:
    yield Stage(
      "paper.table1",
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
    KeyboardInterrupt: where it or this process is interrupted, by Ctrl-C or another signal.
  """
  done = workdir.done_file(folder, stage.name)
  before, trained = files.read_json(done), stage.trained()
  if before.get("arguments") == list(stage.arguments) and before.get("trained", trained) == trained:
    return False
  print(f"\n{stage.name}: python {shlex.join(stage.command)}", flush=True)
  start = time.perf_counter()
  code = signals.run([sys.executable, *stage.command])
  if code:
    raise OSError(f"{stage.name}: {stage.kind} ended with exit code {code}")
  done.parent.mkdir(exist_ok=True)
  facts = provenance.record() | {
    "command": f"python {shlex.join(stage.command)}",
    "arguments": stage.arguments,
    "kind": stage.kind,
    "seconds": time.perf_counter() - start,
    "trained": trained,
  }
  files.write_json(done, facts)
  return True


def records(folder: pathlib.Path, kinds: Collection[str]) -> list[dict[str, Any]]:
  """What is done: command, kind, time, device and commit of each stage, in the order of names."""
  done = workdir.done_file(folder, "").parent
  found = [files.read_json(path) for path in sorted(done.glob("*.json"))]
  # A workdir of before may hold stages of former names.
  return [record for record in found if record.get("kind") in kinds]
