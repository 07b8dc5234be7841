"""Trainings in folders: what they are asked for, and what they leave.

`config.json` holds a `NetworkTraining` or a `BaselineTraining` as plain values, and what is known
of the training beside it: the images' hash, device and versions, seconds, whether it is finished.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import nsn_jax
from nsn_jax import data, files

__all__ = [
  "CHECKPOINTS",
  "CURVE",
  "EPOCHS",
  "METRICS",
  "MODEL",
  "PARTIAL",
  "STATE",
  "BaselineTraining",
  "DataSpec",
  "NetworkTraining",
  "TrainConfig",
  "append_metrics",
  "load_model",
  "loaded",
  "plain",
  "preset_of",
  "read_epochs",
  "read_metrics",
  "trim_metrics",
  "write_epochs",
]

#: A network, whole or trained in part, and its records, a line a step.
MODEL, PARTIAL, METRICS = "model.safetensors", "model.partial.safetensors", "metrics.jsonl"
#: Where training is within the layer above the part.
STATE = "state.safetensors"
#: A baseline's states, its records, a line an epoch, and its scores by epoch.
CHECKPOINTS, EPOCHS, CURVE = "checkpoints", "epochs.jsonl", "curve.png"

#: Preset of each data set, or kind of them, that has one of another name. Any folder of photographs
#: takes that of the churches: 64x64, in colour.
_PRESETS = {"lsun/church_outdoor": "church", "folder": "church"}


@dataclasses.dataclass(frozen=True)
class DataSpec:
  """Which images of which data set.

  Attributes:
    name: as `nsn_jax.data.load` takes it, like the others.
    data_dir: folder of the TFDS data sets; None for TFDS's own.
    image_size: side to which images are resized; None for the data set's own.
    limit: number of images at most; None for all.
  """

  name: str
  data_dir: str | None = None
  image_size: int | None = None
  limit: int | None = None

  def load(self, split: str = "train") -> data.Dataset:
    """The images of a split.

    Raises:
      DataError: where they are not there, or the fields are not as above.
    """
    return data.load(
      self.name,
      split=split,
      data_dir=self.data_dir,
      image_size=self.image_size,
      limit=self.limit,
    )

  def replace(self, **changes: Any) -> "DataSpec":
    """The same with some fields changed."""
    return dataclasses.replace(self, **changes)

  def as_dict(self) -> dict[str, Any]:
    """Plain values, the name under "dataset"."""
    values = dataclasses.asdict(self)
    return {"dataset": values.pop("name"), **values}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """What a training is asked for.

  Attributes:
    decisive: names of what must be the same where a training goes on: it decides what comes out.
    data: the training images.
    seed: of training.
  """

  decisive: ClassVar[tuple[str, ...]] = ("dataset", "image_size", "limit", "seed")

  data: DataSpec
  seed: int = 0

  def as_dict(self) -> dict[str, Any]:
    """Plain values for `config.json`."""
    values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    return {**values.pop("data").as_dict(), **values}


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkTraining(TrainConfig):
  """The training of an NSN.

  Attributes:
    network: its configuration.
    preset: the name of that, for the record.
    memory_budget_gb: see `nsn_jax.fit`.
  """

  decisive: ClassVar[tuple[str, ...]] = (*TrainConfig.decisive, "memory_budget_gb", "network")

  network: nsn_jax.NetworkConfig
  preset: str | None = None
  memory_budget_gb: float = 4.0

  def __post_init__(self) -> None:
    if not 0 < self.memory_budget_gb < float("inf"):
      raise ValueError(
        f"memory_budget_gb: expected a positive number, got {self.memory_budget_gb!r}"
      )

  @classmethod
  def of_preset(cls, preset: str, data: DataSpec, **more: Any) -> "NetworkTraining":
    """The training of a preset; raises ValueError for an unknown one."""
    return cls(data=data, network=nsn_jax.presets.get(preset), preset=preset, **more)

  def as_dict(self) -> dict[str, Any]:
    """Plain values for `config.json`."""
    return super().as_dict() | {"network": plain(self.network)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BaselineTraining(TrainConfig):
  """The training of a baseline.

  Attributes:
    model: name, as `nsn_jax.baselines.make` takes it.
    options: fields of the model that differ from its recipe.
    num_epochs: in all, with those before a resumption; None for the model's own default.
    score_every: epochs between two scores; 0 for none.
    score_samples: samples that are scored.
    scenes: folder of labelled scenes, whose classifier judges what has no labels.
  """

  decisive: ClassVar[tuple[str, ...]] = ("model", "options", *TrainConfig.decisive)

  model: str
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  num_epochs: int | None = None
  score_every: int = 1
  score_samples: int = 10_000
  scenes: str | None = None

  def as_dict(self) -> dict[str, Any]:
    """Plain values for `config.json`."""
    return super().as_dict() | {"options": dict(self.options)}


def plain(network: nsn_jax.NetworkConfig) -> dict[str, Any]:
  """A network's configuration as JSON has it."""
  found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(network)))
  return found


def preset_of(dataset: str) -> str:
  """The preset that is meant for a data set.

  Raises:
    ValueError: where there is none.
  """
  name = _PRESETS.get(dataset.partition(":")[0], dataset)
  if name not in nsn_jax.presets.names():
    raise ValueError(
      f"preset: expected one of {', '.join(nsn_jax.presets.names())}, got none, and {dataset!r} "
      "has none of its own: experiments.train takes one by --preset=..."
    )
  return name


def load_model(folder: pathlib.Path) -> nsn_jax.NSN:
  """The trained network of a workdir.

  Raises:
    OSError: where there is none, or one trained in part.
    ValueError: for a damaged file.
  """
  if (folder / MODEL).is_file():
    return nsn_jax.load(folder / MODEL)
  if (folder / PARTIAL).is_file():
    raise OSError(
      f"workdir: expected a trained network, got {str(folder)!r}, whose network is trained in "
      "part: finish it with python -m experiments.train --resume"
    )
  raise OSError(
    f"workdir: expected a folder with {MODEL}, got {str(folder)!r}: train a network with "
    "python -m experiments.train"
  )


def loaded(path: pathlib.Path) -> nsn_jax.NSN:
  """A network to go on with.

  Raises:
    ValueError: for a damaged file; it says what to do.
  """
  try:
    return nsn_jax.load(path)
  except ValueError as error:
    raise ValueError(f"{error}: give --overwrite to begin anew") from error


def read_metrics(folder: pathlib.Path) -> list[list[nsn_jax.Record]]:
  """The records of each layer; lines that a killed process left unfinished are passed over."""
  history: list[list[nsn_jax.Record]] = []
  try:
    # A row of damaged bytes is passed over, too.
    text = (folder / METRICS).read_text(encoding="utf-8", errors="replace")
  except FileNotFoundError:
    return history
  for row in text.splitlines():
    try:
      fields = json.loads(row)
      layer = fields.pop("layer")
      record = nsn_jax.Record(**fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
      continue
    # Layers come in order; any other number is damage.
    if type(layer) is not int or not 0 <= layer <= len(history):
      continue
    if layer == len(history):
      history.append([])
    history[layer].append(record)
  return history


def append_metrics(folder: pathlib.Path, layer: int, records: Sequence[nsn_jax.Record]) -> None:
  """Adds the records of a layer."""
  with (folder / METRICS).open("a") as file:
    file.write(_metrics_text(layer, records))


def trim_metrics(folder: pathlib.Path, num_layers: int) -> None:
  """Drops records of layers that are not kept, so that none is there twice.

  Where this breaks off, all records are as they were.

  Raises:
    OSError: where they cannot be written.
  """
  kept = read_metrics(folder)[:num_layers]
  if kept:
    texts = (_metrics_text(layer, records) for layer, records in enumerate(kept))
    files.write_text(folder / METRICS, "".join(texts))
  else:
    (folder / METRICS).unlink(missing_ok=True)


def _metrics_text(layer: int, records: Sequence[nsn_jax.Record]) -> str:
  """A line a record."""
  return "".join(json.dumps({"layer": layer, **r._asdict()}) + "\n" for r in records)


def read_epochs(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The records of a baseline's finished epochs, in their order, each once: the later of two.

  Raises:
    ValueError: for a damaged file.
  """
  path = folder / EPOCHS
  try:
    rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    by_epoch = {row["epoch"]: row for row in rows}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]
  except FileNotFoundError:
    return []
  except (ValueError, TypeError, KeyError) as error:
    raise ValueError(
      f"{path}: expected a JSON object with its epoch a line, got a damaged file: give --overwrite "
      "to train anew"
    ) from error


def write_epochs(folder: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes the records of a baseline's finished epochs anew."""
  files.write_text(folder / EPOCHS, "".join(json.dumps(row) + "\n" for row in rows))
