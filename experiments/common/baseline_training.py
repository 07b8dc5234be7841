"""Trains a baseline in a folder and keeps its score's curve over training.

The folder then holds `checkpoints/` (orbax, one an epoch, of which the last two are kept),
`config.json`, `epochs.jsonl` (a line an epoch: losses, diversity, time, and its scores),
`samples_epoch_007.png` and so on, from the same noise each, and `curve.png`.
"""

import dataclasses
import math
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax

from experiments.common import judging, pictures, plots, provenance, runs, workdir
from experiments.common.epoch_line import EpochLine
from nsn_jax import baselines, data
from nsn_jax.metrics import evaluation

__all__ = ["held_out", "load", "load_kind", "train"]

_OUTPUTS = (runs.EPOCHS, workdir.CONFIG, "samples_epoch_*.png", runs.CURVE)
_SHOWN = 100

_Kind = TypeVar("_Kind", bound=baselines.Baseline)


def train(
  place: str | os.PathLike[str],
  config: runs.BaselineTraining,
  *,
  resume: bool = False,
  overwrite: bool = False,
) -> tuple[baselines.Baseline, Any]:
  """Trains a baseline on a data set and leaves everything in a folder.

  Args:
    place: the folder, made if need be.
    config: data, model, epochs, seed and how it is scored along the way.
    resume: goes on where training in this folder was broken off.
    overwrite: removes what training left there before.

  Returns:
    The model and its trained state.

  Raises:
    ValueError: for arguments that are not as above, or a folder that does not fit them.
    OSError: where the folder cannot be written, or another run uses it.
    baselines.DivergedError: where a loss became NaN; the epochs before are kept.
    workdir.Interrupted: on Ctrl-C; finished epochs are kept.
  """
  with workdir.using(place) as folder:
    return _train(folder, config, resume, overwrite)


def _train(
  folder: pathlib.Path, config: runs.BaselineTraining, resume: bool, overwrite: bool
) -> tuple[baselines.Baseline, Any]:
  """`train`, in a folder that no other run uses."""
  if config.score_every:
    evaluation.check_count("score_samples", config.score_samples)
  loaded = config.data.load()
  made = baselines.make(config.model, loaded.images.shape[1:], **config.options)
  baselines.training_labels(made, loaded.labels, len(loaded.images))  # or nothing is begun
  num_epochs = made.default_epochs if config.num_epochs is None else config.num_epochs
  config = dataclasses.replace(config, num_epochs=num_epochs)
  judging_set = _judging_set(config, loaded)
  run = workdir.Run(folder, config.as_dict(), config.decisive, resume=resume, overwrite=overwrite)
  if workdir.read_config(folder) and not (resume or overwrite):
    raise ValueError(
      f"workdir: expected a folder without a training, got {str(folder)!r}: give --resume to go on "
      "with it, or --overwrite to begin anew"
    )
  if not (run.stored or overwrite) and any(
    (folder / name).exists() for name in (runs.CHECKPOINTS, runs.EPOCHS)
  ):
    raise ValueError(
      f"workdir: expected {workdir.CONFIG} beside {runs.CHECKPOINTS} and {runs.EPOCHS}, which says "
      f"what training began with, got none in {str(folder)!r}: give --overwrite to begin anew"
    )
  described = provenance.describe(loaded.images)
  run.check_images(described)
  rows: list[dict[str, Any]] = []
  state, first = None, 0
  if run.stored:
    rows, state, first = _resumed(folder, made)
    if run.stored.get("finished") and first >= num_epochs:
      return made, state  # And its record stays that of its training.
  against = None
  if judging_set is not None:
    # All images, whatever the limit of training.
    whole = config.data.replace(limit=None)
    judge = judging.judge(judging_set, data_dir=whole.data_dir, image_size=whole.image_size)
    sets = (whole.load(split).images for split in ("train", "test"))
    against = evaluation.reference(judge.classifier, *sets)
  # What is known to fail must fail before anything is removed; and a new record must not stand
  # beside another run's states.
  if not run.stored:
    shutil.rmtree(folder / runs.CHECKPOINTS, ignore_errors=True)
  run.begin(_OUTPUTS, described, **provenance.surroundings(), seconds=_seconds(rows))
  if run.stored:
    runs.write_epochs(folder, rows)
  train_key, show_key, score_key = jax.random.split(jax.random.key(config.seed), 3)
  line = EpochLine(num_epochs)
  try:
    with baselines.Checkpoints(folder / runs.CHECKPOINTS) as kept:
      kept.remove_after(first - 1 if first else None)

      def on_epoch(epoch: baselines.Epoch, state: Any) -> None:
        row: dict[str, Any] = epoch._asdict()
        shown = baselines.sample(show_key, made, state, _SHOWN)
        pictures.grid(shown, folder / f"samples_epoch_{epoch.epoch + 1:03d}.png", columns=10)
        last = epoch.epoch + 1 == num_epochs
        if against is not None and (last or (epoch.epoch + 1) % config.score_every == 0):
          samples = baselines.sample(score_key, made, state, config.score_samples)
          row["scores"] = evaluation.evaluate(score_key, against, samples).as_dict()
        # In this order: rows beyond the kept epochs are trimmed when training goes on, but the row
        # of a kept epoch is not made again.
        rows.append(row)
        runs.write_epochs(folder, rows)
        kept.save(epoch.epoch, state)
        line.epoch_done(row)
        if len(rows) > 1:
          plots.score_curve(rows, folder / runs.CURVE)

      if first < num_epochs:
        state = baselines.train(
          train_key,
          made,
          loaded.images,
          num_epochs=num_epochs,
          labels=loaded.labels if made.uses_labels else None,
          state=state,
          first_epoch=first,
          report=line,
          on_epoch=on_epoch,
        )
    run.write(seconds=_seconds(rows), finished=True)
    return made, state
  except KeyboardInterrupt:
    raise workdir.Interrupted(
      f"interrupted; {len(rows)} epochs are kept: go on with python -m experiments.train_baseline "
      f"--workdir={folder} --resume"
    ) from None
  finally:
    line.close()


def load(folder: pathlib.Path) -> tuple[baselines.Baseline, Any, dict[str, Any]]:
  """The model of a folder, its last state that is whole, and what its training began with.

  Raises:
    OSError: where nothing was trained there.
    ValueError: where its checkpoints are damaged, or not of its model.
  """
  facts = workdir.read_config(folder)
  if not facts or not (folder / runs.CHECKPOINTS).is_dir():
    raise OSError(
      f"workdir: expected a folder with a trained baseline, got {str(folder)!r}: train one with "
      "python -m experiments.train_baseline"
    )
  made = baselines.make(facts["model"], tuple(facts["data"]["shape"][1:]), **facts["options"])
  with baselines.Checkpoints(folder / runs.CHECKPOINTS) as kept:
    return made, _restored(kept, made)[1], facts


def load_kind(
  name: str, folder: str | os.PathLike[str], kind: type[_Kind], wanted: str
) -> tuple[_Kind, Any, dict[str, Any]]:
  """`load`, of a model of one kind.

  Args:
    name: of the flag that named the folder, for the error.
    folder: of the training.
    kind: that the model must be of.
    wanted: what that is called, for the error.

  Raises:
    OSError: where nothing was trained there.
    ValueError: for a model of another kind, or damaged checkpoints.
  """
  model, state, facts = load(pathlib.Path(folder))
  if not isinstance(model, kind):
    raise ValueError(f"{name}: expected {wanted}, got {model.title} in {os.fspath(folder)!r}")
  return model, state, facts


def held_out(facts: Mapping[str, Any], limit: int | None) -> runs.DataSpec:
  """The data that a training saw, at its size, of which the test images are so many at most."""
  return runs.DataSpec(facts["dataset"], facts["data_dir"], facts["image_size"], limit)


def _resumed(
  folder: pathlib.Path, made: baselines.Baseline
) -> tuple[list[dict[str, Any]], Any, int]:
  """The rows of the epochs that are kept, the state after them, and the epoch to go on with.

  Raises:
    ValueError: where epochs were trained whose states are gone or damaged.
  """
  rows = runs.read_epochs(folder)
  place = folder / runs.CHECKPOINTS
  with baselines.Checkpoints(place) as kept:
    if kept.last_epoch is not None:
      epoch, state = _restored(kept, made)
      return [row for row in rows if row["epoch"] <= epoch], state, epoch + 1
  if len(rows) > 1:
    raise ValueError(
      f"checkpoints: expected the states of {len(rows)} epochs in {str(place)!r}, got none: put "
      "them back, or give --overwrite to begin anew"
    )
  # Killed before the first epoch was whole, perhaps when its row was there.
  return [], None, 0


def _restored(kept: baselines.Checkpoints, made: baselines.Baseline) -> tuple[int, Any]:
  """The last epoch that is whole, and the state after it."""
  try:
    return kept.restore(jax.eval_shape(made.init, jax.random.key(0)))
  except ValueError as error:
    raise ValueError(f"{error}: give --overwrite to train anew") from error


def _judging_set(config: runs.BaselineTraining, loaded: data.Dataset) -> str | None:
  """The data set whose classifier scores the training; None where nothing is scored."""
  if not config.score_every:
    return None
  found = judging.judging_set(config.data.name, loaded.labels, config.scenes)
  if found is None:
    raise judging.no_judge(config.data.name, "--score_every=0")
  return found


def _seconds(rows: Sequence[Mapping[str, Any]]) -> float:
  """Time of training alone, without scores and pictures."""
  return math.fsum(row["seconds"] for row in rows)
