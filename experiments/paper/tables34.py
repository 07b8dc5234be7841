"""Tables 3 and 4: architectures, the numbers of filters found and the paper's, fit and time.

    python -m experiments.paper.tables34 --workdirs=runs/mnist,runs/fashion --out=runs/tables34

Reads folders that `experiments.train` left, and writes `tables34.txt` and `tables34.json`.
The paper's numbers of churches stand beside any buildings.
"""

import pathlib
from typing import Any

from absl import flags

from experiments.common import command_line, provenance, runs, workdir
from experiments.paper import layouts, published
from nsn_jax import files
from nsn_jax.patches import num_positions

__all__ = ["read"]


def read(folder: pathlib.Path) -> dict[str, Any]:
  """What a finished training found, plain values.

  Raises:
    OSError: where there is no finished training.
  """
  nsn = runs.load_model(folder)
  facts = workdir.config_of_training(folder)
  paper = published.filter_counts(facts["preset"])
  size = facts["data"]["shape"][1]
  rows = []
  for layer, (config, records) in enumerate(
    zip(nsn.config.layers, runs.read_metrics(folder), strict=True)
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


def _define_flags() -> None:
  flags.DEFINE_list("workdirs", [], "Folders that experiments.train left.")
  flags.DEFINE_string("out", None, "Folder of the tables.")


def _main() -> None:
  given = flags.FLAGS
  if not given.workdirs:
    raise ValueError("workdirs: expected trained networks' folders, got none: give --workdirs=...")
  folder = workdir.open_folder(command_line.required("out", "a folder"))
  found = [read(pathlib.Path(name)) for name in given.workdirs]
  provenance.write_result(folder / "tables34.json", {"tables": found})
  files.write_text(folder / "tables34.txt", layouts.tables34.as_text(found))
  print(layouts.tables34.as_text(found))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
