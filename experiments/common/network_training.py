"""Trains a network in a folder and draws what it found.

The folder then holds `model.safetensors`, `config.json` (what was asked for, and on what it ran),
`metrics.jsonl` (one line a training step), `growth.png`, `filters_layer0.png` and so on (each
layer's filters decoded to pixels) and `samples.png`. As long as training goes on there are
`model.partial.safetensors`, the finished layers, and `state.safetensors`, where it is within the
next: what `resume` goes on from, to the same bytes.
"""

import dataclasses
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import nsn_jax
from experiments.common import following, pictures, plots, provenance, runs, workdir
from experiments.common.kept_training import KeptTraining
from experiments.common.progress_line import ProgressLine
from nsn_jax import network

__all__ = ["Result", "draw", "draw_filters", "train"]

#: What a launcher may leave in a workdir: `--overwrite` takes these away and nothing else.
_OUTPUTS = (
  runs.MODEL,
  runs.PARTIAL,
  runs.STATE,
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
  checkpoint_seconds: float = 60.0,
  report: Callable[[nsn_jax.Progress], None] | None = None,
  mesh: jax.sharding.Mesh | None = None,
) -> Result:
  """Trains a network on a data set and leaves everything in a folder.

  After each layer the network so far and its metrics are on disk, and now and then where training
  is within a layer.

  Args:
    place: the folder, made if need be.
    config: data, network and seed; the pictures' samples have the seed, too.
    num_samples: in the sample grid.
    resume: goes on where training in this folder was broken off; begins where it never began, and
      only draws the pictures again where it ended.
    overwrite: removes what training left there before.
    checkpoint_seconds: between two states within a layer that are written, at least 0; 0 for one
      after each step, which training then waits for.
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
  if not 0 <= checkpoint_seconds < float("inf"):
    raise ValueError(
      f"checkpoint_seconds: expected a number of at least 0, got {checkpoint_seconds!r}"
    )
  with following.leading() as leader, workdir.using(place) as folder:
    return _train(
      folder, config, num_samples, resume, overwrite, checkpoint_seconds, report, mesh, leader
    )


def _begun(folder: pathlib.Path) -> dict[str, Any]:
  """What training in this folder began with; fields of its time's network alone have defaults."""
  stored = workdir.read_config(folder)
  try:
    network = nsn_jax.NetworkConfig.from_plain(stored["network"])
  except (LookupError, TypeError, ValueError):  # A foreign one, which is refused as it stands.
    return stored
  return stored | {"network": runs.plain(network)}


def _train(
  folder: pathlib.Path,
  config: runs.NetworkTraining,
  num_samples: int,
  resume: bool,
  overwrite: bool,
  checkpoint_seconds: float,
  report: Callable[[nsn_jax.Progress], None] | None,
  mesh: jax.sharding.Mesh | None,
  leader: following.Leader,
) -> Result:
  """`train`, in a folder that no other run uses."""
  start = time.perf_counter()
  is_done = resume and (folder / runs.MODEL).is_file()
  # A finished network is not trained on, so that another preset does it no harm.
  decisive = [name for name in config.decisive if not (is_done and name == "network")]
  run = workdir.Run(
    folder, config.as_dict(), decisive, resume=resume, overwrite=overwrite, read=_begun
  )
  _check_use(folder, resume, overwrite)
  line = ProgressLine(len(config.network.layers))
  kept = KeptTraining(
    folder / runs.PARTIAL, folder / runs.STATE, runs.loaded, checkpoint_seconds, line.say
  )
  doing = "before the first layer"
  try:
    if is_done:
      leader.nothing_left()
      line.say(f"{folder} holds a finished network: only its pictures are drawn again")
      nsn, history = runs.loaded(folder / runs.MODEL), runs.read_metrics(folder)
      kept.finish()  # Of a process that was killed just then.
      doing = "while drawing"
      draw(folder, nsn, history, config.seed, num_samples)
      if run.stored:  # It may have been broken off while drawing.
        run.keep_stored(finished=True, num_filters=list(nsn.num_filters))
      return Result(nsn, history, time.perf_counter() - start)
    dataset = config.data.load()
    images = dataset.images
    if run.stored:
      kept.load()
    # Of one layer, its network may not be whole.
    if run.stored and kept.network is None and len(runs.read_metrics(folder)) > 1:
      raise ValueError(
        f"workdir: expected {runs.PARTIAL} in {str(folder)!r}, whose {runs.METRICS} tells of "
        "finished layers, got none: put it back, or give --overwrite to begin anew"
      )
    # What is known to fail must fail before anything is removed.
    network.map_sizes(images.shape[1:3], config.network.layers)
    leader.begin(
      *([] if kept.network is None else [folder / runs.PARTIAL]),
      *([] if kept.state is None else [folder / runs.STATE]),
    )
    before = float(run.stored.get("seconds", 0.0))
    facts = provenance.surroundings()
    run.begin(_OUTPUTS, provenance.describe(images), **facts, seconds=before)
    runs.trim_metrics(folder, kept.num_layers)
    line.say(
      f"{config.data.name}: {len(images):,} images of {'x'.join(map(str, images.shape[1:]))}; "
      f"{len(config.network.layers)} layers"
      + (f", {kept.num_layers} of them trained before" if kept.num_layers else "")
      + (f", layer {kept.state.layer} in part" if kept.state else "")
      + f"; on {facts['device']}"
    )

    def tell(at: nsn_jax.Progress) -> None:
      nonlocal doing
      doing = f"in layer {at.layer}"
      line(at)
      if report is not None:
        report(at)

    def begun(nsn: nsn_jax.NSN) -> None:
      kept.on_begin(nsn)
      if not nsn.num_layers and kept.state is None:
        run.write(seconds=before + time.perf_counter() - start)

    def keep(nsn: nsn_jax.NSN, records: list[nsn_jax.Record]) -> None:
      # In this order: metrics beyond the kept layers are trimmed when training goes on.
      runs.append_metrics(folder, nsn.num_layers - 1, records)
      kept.on_layer(nsn)
      run.write(seconds=before + time.perf_counter() - start)
      line.layer_done(nsn.num_layers - 1, records)

    own, labels = following.share(dataset, mesh, config.network.num_shards)

    def fit() -> nsn_jax.NSN:
      return nsn_jax.fit(
        jax.random.key(config.seed),
        own,
        config.network,
        initial=kept.network,
        labels=labels,
        report=tell,
        on_begin=begun,
        on_layer=keep,
        memory_budget_gb=config.memory_budget_gb,
        state=kept.state,
        on_state=kept.on_state,
        mesh=mesh,
      )

    # Loading is not training. What was spent within a layer counts when the layer is finished.
    start = time.perf_counter()
    before += kept.seconds
    try:
      nsn = fit()
    except nsn_jax.StateError as error:  # Before any layer is trained.
      before -= kept.seconds
      kept.refuse(error)
      nsn = fit()
    seconds = time.perf_counter() - start
    nsn_jax.save(folder / runs.MODEL, nsn)
    kept.finish()
    doing = "while drawing"
    history = runs.read_metrics(folder)
    draw(folder, nsn, history, config.seed, num_samples)
    run.write(seconds=before + seconds, finished=True, num_filters=list(nsn.num_filters))
    line.say(f"the network and its pictures are in {folder}")
    return Result(nsn, history, seconds)
  except KeyboardInterrupt:
    kept.close()
    raise workdir.Interrupted(_farewell(folder, doing, kept)) from None
  finally:
    kept.close()
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


def _farewell(folder: pathlib.Path, doing: str, kept: KeptTraining) -> str:
  """What to say on Ctrl-C."""
  is_done = (folder / runs.MODEL).exists()
  what = "the network is finished and kept" if is_done else str(kept)
  return (
    f"interrupted {doing}; {what}: go on with "
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
