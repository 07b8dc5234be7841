"""Trains a baseline, a GAN or a VAE, and keeps its score's curve over training.

    python -m experiments.train_gan --model=dcgan --dataset=mnist --data_dir=... --workdir=runs/gan
    python -m experiments.train_gan --workdir=runs/gan --resume     # goes on after Ctrl-C

The folder then holds `checkpoints/` (orbax, one an epoch, of which the last two are kept),
`config.json`, `epochs.jsonl` (a line an epoch: losses, diversity, time, and its scores),
`samples_epoch_007.png` and so on, from the same noise each, and `curve.png`.
"""

import json
import math
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import flags
from tqdm import tqdm

from experiments import evaluation, pictures, scoring
from experiments import flags as command_line
from experiments import workdir as work
from nsn_jax import baselines, data

EPOCHS = "epochs.jsonl"
CHECKPOINTS = "checkpoints"
CURVE = "curve.png"
_OUTPUTS = (EPOCHS, work.CONFIG, "samples_epoch_*.png", CURVE)
#: Must be the same where training goes on.
_DECISIVE = ("model", "options", "dataset", "image_size", "limit", "seed")

#: Epochs by default: 60,000 images take about an hour on two CPU cores, a VAE two minutes, GANs of
#: `--width=32` a quarter of an hour.
_NUM_EPOCHS = {"dcgan": 16, "wgan": 40, "lsgan": 16, "vae": 50, "pixelcnn": 5}
_SHOWN = 100


def train(
  *,
  workdir: str | os.PathLike[str],
  model: str,
  dataset: str,
  num_epochs: int | None = None,
  options: Mapping[str, Any] | None = None,
  data_dir: str | None = None,
  image_size: int | None = None,
  limit: int | None = None,
  seed: int = 0,
  score_every: int = 1,
  score_samples: int = 10_000,
  scenes: str | None = None,
  resume: bool = False,
  overwrite: bool = False,
) -> tuple[baselines.Baseline, Any]:
  """Trains a baseline on a data set and leaves everything in a folder.

  Args:
    workdir: the folder, made if need be.
    model: name, as `nsn_jax.baselines.make` takes it.
    dataset: name, as `nsn_jax.data.load` takes it; so are `data_dir`, `image_size` and `limit`.
    num_epochs: in all, with those before a resumption; None for the model's own default.
    options: fields of the model that differ from its recipe.
    data_dir: folder of the TFDS data sets.
    image_size: side to which images are resized.
    limit: number of images at most.
    seed: of training.
    score_every: epochs between two scores; 0 for none.
    score_samples: samples that are scored.
    scenes: folder of labelled scenes, whose classifier judges what has no labels.
    resume: goes on where training in this folder was broken off.
    overwrite: removes what training left there before.

  Returns:
    The model and its trained state.

  Raises:
    ValueError: for arguments that are not as above, or a folder that does not fit them.
    OSError: where the folder cannot be written.
    baselines.DivergedError: where a loss became NaN; the epochs before are kept.
    flags.Interrupted: on Ctrl-C; finished epochs are kept.
  """
  folder = work.open_folder(workdir)
  num_epochs = _NUM_EPOCHS.get(model, 10) if num_epochs is None else num_epochs
  facts: dict[str, Any] = {
    "model": model,
    "options": dict(options or {}),
    "dataset": dataset,
    "data_dir": data_dir,
    "image_size": image_size,
    "limit": limit,
    "seed": seed,
    "num_epochs": num_epochs,
    "scenes": scenes,
    "score_every": score_every,
    "score_samples": score_samples,
  }
  loaded = data.load(dataset, data_dir=data_dir, image_size=image_size, limit=limit)
  made = baselines.make(model, loaded.images.shape[1:], **facts["options"])
  facts["data"] = work.describe(loaded.images)
  judging = scoring.judging_set(dataset, loaded.labels, scenes) if score_every else None
  if score_every and judging is None:
    raise scoring.no_judge(dataset, "--score_every=0")
  stored = _stored(folder, facts, resume, overwrite)
  rows = read_epochs(folder) if stored else []
  if stored.get("finished") and len(rows) >= num_epochs:
    return load(folder)[:2]  # And its record stays that of its training.
  against = None
  if judging is not None:
    # All images, whatever the limit of training.
    sets = (
      data.load(dataset, split=split, data_dir=data_dir, image_size=image_size)
      for split in ("train", "test")
    )
    network = scoring.judge(judging, data_dir=data_dir, image_size=image_size).classifier
    against = evaluation.reference(network, *sets)
  if not stored:  # What is known to fail must fail before anything is removed.
    work.remove(folder, _OUTPUTS)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
  train_key, show_key, score_key = jax.random.split(jax.random.key(seed), 3)
  facts |= work.surroundings()
  work.write_json(folder / work.CONFIG, facts | {"seconds": _seconds(rows), "finished": False})
  line = _Line(num_epochs)
  try:
    with baselines.Checkpoints(folder / CHECKPOINTS) as kept:
      state, first = None, 0
      if stored and kept.last_epoch is not None:
        state = kept.restore(jax.eval_shape(made.init, train_key))
        first = kept.last_epoch + 1
        rows = rows[:first]
        _write_epochs(folder, rows)

      def on_epoch(epoch: baselines.Epoch, state: Any) -> None:
        row: dict[str, Any] = epoch._asdict()
        shown = baselines.sample(show_key, made, state, _SHOWN)
        pictures.grid(shown, folder / f"samples_epoch_{epoch.epoch + 1:03d}.png", columns=10)
        last = epoch.epoch + 1 == num_epochs
        if against is not None and (last or (epoch.epoch + 1) % score_every == 0):
          samples = baselines.sample(score_key, made, state, score_samples)
          row["scores"] = evaluation.evaluate(score_key, against, samples).as_dict()
        kept.save(epoch.epoch, state)
        rows.append(row)
        _write_epochs(folder, rows)
        line.epoch_done(row)
        if len(rows) > 1:
          pictures.score_curve(rows, folder / CURVE)

      state = (
        baselines.train(
          train_key,
          made,
          loaded.images,
          num_epochs=num_epochs,
          state=state,
          first_epoch=first,
          report=line,
          on_epoch=on_epoch,
        )
        if first < num_epochs
        else state
      )
    work.write_json(folder / work.CONFIG, facts | {"seconds": _seconds(rows), "finished": True})
    return made, state
  except KeyboardInterrupt:
    raise command_line.Interrupted(
      f"interrupted; {len(rows)} epochs are kept: go on with python -m experiments.train_gan "
      f"--workdir={folder} --resume"
    ) from None
  finally:
    line.close()


def load(folder: pathlib.Path) -> tuple[baselines.Baseline, Any, dict[str, Any]]:
  """The model of a folder, its last state, and what its training began with.

  Raises:
    OSError: where nothing was trained there.
    ValueError: where its checkpoint is not of its model.
  """
  facts = work.read_config(folder)
  if not facts or not (folder / CHECKPOINTS).is_dir():
    raise OSError(
      f"workdir: expected a folder with a trained baseline, got {str(folder)!r}: train one with "
      "python -m experiments.train_gan"
    )
  made = baselines.make(facts["model"], tuple(facts["data"]["shape"][1:]), **facts["options"])
  with baselines.Checkpoints(folder / CHECKPOINTS) as kept:
    return made, kept.restore(jax.eval_shape(made.init, jax.random.key(0))), facts


def read_epochs(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The records of the finished epochs."""
  try:
    text = (folder / EPOCHS).read_text()
  except FileNotFoundError:
    return []
  return [json.loads(row) for row in text.splitlines()]


def _write_epochs(folder: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
  temporary = folder / f"{EPOCHS}.tmp"
  temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
  temporary.replace(folder / EPOCHS)


def _seconds(rows: Sequence[Mapping[str, Any]]) -> float:
  """Time of training alone, without scores and pictures."""
  return math.fsum(row["seconds"] for row in rows)


def _stored(
  folder: pathlib.Path, facts: Mapping[str, Any], resume: bool, overwrite: bool
) -> dict[str, Any]:
  """What training in the folder began with, where it is to go on; else an empty folder's worth."""
  work.check_resumption(resume, overwrite)
  stored = work.read_config(folder)
  if stored and resume:
    work.check_same(facts, stored, _DECISIVE, folder)
    work.check_same_data(facts, stored, folder)
    return stored
  if stored and not overwrite:
    raise ValueError(
      f"workdir: expected a folder without a training, got {str(folder)!r}: give --resume to go on "
      "with it, or --overwrite to begin anew"
    )
  return {}


class _Line:
  """A progress bar over an epoch's steps, and a line that stays for each epoch."""

  def __init__(self, num_epochs: int):
    self.num_epochs = num_epochs
    self._bar: tqdm | None = None

  def __call__(self, at: baselines.Progress) -> None:
    if self._bar is None:
      name = f"epoch {at.epoch + 1}/{self.num_epochs}"
      self._bar = tqdm(total=at.num_steps, desc=name, unit="step", leave=False, disable=None)
    self._bar.set_postfix({key: f"{value:.3g}" for key, value in at.metrics.items()}, refresh=False)
    self._bar.update(at.step - self._bar.n)

  def epoch_done(self, row: Mapping[str, Any]) -> None:
    """Says what an epoch came to."""
    self.close()
    parts = [f"epoch {row['epoch'] + 1}/{self.num_epochs}: {row['seconds']:.0f} s"]
    parts += [f"{name} {value:.3g}" for name, value in row["metrics"].items()]
    if row["collapsed"]:
      parts.append(f"samples are nearly all alike (diversity {row['diversity']:.2f}): collapsed?")
    print(", ".join(parts), flush=True)
    if "scores" in row:
      print(f"  {evaluation.of(row['scores']).row()}", flush=True)

  def close(self) -> None:
    """Takes the bar away."""
    if self._bar is not None:
      self._bar.close()
      self._bar = None


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_enum("model", None, sorted(baselines.MODELS), "The baseline.")
  command_line.define_data()
  flags.DEFINE_integer("num_epochs", None, "Epochs in all; the model's own default.", lower_bound=1)
  flags.DEFINE_integer(
    "width",
    None,
    "Channels of a GAN's first layer and of a PixelCNN, hidden width of a VAE.",
    lower_bound=1,
  )
  flags.DEFINE_integer("score_every", 1, "Epochs between two scores; 0 for none.", lower_bound=0)
  flags.DEFINE_integer("score_samples", 10_000, "Samples that are scored.", lower_bound=100)
  command_line.define_scenes()
  command_line.define_seed("Seed of training.")
  command_line.define_resumption()


def _main() -> None:
  given = flags.FLAGS
  workdir = command_line.required("workdir", "a folder")
  stored = work.read_config(pathlib.Path(workdir)) if given.resume else {}
  setting = command_line.resumed(stored)
  model, dataset = setting("model"), setting("dataset")
  for name, value, known in (("model", model, baselines.MODELS), ("dataset", dataset, data.NAMES)):
    if not value:
      raise ValueError(f"{name}: expected one of {', '.join(known)}, got none: give --{name}=...")
  options = stored.get("options", {})
  if given.width is not None:
    options = {"hidden" if model == "vae" else "width": given.width}
  train(
    workdir=workdir,
    model=model,
    dataset=dataset,
    num_epochs=setting("num_epochs"),
    options=options,
    data_dir=setting("data_dir"),
    image_size=setting("image_size"),
    limit=setting("limit"),
    seed=setting("seed"),
    score_every=setting("score_every"),
    score_samples=setting("score_samples"),
    scenes=setting("scenes"),
    resume=given.resume,
    overwrite=given.overwrite,
  )


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
