"""A data set in the cache: a folder with the arrays, and what is known of them.

`images.npy` is uint8 [N, H, W, C], `labels.npy` int32 [N] where there are labels, `about.json` says
to which request they are the answer.
"""

import json
import pathlib
from collections.abc import Sequence

import numpy as np

from nsn_jax import files
from nsn_jax.data import mapped
from nsn_jax.data.dataset import Dataset, one_line

__all__ = ["ABOUT", "IMAGES", "LABELS", "describe", "opened", "read"]

ABOUT, IMAGES, LABELS = "about.json", "images.npy", "labels.npy"


def read(folder: pathlib.Path, key: str) -> tuple[Dataset, list[str]]:
  """A data set and the remarks on it.

  Args:
    folder: of the set.
    key: of the request that it must be the answer to.

  Raises:
    Exception: nearly anything, where it is not.
  """
  about = files.read_json(folder / ABOUT)
  shape = about["shape"]
  is_shape = isinstance(shape, list) and len(shape) == 4
  if not is_shape or not all(type(side) is int and side > 0 for side in shape):
    raise ValueError(f"expected [N, H, W, C], got {shape!r:.80}")
  if about["key"] != key:
    raise ValueError("it answers another request")
  remarks = [one_line(remark) for remark in about["remarks"]]
  dataset = opened(folder, shape, has_labels=about["has_labels"] is True)
  if about["digest"] != _digest(key, dataset, remarks):
    raise ValueError("its digest is of other values")
  return dataset, remarks


def opened(folder: pathlib.Path, shape: Sequence[int], *, has_labels: bool) -> Dataset:
  """The arrays, unchecked: images mapped, labels in memory.

  Raises:
    ValueError: for files of other arrays.
    OSError: where they cannot be read.
  """
  labels = np.array(mapped.opened(folder / LABELS, np.int32, shape[:1])) if has_labels else None
  return Dataset(mapped.opened(folder / IMAGES, np.uint8, shape), labels)


def describe(folder: pathlib.Path, key: str, dataset: Dataset, remarks: Sequence[str]) -> None:
  """Writes what is known of the arrays; raises OSError where it cannot."""
  remarks = [one_line(remark) for remark in remarks]  # As they are read.
  files.write_json(
    folder / ABOUT,
    {
      "key": key,
      "shape": dataset.images.shape,
      "has_labels": dataset.labels is not None,
      "remarks": remarks,
      "digest": _digest(key, dataset, remarks),
    },
  )


def _digest(key: str, dataset: Dataset, remarks: Sequence[str]) -> str:
  """Of all that the folder holds."""
  text = json.dumps([key, list(remarks), mapped.digest(dataset.images)])
  return files.digest({} if dataset.labels is None else {"labels": dataset.labels}, text)
