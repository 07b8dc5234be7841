"""What scores need of real images, kept in a file: a large network need not see them again.

The file says by which judge and of which images it is. It is an `.npz` of plain arrays: the
features of the images, the pixel distances of held-out ones, and JSON on what they are of, with a
checksum.
"""

import dataclasses
import json
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import files, metrics
from nsn_jax.data import archive
from nsn_jax.metrics import evaluation

__all__ = ["Identity", "Statistics", "identify", "read", "write"]

#: Part of every file: raise it when the same judge and images begin to give other numbers.
_VERSION = 1
#: The array of the file that holds JSON.
_ABOUT = "about"


class Identity(NamedTuple):
  """Checksums of what statistics are of.

  Attributes:
    judge: of the network's weights.
    images: of the real images, those that are held out among them.
  """

  judge: str
  images: str


class Statistics(NamedTuple):
  """What is kept.

  Attributes:
    features: of the training images, float32 [N, D].
    held_out_distances: of each held-out image to the nearest training image, float64 [M].
    held_out: scores of the held-out images.
  """

  features: npt.NDArray[np.float32]
  held_out_distances: npt.NDArray[np.float64]
  held_out: evaluation.Evaluation


def identify(
  network: metrics.Network, train: npt.NDArray[np.uint8], held_out: npt.NDArray[np.uint8]
) -> Identity:
  """Checksums of a judge, which is a dataclass of arrays, and of real images [N, H, W, C]."""
  leaves = jax.tree_util.tree_leaves_with_path(network)
  weights = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
  static = {
    field.name: repr(getattr(network, field.name))
    for field in dataclasses.fields(network)  # type: ignore[arg-type]
    if field.metadata.get("static")
  }
  kind = json.dumps([type(network).__name__, static])
  return Identity(files.digest(weights, kind), files.digest({"train": train, "held_out": held_out}))


def write(path: pathlib.Path, identity: Identity, statistics: Statistics) -> None:
  """Writes a file whole; raises OSError where it cannot."""
  arrays: dict[str, Any] = {
    "features": statistics.features,
    "held_out_distances": statistics.held_out_distances,
  }
  about: dict[str, Any] = {"version": _VERSION, **identity._asdict()}
  about["scores"] = statistics.held_out.as_dict()
  about["digest"] = _digest(arrays, about)
  arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
  with files.replacing(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **arrays)


def read(path: pathlib.Path, identity: Identity) -> Statistics:
  """What `write` wrote; the file need not be trusted.

  Args:
    path: of the file.
    identity: of the judge and the images at hand.

  Raises:
    ValueError: for a damaged file, or one by another judge or of other images.
    OSError: where there is none.
  """
  if not path.is_file():
    raise FileNotFoundError(f"reference: expected a file, found none at {path}")
  anew = "give another file, or remove it to have it made anew"
  try:
    statistics, found = _read(path)
  # Whatever a damaged file can make of the libraries below, lack of memory among it.
  except Exception as error:
    said = str(error).partition("\n")[0]
    raise ValueError(
      f"reference: expected statistics that --reference wrote, got {path}, which is damaged or "
      f"something else ({said:.300}): {anew}"
    ) from error
  for what, expected, given in (
    ("the judge", identity.judge, found.judge),
    ("the real images", identity.images, found.images),
  ):
    if given != expected:
      raise ValueError(
        f"reference: expected statistics of {what} at hand, got {path}, which is of others: {anew}"
      )
  return statistics


def _read(path: pathlib.Path) -> tuple[Statistics, Identity]:
  """Raises nearly anything for a damaged file."""
  with archive.opened(path) as file:
    arrays = file.read(file.names)
  about = json.loads(arrays.pop(_ABOUT).tobytes())
  digest = about.pop("digest")
  if about["version"] != _VERSION or digest != _digest(arrays, about):
    raise ValueError("its checksum or version is another")
  features, distances = arrays.pop("features"), arrays.pop("held_out_distances")
  if arrays or features.dtype != np.float32 or features.ndim != 2 or 0 in features.shape:
    raise ValueError(f"features are {features.dtype} {features.shape}")
  if distances.dtype != np.float64 or distances.ndim != 1 or not distances.size:
    raise ValueError(f"distances are {distances.dtype} {distances.shape}")
  if not (np.isfinite(features).all() and np.isfinite(distances).all() and distances.min() >= 0):
    raise ValueError("values are not finite, or distances below 0")
  scores = evaluation.Evaluation.from_row(about["scores"])
  if not all(type(value) in (int, float) for value in scores.as_dict().values()):
    raise ValueError("scores are no numbers")
  return Statistics(features, distances, scores), Identity(about["judge"], about["images"])


def _digest(arrays: dict[str, npt.NDArray], about: dict[str, Any]) -> str:
  return files.digest(arrays, json.dumps(about, sort_keys=True))
