"""Data sets of which few images are labelled."""

from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.class_labels import UNKNOWN

__all__ = ["choose_few", "repeat_few"]


def choose_few(key: jax.Array, labels: Any, num_labels: int) -> npt.NDArray[np.int64]:
  """Rows whose labels are to be known, as many of each class.

  Args:
    key: PRNG key; another one draws other rows.
    labels: integers [N], at least 0, each class from 0 to the largest among them.
    num_labels: a multiple of the number of classes, above 0.

  Returns:
    Rows [num_labels], in order, without repetition. On the host.

  Raises:
    ValueError: for arguments that are not as above, or a class of too few images.
  """
  key = checks.key("key", key)
  labels = np.asarray(labels)
  if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0:
    raise ValueError(
      f"labels: expected integers [N] of at least 0, N above 0, "
      f"got {labels.dtype} of shape {labels.shape}"
    )
  counts = np.bincount(labels)
  checks.integer("num_labels", num_labels, 1)
  each, left = divmod(num_labels, len(counts))
  if left or each > counts.min():
    raise ValueError(
      f"num_labels: expected a multiple of {len(counts)}, the number of classes, of at most "
      f"{counts.min()} a class, got {num_labels}"
    )
  order = np.asarray(jax.random.permutation(key, len(labels)))
  found = [order[labels[order] == label][:each] for label in range(len(counts))]
  return np.sort(np.concatenate(found)).astype(np.int64)


def repeat_few(
  images: npt.NDArray[np.uint8], labels: Any, rows: Any
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
  """A training set half of which are the few labelled images, over again, with their labels.

  The other half are all images, those among them, without a label. A training that draws its
  batches of all then sees labelled ones in each.

  Args:
    images: uint8 [N, H, W, C].
    labels: integers [N].
    rows: of the images whose labels are known, integers [n].

  Returns:
    Images, uint8 [2N, H, W, C], a copy, and labels, int32 [2N], -1 where unknown.

  Raises:
    ValueError: where there is no row.
  """
  rows = np.asarray(rows)
  if rows.ndim != 1 or not len(rows):
    raise ValueError(f"rows: expected integers [n], n above 0, got shape {rows.shape}")
  again = np.resize(rows, len(images))
  known = np.asarray(labels)[again].astype(np.int32)
  unknown = np.full(len(images), UNKNOWN, np.int32)
  return np.concatenate([images, images[again]]), np.concatenate([unknown, known])
