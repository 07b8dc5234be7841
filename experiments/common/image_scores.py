"""Scores of anybody's generated images against anybody's real ones, by one judge."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax

from experiments.common import image_sets, judging, reference_files, runs
from nsn_jax import data, metrics
from nsn_jax.metrics import evaluation
from nsn_jax.metrics.inception.network import SIZE

__all__ = ["score"]

#: Of KID's subsets and of the images that precision and recall are taken of: always the same one.
_SEED = 0


def score(
  real: runs.DataSpec,
  generated: str,
  *,
  judge: str | None = None,
  network: str = "classifier",
  inception_weights: str | os.PathLike[str] | None = None,
  reference: str | os.PathLike[str] | None = None,
  say: Callable[[str], None] = print,
) -> dict[str, Any]:
  """Scores generated images, and held-out real ones for comparison.

  Args:
    real: the real images. Its size is that of all images; None for the judge's own, and with
      Inception weights for the real images' own.
    generated: name of the generated ones, as `nsn_jax.data.load` takes it: `folder:PATH`,
      `npz:PATH` or any other; all of them count, as there is nothing to hold out.
    judge: labelled data set whose classifier judges; None for the real one itself.
    network: what the classifier is, of `judging.NETWORKS`.
    inception_weights: Inception v3's file, instead of a classifier.
    reference: file of what the judge made of the real images; made where it is not there, else
      read, which saves the time.
    say: takes the lines, one after the other.

  Returns:
    Plain values: who judged, of which images, and all scores.

  Raises:
    ValueError: for arguments that are not as above, too few images, or a reference of others.
    OSError: where data, weights or the reference's folder are missing.
  """
  if inception_weights and (judge or network != "classifier"):
    raise ValueError("judge: expected a classifier or Inception's weights, got both")
  place = None if reference is None else pathlib.Path(reference)
  if place is not None and not place.parent.is_dir():
    raise FileNotFoundError(f"reference: expected a folder for {str(place)!r}, found none")
  sets = image_sets.real(real, _shape(judge, real) if judge else None)
  if not (judge or inception_weights or sets.has_labels):
    raise judging.no_judge(real.name, "--inception_weights=...", flag="judge")
  shape = sets.train.shape[1:]
  if inception_weights and max(shape[:2]) > SIZE:
    # What it does to larger images is not antialiased.
    raise ValueError(
      f"image_size: expected at most {SIZE} with Inception's weights, got "
      f"{shape[0]}x{shape[1]}: give --image_size={SIZE}"
    )
  images = image_sets.everything(runs.DataSpec(generated, real.data_dir), shape)
  # Before a judge is trained.
  for what, count in (
    (f"real images of {real.name}", len(sets.train)),
    (f"held-out images of {real.name}", len(sets.held_out)),
    (f"generated images of {generated}", len(images)),
  ):
    evaluation.check_count(what, count)
  name, judged_by = _judge(judge or real.name, network, inception_weights, real)
  held_out = (
    "its test images" if sets.has_test_split else "a half of its images, as it has no test images"
  )
  say(f"judge: {name}, of images of {'x'.join(map(str, shape))}")
  say(f"real: {len(sets.train):,} images of {real.name}; held out: {held_out}")
  against, own = _reference(place, judged_by, sets, say)
  say(f"real, held out, {own.num_images:,}: {own.row()}")
  found = evaluation.evaluate(jax.random.key(_SEED), against, images)
  say(f"generated, {found.num_images:,}: {found.row()}")
  if found.num_images != own.num_images:
    say(
      f"FID falls with the number of images: of {own.num_images:,} and of {found.num_images:,} it "
      "is not to be compared, KID is"
    )
  return {
    "judge": name,
    "image_shape": list(shape),
    "real": {"name": real.name, "num_train": len(sets.train), "held_out": held_out} | own.as_dict(),
    "generated": {"name": generated, **found.as_dict()},
  }


def _shape(judge: str, real: runs.DataSpec) -> image_sets.Shape:
  """What the judge's images are like, before it is trained."""
  first = data.load(judge, data_dir=real.data_dir, image_size=real.image_size, limit=1)
  return first.images.shape[1:]


def _judge(
  judge: str,
  network: str,
  inception_weights: str | os.PathLike[str] | None,
  real: runs.DataSpec,
) -> tuple[str, metrics.Network]:
  """The network and what it is called."""
  if inception_weights:
    return "ImageNet Inception v3", metrics.load_inception(inception_weights)
  found = judging.judge(judge, data_dir=real.data_dir, image_size=real.image_size, network=network)
  return judging.title(judge, judge, found.test_accuracy, network), found.classifier


def _reference(
  place: pathlib.Path | None,
  judged_by: metrics.Network,
  sets: image_sets.Real,
  say: Callable[[str], None],
) -> tuple[evaluation.Reference, evaluation.Evaluation]:
  """The real images as the network sees them, and the held-out ones' own scores."""
  identity = None
  if place is not None:
    identity = reference_files.identify(judged_by, sets.train, sets.held_out)
    if place.exists():
      kept = reference_files.read(place, identity)
      say(f"reference: as {place} has it")
      against = evaluation.Reference(
        judged_by,
        sets.train,
        kept.held_out_distances,
        kept.features,
        metrics.feature_statistics(kept.features),
      )
      return against, kept.held_out
  against = evaluation.reference(judged_by, sets.train, sets.held_out)
  own = evaluation.evaluate(jax.random.key(_SEED), against, sets.held_out)
  if place is not None and identity is not None:
    statistics = reference_files.Statistics(against.features, against.held_out_distances, own)
    reference_files.write(place, identity, statistics)
    say(f"reference: wrote {place}")
  return against, own
