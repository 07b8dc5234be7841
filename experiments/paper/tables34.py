"""Tables 3 and 4: architectures, the numbers of filters found and the paper's, fit and time.

    python -m experiments.tables34 --workdirs=runs/mnist,runs/fashion --out=runs/tables34

Reads folders that `experiments.train` left, and writes `tables34.txt` and `tables34.json`.
The paper's numbers of churches stand beside any buildings.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from experiments import flags as command_line
from experiments import sample, tables, train
from experiments import workdir as work
from nsn_jax.patches import num_positions

#: The paper's numbers of filters, of the presets' data.
PAPER = {
  "mnist": (96, 130, 131),
  "fashion_mnist": (140, 238, 256),
  "lfw": (284, 242, 240, 235, 161),
  "church": (273, 263, 325, 398, 210),
}
_HEAD = (
  "layer",
  "input",
  "kernel, stride",
  "filters",
  "paper",
  "mean best similarity",
  "below threshold",
  "time",
)


def read(folder: pathlib.Path) -> dict[str, Any]:
  """What a finished training found, plain values.

  Raises:
    OSError: where there is no finished training.
  """
  nsn = sample.load_model(folder)
  facts = work.config_of_training(folder)
  paper = paper_counts(facts["preset"])
  size = facts["data"]["shape"][1]
  rows = []
  for layer, (config, records) in enumerate(
    zip(nsn.config.layers, train.read_metrics(folder), strict=True)
  ):
    rows.append(
      {
        "layer": layer,
        "input": size,
        "kernel": config.kernel,
        "stride": config.stride,
        "num_filters": nsn.num_filters[layer],
        "paper": paper[layer] if layer < len(paper) else None,
        "mean_similarity": records[-1].mean_similarity,
        "below_share": records[-1].below_share,
        "seconds": records[-1].seconds,
      }
    )
    size = num_positions(size, config.kernel, config.stride)
  return {
    "dataset": facts["dataset"],
    "preset": facts["preset"],
    "seconds": facts["seconds"],
    "device": facts["device"],
    "num_images": facts["data"]["shape"][0],
    "layers": rows,
  }


def paper_counts(preset: str | None) -> tuple[int, ...]:
  """The paper's numbers for a preset, plain or large: what stands in for its data has them too."""
  return PAPER.get((preset or "").partition("-")[0], ())


def cells(table: Mapping[str, Any]) -> list[tuple[str, ...]]:
  """The head and a line a layer of one network's table."""
  return [
    _HEAD,
    *(
      (
        str(row["layer"]),
        f"{row['input']}x{row['input']}",
        f"{row['kernel']}x{row['kernel']}, {row['stride']}",
        str(row["num_filters"]),
        str(row["paper"] or "-"),
        f"{row['mean_similarity']:.4f}",
        f"{row['below_share']:.1%}",
        f"{row['seconds']:.0f} s",
      )
      for row in table["layers"]
    ),
  ]


def caption(table: Mapping[str, Any]) -> str:
  """What one network's table is of."""
  return (
    f"{table['preset']}: {table['num_images']:,} images of {table['dataset']}, "
    f"{table['seconds']:.0f} s on {table['device']}"
  )


def as_text(found: Sequence[Mapping[str, Any]]) -> str:
  """The tables for a terminal, a block a network."""
  return "\n\n".join(f"{caption(one)}\n{tables.aligned(cells(one))}" for one in found) + "\n"


def _define_flags() -> None:
  flags.DEFINE_list("workdirs", [], "Folders that experiments.train left.")
  flags.DEFINE_string("out", None, "Folder of the tables.")


def _main() -> None:
  given = flags.FLAGS
  if not given.workdirs:
    raise ValueError("workdirs: expected trained networks' folders, got none: give --workdirs=...")
  folder = work.open_folder(command_line.required("out", "a folder"))
  found = [read(pathlib.Path(name)) for name in given.workdirs]
  work.write_result(folder / "tables34.json", {"tables": found})
  (folder / "tables34.txt").write_text(as_text(found))
  print(as_text(found))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
