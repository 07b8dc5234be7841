"""The main job: trains a network and draws what it found.

    python -m experiments.train --dataset=mnist --data_dir=... --workdir=runs/mnist
    python -m experiments.train --workdir=runs/mnist --resume     # goes on after Ctrl-C

The folder then holds `model.safetensors`, `config.json` (what was asked for, and on what it ran),
`metrics.jsonl` (one line a training step), `growth.png`, `filters_layer0.png` and so on (each
layer's filters decoded to pixels) and `samples.png`.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

import nsn_jax
from experiments import flags as command_line
from experiments import pictures, progress
from experiments import workdir as work
from nsn_jax import data, network

MODEL = "model.safetensors"
PARTIAL = "model.partial.safetensors"
METRICS = "metrics.jsonl"
#: What a launcher may leave in a workdir: `--overwrite` takes these away and nothing else.
_OUTPUTS = (
  MODEL,
  PARTIAL,
  METRICS,
  work.CONFIG,
  "growth.png",
  "samples.png",
  "filters_layer*.png",
  "samples_grid.png",
  "samples.npz",
  "model.*.json",
  "model.*.png",
)

#: Must be the same where training goes on: each decides what is found.
_DECISIVE = ("dataset", "image_size", "limit", "seed", "memory_budget_gb", "network")

_MOST_FILTERS = 256
_FILTER_COLUMNS = 16
#: Of the filters' pixel values: these are black and white.
_SHOWN_QUANTILES = (0.005, 0.995)
#: Dynamic range at which a one-hot map picks its filter, whatever the network's own.
_PICKING_GAMMA = 1e4

#: Preset of each data set, or kind of them, that has one of another name. Any folder of photographs
#: takes that of the churches: 64x64, in colour.
_PRESETS = {"lsun/church_outdoor": "church", "folder": "church"}


class Result(NamedTuple):
  """What training ends with.

  Attributes:
    nsn: the trained network.
    history: the records of each layer.
    seconds: that this run took, beginning with the reading of the data.
  """

  nsn: nsn_jax.NSN
  history: list[list[nsn_jax.Record]]
  seconds: float


def train(
  *,
  workdir: str | os.PathLike[str],
  dataset: str,
  config: nsn_jax.NetworkConfig,
  preset: str | None = None,
  data_dir: str | None = None,
  image_size: int | None = None,
  limit: int | None = None,
  seed: int = 0,
  memory_budget_gb: float = 4.0,
  num_samples: int = 100,
  resume: bool = False,
  overwrite: bool = False,
  report: Callable[[nsn_jax.Progress], None] | None = None,
) -> Result:
  """Trains a network on a data set and leaves everything in a folder.

  After each layer the network so far and its metrics are on disk.

  Args:
    workdir: the folder, made if need be.
    dataset: name, as `nsn_jax.data.load` takes it; so are `data_dir`, `image_size` and `limit`.
    config: the network.
    preset: the name of `config`, for the record.
    data_dir: folder of the TFDS data sets.
    image_size: side to which images are resized.
    limit: number of images at most.
    seed: of training and of the pictures' samples.
    memory_budget_gb: see `nsn_jax.fit`.
    num_samples: in the sample grid.
    resume: goes on where training in this folder was broken off; begins where it never began, and
      only draws the pictures again where it ended.
    overwrite: removes what training left there before.
    report: called as training goes on, beside the progress line.

  Returns:
    The network and its history.

  Raises:
    ValueError: for arguments that are not as above, a folder that already holds a model, or one
      that does not fit what is to go on.
    OSError: where the folder cannot be written.
    flags.Interrupted: on Ctrl-C; its message says what is kept.
  """
  start = time.perf_counter()
  if num_samples < 1:
    raise ValueError(f"num_samples: expected an integer of at least 1, got {num_samples!r}")
  if not 0 < memory_budget_gb < float("inf"):
    raise ValueError(f"memory_budget_gb: expected a positive number, got {memory_budget_gb!r}")
  folder = work.open_folder(workdir)
  _check_use(folder, resume, overwrite)
  facts: dict[str, Any] = {
    "dataset": dataset,
    "preset": preset,
    "data_dir": data_dir,
    "image_size": image_size,
    "limit": limit,
    "seed": seed,
    "memory_budget_gb": memory_budget_gb,
    "network": json.loads(json.dumps(dataclasses.asdict(config))),
  }
  stored = work.read_config(folder) if resume else {}
  if stored:
    # A finished network is not trained on, so that another preset does it no harm.
    done = (folder / MODEL).is_file()
    work.check_same(
      facts, stored, [name for name in _DECISIVE if not (done and name == "network")], folder
    )
  line = progress.ProgressLine(len(config.layers))
  doing = "before the first layer"
  try:
    if resume and (folder / MODEL).is_file():
      line.say(f"{folder} holds a finished network: only its pictures are drawn again")
      nsn, history = nsn_jax.load(folder / MODEL), read_metrics(folder)
      doing = "while drawing"
      draw(folder, nsn, history, seed, num_samples)
      if stored:  # It may have been broken off while drawing.
        found = {"finished": True, "num_filters": list(nsn.num_filters)}
        work.write_json(folder / work.CONFIG, {**stored, **found})
      return Result(nsn, history, time.perf_counter() - start)
    loaded = data.load(dataset, data_dir=data_dir, image_size=image_size, limit=limit)
    images = loaded.images
    facts["data"] = work.describe(images)
    initial = None
    if stored:
      work.check_same_data(facts, stored, folder)
      if (folder / PARTIAL).is_file():
        initial = nsn_jax.load(folder / PARTIAL)
    else:
      # What is known to fail must fail before anything is removed.
      network.map_sizes(images.shape[1:3], config.layers)
      work.remove(folder, _OUTPUTS)
    kept = 0 if initial is None else initial.num_layers
    _trim_metrics(folder, kept)
    before = float(stored.get("seconds", 0.0))
    facts.update(work.surroundings(), seconds=before, finished=False)
    work.write_json(folder / work.CONFIG, facts)
    line.say(
      f"{dataset}: {len(images):,} images of {'x'.join(map(str, images.shape[1:]))}; "
      f"{len(config.layers)} layers"
      + (f", {kept} of them trained before" if kept else "")
      + f"; on {facts['device']}"
    )

    def tell(at: nsn_jax.Progress) -> None:
      nonlocal doing
      doing = f"in layer {at.layer}"
      line(at)
      if report is not None:
        report(at)

    def keep(nsn: nsn_jax.NSN, records: list[nsn_jax.Record]) -> None:
      # In this order: metrics beyond the kept layers are trimmed when training goes on.
      _append_metrics(folder, nsn.num_layers - 1, records)
      nsn_jax.save(folder / PARTIAL, nsn)
      seconds = before + time.perf_counter() - start
      work.write_json(folder / work.CONFIG, facts | {"seconds": seconds})
      line.layer_done(nsn.num_layers - 1, records)

    start = time.perf_counter()  # Loading is not training.
    nsn = nsn_jax.fit(
      jax.random.key(seed),
      images,
      config,
      initial=initial,
      report=tell,
      on_layer=keep,
      memory_budget_gb=memory_budget_gb,
    )
    seconds = time.perf_counter() - start
    nsn_jax.save(folder / MODEL, nsn)
    (folder / PARTIAL).unlink(missing_ok=True)
    doing = "while drawing"
    history = read_metrics(folder)
    draw(folder, nsn, history, seed, num_samples)
    facts.update(seconds=before + seconds, finished=True, num_filters=list(nsn.num_filters))
    work.write_json(folder / work.CONFIG, facts)
    line.say(f"the network and its pictures are in {folder}")
    return Result(nsn, history, seconds)
  except KeyboardInterrupt:
    raise command_line.Interrupted(_farewell(folder, doing)) from None
  finally:
    line.close()


def read_metrics(folder: pathlib.Path) -> list[list[nsn_jax.Record]]:
  """The records of each layer; lines that a killed process left unfinished are passed over."""
  history: list[list[nsn_jax.Record]] = []
  try:
    text = (folder / METRICS).read_text()
  except FileNotFoundError:
    return history
  for row in text.splitlines():
    try:
      fields = json.loads(row)
      layer = fields.pop("layer")
      record = nsn_jax.Record(**fields)
    except (ValueError, TypeError, KeyError, AttributeError):
      continue
    while len(history) <= layer:
      history.append([])
    history[layer].append(record)
  return history


def draw(
  folder: pathlib.Path,
  nsn: nsn_jax.NSN,
  history: Sequence[Sequence[nsn_jax.Record]],
  seed: int,
  num_samples: int,
) -> None:
  """Draws the growth curve, each layer's filters and a grid of samples."""
  if history:
    pictures.growth_curve(history, folder / "growth.png")
  # Layer l was trained with fold_in(key, l): this key is free.
  key = jax.random.fold_in(jax.random.key(seed), nsn.num_layers)
  for layer in range(nsn.num_layers):
    draw_filters(key, nsn, layer, folder / f"filters_layer{layer}.png")
  samples = nsn_jax.sample(key, nsn, num_samples)
  pictures.grid(samples, folder / "samples.png", columns=min(num_samples, 10))


def draw_filters(
  key: jax.Array, nsn: nsn_jax.NSN, layer: int, path: str | os.PathLike[str]
) -> None:
  """Draws the filters of a layer decoded to pixels, in their order."""
  count = nsn.num_filters[layer]
  shown = min(count, _MOST_FILTERS)
  sampler = nsn.config.sampler
  gamma = list(sampler.per_layer("gamma", nsn.num_layers))
  gamma[layer] = _PICKING_GAMMA
  # A filter is its mean: no pixel noise, and no contrast that the sampler adds.
  sampler = dataclasses.replace(sampler, gamma=tuple(gamma), alpha=0.0, beta=1.0)
  one_hot = np.eye(count, dtype=np.float32)[:shown, None, None, :]
  patches = np.asarray(nsn_jax.decode(key, nsn, one_hot, sampler, layer=layer))
  # One scale for all filters: a few stray values must not decide it, nor what is no colour.
  low, high = np.clip(np.quantile(patches, _SHOWN_QUANTILES), 0.0, 1.0).tolist()
  which = f"{count}" if shown == count else f"the first {shown} of {count}"
  height, width = patches.shape[1:3]
  whole = nsn.whitening is None or patches.shape[1:] == nsn.whitening.mean.shape
  where = "" if whole else " in the middle of the mean image"
  pictures.grid(
    patches,
    path,
    columns=_FILTER_COLUMNS,
    limits=(low, high),
    title=f"layer {layer}: {which} filter{'s' * (count > 1)} decoded to {height}x{width} "
    f"pixels{where}; black {low:.2f}, white {high:.2f}",
  )


def _farewell(folder: pathlib.Path, doing: str) -> str:
  """What to say on Ctrl-C."""
  kept = "finished layers are kept"
  if (folder / MODEL).exists():
    kept = "the network is finished and kept"
  elif not (folder / PARTIAL).exists():
    kept = "no layer is finished yet"
  return (
    f"interrupted {doing}; {kept}: go on with "
    f"python -m experiments.train --workdir={shlex.quote(str(folder))} --resume"
  )


def _check_use(folder: pathlib.Path, resume: bool, overwrite: bool) -> None:
  work.check_resumption(resume, overwrite)
  if resume and (folder / PARTIAL).exists() and not (folder / work.CONFIG).exists():
    raise ValueError(
      f"resume: expected {work.CONFIG} beside {PARTIAL}, which says what training began with, "
      f"got none in {str(folder)!r}: give --overwrite to begin anew"
    )
  if resume or overwrite:
    return
  for name, state in ((MODEL, "a model"), (PARTIAL, "a model trained in part")):
    if (folder / name).exists():
      raise ValueError(
        f"workdir: expected a folder without a model, got {str(folder)!r}, which holds {state}: "
        "give --resume to go on with it, or --overwrite to begin anew"
      )


def _append_metrics(folder: pathlib.Path, layer: int, records: Sequence[nsn_jax.Record]) -> None:
  with (folder / METRICS).open("a") as file:
    file.writelines(json.dumps({"layer": layer, **r._asdict()}) + "\n" for r in records)


def _trim_metrics(folder: pathlib.Path, num_layers: int) -> None:
  """Drops records of layers that are not kept, so that none is there twice."""
  kept = read_metrics(folder)[:num_layers]
  (folder / METRICS).unlink(missing_ok=True)
  for layer, records in enumerate(kept):
    _append_metrics(folder, layer, records)


def preset_of(dataset: str) -> str:
  """The preset that is meant for a data set.

  Raises:
    ValueError: where there is none.
  """
  name = _PRESETS.get(dataset.partition(":")[0], dataset)
  if name not in nsn_jax.configs.names():
    raise ValueError(
      f"preset: expected one of {', '.join(nsn_jax.configs.names())}, got none, and {dataset!r} "
      "has none of its own: experiments.train takes one by --preset=..."
    )
  return name


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data()
  flags.DEFINE_string(
    "preset",
    None,
    f"The network: {', '.join(nsn_jax.configs.names())}. By default the data set's own.",
  )
  command_line.define_seed("Seed of training.")
  flags.DEFINE_float("memory_budget_gb", 4.0, "For what training holds between passes.")
  command_line.define_num_samples(100)
  command_line.define_resumption()


def _main() -> None:
  given = flags.FLAGS
  workdir = command_line.required("workdir", "a folder")
  stored = work.read_config(pathlib.Path(workdir)) if given.resume else {}
  setting = command_line.resumed(stored)
  dataset = setting("dataset")
  if not dataset and given.resume and not stored:
    raise ValueError(f"resume: expected a workdir where training began, got {workdir!r}")
  if not dataset:
    raise ValueError(f"dataset: expected one of {', '.join(data.NAMES)}, got none")
  preset = setting("preset")
  if preset is None:
    # A wrong name should be heard of as such, and not as a want of a preset.
    data_known = dataset in data.NAMES or dataset.partition(":")[0] in ("folder", "npz")
    if not data_known:
      raise ValueError(f"dataset: expected one of {', '.join(data.NAMES)}, got {dataset!r}")
    preset = preset_of(dataset)
  train(
    workdir=workdir,
    dataset=dataset,
    config=nsn_jax.configs.get(preset),
    preset=preset,
    data_dir=setting("data_dir"),
    image_size=setting("image_size"),
    limit=setting("limit"),
    seed=setting("seed"),
    memory_budget_gb=setting("memory_budget_gb"),
    num_samples=given.num_samples,
    resume=given.resume,
    overwrite=given.overwrite,
  )


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
