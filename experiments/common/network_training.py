"""Trains a network in a folder and draws what it found.

The folder then holds `model.safetensors`, `config.json` (what was asked for, and on what it ran),
`metrics.jsonl` (one line a training step), `growth.png`, `filters_layer0.png` and so on (each
layer's filters decoded to pixels) and `samples.png`.
"""

import dataclasses
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

import nsn_jax
from experiments.common import following, pictures, plots, provenance, runs, workdir
from experiments.common.progress_line import ProgressLine
from nsn_jax import network

__all__ = ["Result", "draw", "draw_filters", "train"]

#: What a launcher may leave in a workdir: `--overwrite` takes these away and nothing else.
_OUTPUTS = (
  runs.MODEL,
  runs.PARTIAL,
  runs.METRICS,
  workdir.CONFIG,
  "growth.png",
  "samples.png",
  "filters_layer*.png",
  "samples_grid.png",
  "samples.npz",
  "model.*.json",
  "model.*.png",
)

_MOST_FILTERS = 256
_FILTER_COLUMNS = 16
#: Of the filters' pixel values: these are black and white.
_SHOWN_QUANTILES = (0.005, 0.995)
#: Dynamic range at which a one-hot map picks its filter, whatever the network's own.
_PICKING_GAMMA = 1e4


class Result(NamedTuple):
  """What training ends with.

  Attributes:
    nsn: the trained network.
    history: the records of each layer.
    seconds: that the training of this run took; of a finished one, that the drawing did.
  """

  nsn: nsn_jax.NSN
  history: list[list[nsn_jax.Record]]
  seconds: float


def train(
  place: str | os.PathLike[str],
  config: runs.NetworkTraining,
  *,
  num_samples: int = 100,
  resume: bool = False,
  overwrite: bool = False,
  report: Callable[[nsn_jax.Progress], None] | None = None,
  mesh: jax.sharding.Mesh | None = None,
) -> Result:
  """Trains a network on a data set and leaves everything in a folder.

  After each layer the network so far and its metrics are on disk.

  Args:
    place: the folder, made if need be.
    config: data, network and seed; the pictures' samples have the seed, too.
    num_samples: in the sample grid.
    resume: goes on where training in this folder was broken off; begins where it never began, and
      only draws the pictures again where it ended.
    overwrite: removes what training left there before.
    report: called as training goes on, beside the progress line.
    mesh: as `nsn_jax.fit` takes it. Of several processes this is the first, and the others
      `following.follow` it.

  Returns:
    The network and its history.

  Raises:
    ValueError: for arguments that are not as above, a folder that already holds a model, or one
      that does not fit what is to go on.
    OSError: where the folder cannot be written, or another run uses it.
    workdir.Interrupted: on Ctrl-C; its message says what is kept.
  """
  if num_samples < 1:
    raise ValueError(f"num_samples: expected an integer of at least 1, got {num_samples!r}")
  with following.leading() as leader, workdir.using(place) as folder:
    return _train(folder, config, num_samples, resume, overwrite, report, mesh, leader)


def _train(
  folder: pathlib.Path,
  config: runs.NetworkTraining,
  num_samples: int,
  resume: bool,
  overwrite: bool,
  report: Callable[[nsn_jax.Progress], None] | None,
  mesh: jax.sharding.Mesh | None,
  leader: following.Leader,
) -> Result:
  """`train`, in a folder that no other run uses."""
  start = time.perf_counter()
  is_done = resume and (folder / runs.MODEL).is_file()
  # A finished network is not trained on, so that another preset does it no harm.
  decisive = [name for name in config.decisive if not (is_done and name == "network")]
  run = workdir.Run(folder, config.as_dict(), decisive, resume=resume, overwrite=overwrite)
  _check_use(folder, resume, overwrite)
  line = ProgressLine(len(config.network.layers))
  doing = "before the first layer"
  try:
    if is_done:
      leader.nothing_left()
      line.say(f"{folder} holds a finished network: only its pictures are drawn again")
      nsn, history = _loaded(folder / runs.MODEL), runs.read_metrics(folder)
      doing = "while drawing"
      draw(folder, nsn, history, config.seed, num_samples)
      if run.stored:  # It may have been broken off while drawing.
        run.keep_stored(finished=True, num_filters=list(nsn.num_filters))
      return Result(nsn, history, time.perf_counter() - start)
    dataset = config.data.load()
    images = dataset.images
    initial = None
    if run.stored and (folder / runs.PARTIAL).is_file():
      initial = _loaded(folder / runs.PARTIAL)
    elif run.stored and len(runs.read_metrics(folder)) > 1:  # Of one, its network may not be whole.
      raise ValueError(
        f"workdir: expected {runs.PARTIAL} in {str(folder)!r}, whose {runs.METRICS} tells of "
        "finished layers, got none: put it back, or give --overwrite to begin anew"
      )
    # What is known to fail must fail before anything is removed.
    network.map_sizes(images.shape[1:3], config.network.layers)
    leader.begin(*([] if initial is None else [folder / runs.PARTIAL]))
    before = float(run.stored.get("seconds", 0.0))
    facts = provenance.surroundings()
    run.begin(_OUTPUTS, provenance.describe(images), **facts, seconds=before)
    kept = 0 if initial is None else initial.num_layers
    runs.trim_metrics(folder, kept)
    line.say(
      f"{config.data.name}: {len(images):,} images of {'x'.join(map(str, images.shape[1:]))}; "
      f"{len(config.network.layers)} layers"
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
      runs.append_metrics(folder, nsn.num_layers - 1, records)
      nsn_jax.save(folder / runs.PARTIAL, nsn)
      run.write(seconds=before + time.perf_counter() - start)
      line.layer_done(nsn.num_layers - 1, records)

    start = time.perf_counter()  # Loading is not training.
    own, labels = following.share(dataset, mesh, config.network.num_shards)
    nsn = nsn_jax.fit(
      jax.random.key(config.seed),
      own,
      config.network,
      initial=initial,
      labels=labels,
      report=tell,
      on_layer=keep,
      memory_budget_gb=config.memory_budget_gb,
      mesh=mesh,
    )
    seconds = time.perf_counter() - start
    nsn_jax.save(folder / runs.MODEL, nsn)
    (folder / runs.PARTIAL).unlink(missing_ok=True)
    doing = "while drawing"
    history = runs.read_metrics(folder)
    draw(folder, nsn, history, config.seed, num_samples)
    run.write(seconds=before + seconds, finished=True, num_filters=list(nsn.num_filters))
    line.say(f"the network and its pictures are in {folder}")
    return Result(nsn, history, seconds)
  except KeyboardInterrupt:
    raise workdir.Interrupted(_farewell(folder, doing)) from None
  finally:
    line.close()


def draw(
  folder: pathlib.Path,
  nsn: nsn_jax.NSN,
  history: Sequence[Sequence[nsn_jax.Record]],
  seed: int,
  num_samples: int,
) -> None:
  """Draws the growth curve, each layer's filters and a grid of samples."""
  if history:
    plots.growth_curve(history, folder / "growth.png")
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
  sampler = dataclasses.replace(sampler, gamma=tuple(gamma), alpha=0.0, beta=1.0, decoder="drawn")
  nsn = dataclasses.replace(nsn, contrast=None)
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


def _loaded(path: pathlib.Path) -> nsn_jax.NSN:
  """A network to go on with; raises ValueError, which says what to do, for a damaged file."""
  try:
    return nsn_jax.load(path)
  except ValueError as error:
    raise ValueError(f"{error}: give --overwrite to begin anew") from error


def _farewell(folder: pathlib.Path, doing: str) -> str:
  """What to say on Ctrl-C."""
  kept = "finished layers are kept"
  if (folder / runs.MODEL).exists():
    kept = "the network is finished and kept"
  elif not (folder / runs.PARTIAL).exists():
    kept = "no layer is finished yet"
  return (
    f"interrupted {doing}; {kept}: go on with "
    f"python -m experiments.train --workdir={shlex.quote(str(folder))} --resume"
  )


def _check_use(folder: pathlib.Path, resume: bool, overwrite: bool) -> None:
  if resume and (folder / runs.PARTIAL).exists() and not (folder / workdir.CONFIG).exists():
    raise ValueError(
      f"resume: expected {workdir.CONFIG} beside {runs.PARTIAL}, which says what training began "
      f"with, got none in {str(folder)!r}: give --overwrite to begin anew"
    )
  if resume or overwrite:
    return
  for name, state in ((runs.MODEL, "a model"), (runs.PARTIAL, "a model trained in part")):
    if (folder / name).exists():
      raise ValueError(
        f"workdir: expected a folder without a model, got {str(folder)!r}, which holds {state}: "
        "give --resume to go on with it, or --overwrite to begin anew"
      )
