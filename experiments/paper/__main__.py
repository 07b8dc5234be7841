"""Every table and figure of the paper, in one command, with a report at the end.

    python -m experiments.paper --data_dir=... --workdir=runs/paper
    python -m experiments.paper --data_dir=... --workdir=runs/paper     # goes on after Ctrl-C

Each stage is one of the other launchers' commands (`experiments.paper.stages`); `stages.json` lists
what is done, with command, time, device and commit. `report.html` then shows every table and figure
in one file: the paper's numbers beside ours, how each was computed, on what, in what time, by which
commit. Table 2 takes days without an accelerator and is run apart
(`experiments.paper.table2 --workdir=WORKDIR/table2`); the report shows it where it is there.
"""

import pathlib

from absl import flags

from experiments.common import command_line, runs, workdir
from experiments.paper import report, stages
from nsn_jax import data, files
from nsn_jax.metrics import evaluation

__all__: list[str] = []


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data_dir()
  flags.DEFINE_list(
    "datasets",
    ["mnist", "fashion_mnist", "lfw", "lsun/church_outdoor"],
    f"Of {', '.join(data.NAMES)}; a folder of photographs stands in for the churches.",
  )
  flags.DEFINE_list("stages", [], "Kinds of stages to run, as train,filling; by default all.")
  flags.DEFINE_integer("limit", None, "Trains on the first images only, so many.", lower_bound=2)
  command_line.define_num_samples(10_000)


def _main() -> None:
  evaluation.check_count("num_samples", flags.FLAGS.num_samples)
  with workdir.using(command_line.required("workdir", "a folder")) as folder:
    files.remove_leftovers(workdir.done_file(folder, "").parent)
    _make(folder)


def _make(folder: pathlib.Path) -> None:
  """Makes what is missing, in a folder that no other run uses."""
  given = flags.FLAGS
  datasets = given.datasets
  if not given["datasets"].present:
    datasets = stages.present(datasets, given.data_dir)
  planned = list(
    stages.plan(
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
  workdir.check_table(settings, files.read_json(folder / "settings.json"), folder)
  files.write_json(folder / "settings.json", settings)
  chosen = [stage for stage in planned if not given.stages or stage.kind in given.stages]
  try:
    for index, stage in enumerate(chosen):
      if not stages.run(stage, folder):
        print(f"[{index + 1}/{len(chosen)}] {stage.name}: done before", flush=True)
  except KeyboardInterrupt:
    raise workdir.Interrupted(
      "interrupted; what is done is kept: the same command goes on from there"
    ) from None
  finally:
    files.write_json(folder / "stages.json", {"stages": stages.records(folder, kinds)})
    path = report.write(
      folder, [(workdir.dataset_folder(name), name, runs.preset_of(name)) for name in datasets]
    )
    print(f"the report so far is {path}", flush=True)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
