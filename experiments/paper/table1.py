"""Table 1: what NSN, GANs, a VAE and a PixelCNN are like, measured where it can be.

    python -m experiments.table1 --dataset=mnist --data_dir=... --workdir=runs/table1

Each model is trained from several seeds, in folders below the workdir (`nsn/seed0` and so on) or,
where they are there, found. `table1.json`, `table1.txt`: how many networks a model is, whether its
size is found or given, how far the scores of the seeds are spread, the time of a batch of samples
and whether its pixels come together, and the density that it gives held-out images, where it has
one. A row that is there already is not made again; all rows of a folder are of the same settings.
"""

import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

import nsn_jax
from experiments import contenders, scoring, tables, train_gan
from experiments import flags as command_line
from experiments import workdir as work
from nsn_jax import baselines, density

#: What can be trained.
MODELS = tuple(name for name in contenders.NAMES if name != "real")
#: Samples whose time is taken, and held-out images whose density is.
_BATCH, _HELD_OUT = 100, 1_000

_LINES: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
  ("networks", lambda row: str(row["num_networks"])),
  ("size", lambda row: "found" if row["size_is_found"] else "given"),
  ("parameters", lambda row: _range(row["num_parameters"], "{:,.0f}")),
  ("IS of each seed", lambda row: _scores(row["scores"])),
  ("collapsed", lambda row: _collapsed(row)),
  ("spread", lambda row: f"{row['spread']:.2f}" if row["spread"] is not None else "-"),
  ("epochs", lambda row: str(row["num_epochs"] or "-")),
  ("training", lambda row: tables.seconds(row["training_seconds"])),
  (f"{_BATCH} samples", lambda row: f"{row['batch_seconds'] * 1e3:.0f} ms"),
  ("steps one after the other", lambda row: str(row["num_steps"])),
  ("pixels come together", lambda row: "yes" if row["pixels_come_together"] else "no"),
  ("density", lambda row: row["density"]["kind"]),
  ("held-out density", lambda row: _density(row["density"])),
)


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides a row beside its model.

  Attributes:
    dataset: name, as `nsn_jax.data.load` takes it.
    num_seeds: trainings of each model.
    num_samples: that each training is scored on.
    num_epochs: of a baseline; None for each one's default.
    limit: number of training images at most.
  """

  dataset: str
  num_seeds: int = 5
  num_samples: int = 5_000
  num_epochs: int | None = None
  limit: int | None = None


def make_table(
  workdir: str | os.PathLike[str],
  models: Sequence[str],
  settings: Settings,
  judge: scoring.Judge,
  data_dir: str | None = None,
) -> list[dict[str, Any]]:
  """Makes the rows that are missing, and writes the table after each.

  Args:
    workdir: the folder, made if need be.
    models: "nsn", "nsn-plain", "nsn-large" and baselines' names.
    settings: of all rows.
    judge: whose classifier scores.
    data_dir: folder of the TFDS data sets.

  Returns:
    All rows, plain values.

  Raises:
    ValueError: for an unknown model, or settings that are not those of the rows in the folder.
    OSError: where the folder cannot be written.
  """
  folder = work.open_folder(workdir)
  contenders.check(models, MODELS)
  place = folder / "table1.json"
  stored = work.read_json(place).get("rows", [])
  for row in stored:
    work.check_table(dataclasses.asdict(settings), row["settings"], place)
  rows = {row["model"]: row for row in stored}
  for model in models:
    if model not in rows:
      rows[model] = make_row(model, folder / model, settings, judge, data_dir)
      work.write_json(place, {"rows": list(rows.values())})
      (folder / "table1.txt").write_text(as_text(list(rows.values())))
  return [rows[model] for model in models]


def make_row(
  model: str,
  folder: pathlib.Path,
  settings: Settings,
  judge: scoring.Judge,
  data_dir: str | None,
) -> dict[str, Any]:
  """A model trained from every seed, and measured."""
  folder.mkdir(exist_ok=True)
  scores: list[float | None] = []
  found: list[contenders.Contender] = []
  collapsed = 0
  for seed in range(settings.num_seeds):
    place = folder / f"seed{seed}"
    try:
      trained = contenders.find(
        model,
        place,
        dataset=settings.dataset,
        num_epochs=settings.num_epochs,
        data_dir=data_dir,
        limit=settings.limit,
        seed=seed,
      )
    except baselines.DivergedError as error:
      scores.append(None)  # An unstable training is a result here.
      print(f"{contenders.NAMES[model]}, seed {seed}: {error}", flush=True)
      continue
    found.append(trained)
    images = trained.sample(jax.random.key(seed), settings.num_samples)
    scores.append(scoring.score(judge, images).inception_score)
    if isinstance(trained.model, baselines.GAN):
      collapsed += train_gan.read_epochs(place)[-1]["collapsed"]
    print(f"{contenders.NAMES[model]}, seed {seed}: IS {scores[-1]:.2f}", flush=True)
  if not found:
    raise ValueError(f"models: expected one that can be trained, got {model!r}: all seeds diverged")
  finite = [score for score in scores if score is not None]
  first = found[0]
  is_nsn = isinstance(first.model, nsn_jax.NSN)
  is_gan = isinstance(first.model, baselines.GAN)
  has_two = is_gan or isinstance(first.model, baselines.VAE)
  size = math.prod(judge.test.images.shape[1:3])
  pixel_by_pixel = size if isinstance(first.model, baselines.PixelCNN) else 1
  steps = first.model.num_layers if is_nsn else pixel_by_pixel
  return {
    "model": model,
    "settings": dataclasses.asdict(settings),
    "num_networks": 2 if has_two else 1,
    "size_is_found": is_nsn,
    "num_filters": [list(one.model.num_filters) for one in found] if is_nsn else None,
    "num_parameters": [one.num_parameters for one in found],
    "scores": scores,
    "num_collapsed": collapsed if is_gan else None,
    "num_epochs": first.facts.get("num_epochs"),
    "spread": float(np.std(finite, ddof=1)) if len(finite) > 1 else None,
    "training_seconds": float(np.mean([one.facts["seconds"] for one in found])),
    "batch_seconds": batch_seconds(first),
    "num_steps": steps,
    "pixels_come_together": steps < size,
    "density": held_out_density(jax.random.key(0), first, judge.test.images[:_HELD_OUT]),
    **work.record(),
  }


def batch_seconds(found: contenders.Contender) -> float:
  """The least time of three that a batch of samples takes, compiled before."""
  key = jax.random.key(0)
  times = []
  for _ in range(4):
    start = time.perf_counter()
    found.sample(key, _BATCH)
    times.append(time.perf_counter() - start)
  return min(times[1:])


def held_out_density(
  key: jax.Array, found: contenders.Contender, images: npt.NDArray[np.uint8]
) -> dict[str, Any]:
  """The density of held-out images, as far as a model has one: its kind, and plain values.

  The three kinds are not comparable: NSN's is of each layer's patches, the VAE's is a bound and of
  pixels as probabilities of white, the PixelCNN's is exact and of 8-bit pixels.
  """
  model, state = found.model, found.state
  if isinstance(model, nsn_jax.NSN):
    fits = [fit._asdict() for fit in density.layer_fits(model, images)]
    return {"kind": "mixture a layer, nats a value", "layers": fits}
  signed = baselines.to_signed(images)
  if isinstance(model, baselines.VAE):
    parts = jax.jit(model.negative_elbo)(key, state.encoder, state.decoder, signed)
    nats = float(parts[0] + parts[1]) / math.prod(model.image_shape)
    return {"kind": "bound, bits a value", "bits": nats / math.log(2)}
  if isinstance(model, baselines.PixelCNN):
    batches = (signed[i : i + _BATCH] for i in range(0, len(signed), _BATCH))
    of_batch = jax.jit(model.bits)  # By single operations it would take several times as long.
    bits = np.concatenate([np.asarray(of_batch(state.params, batch)) for batch in batches])
    return {"kind": "exact, bits a value", "bits": float(bits.mean())}
  return {"kind": "none"}


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The table, a column a model, as the paper has it."""
  head = ["", *(contenders.NAMES[row["model"]] for row in rows)]
  return [head, *([name, *map(show, rows)] for name, show in _LINES)]


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
  """The table for a terminal."""
  return f"{caption(rows)}\n{tables.aligned(cells(rows))}\n"


def caption(rows: Sequence[Mapping[str, Any]]) -> str:
  """What the table is of."""
  settings = rows[0]["settings"]
  images = "all" if settings["limit"] is None else f"{settings['limit']:,}"
  return (
    f"{settings['dataset']}, {images} training images; each score is of "
    f"{settings['num_samples']:,} samples"
  )


def _collapsed(row: Mapping[str, Any]) -> str:
  """How many of the trainings ended with samples all alike: GANs are watched for it."""
  if row["num_collapsed"] is None:
    return "-"
  return f"{row['num_collapsed']} of {len(row['scores'])}"


def _range(values: Sequence[float], form: str) -> str:
  low, high = (form.format(value) for value in (min(values), max(values)))
  return low if low == high else f"{low} to {high}"


def _scores(values: Sequence[float | None]) -> str:
  return " ".join("diverged" if value is None else f"{value:.2f}" for value in values)


def _density(found: Mapping[str, Any]) -> str:
  if "layers" in found:
    return " ".join(f"{layer['log_density']:+.2f}" for layer in found["layers"])
  return f"{found['bits']:.3f}" if "bits" in found else "-"


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("dataset", "mnist", "Data set, one with labels.")
  command_line.define_data_dir()
  flags.DEFINE_list("models", ["nsn", "vae", "pixelcnn", "dcgan"], f"Of {', '.join(MODELS)}.")
  flags.DEFINE_integer("num_seeds", 5, "Trainings of each model.", lower_bound=1)
  flags.DEFINE_integer("num_epochs", None, "Of a baseline; each one's default.", lower_bound=1)
  flags.DEFINE_integer("limit", None, "Takes the first images only, so many.", lower_bound=1)
  command_line.define_num_samples(5_000)


def _main() -> None:
  given = flags.FLAGS
  workdir = command_line.required("workdir", "a folder")
  settings = Settings(
    given.dataset, given.num_seeds, given.num_samples, given.num_epochs, given.limit
  )
  judge = scoring.judge(given.dataset, data_dir=given.data_dir)
  print(as_text(make_table(workdir, given.models, settings, judge, given.data_dir)))


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
