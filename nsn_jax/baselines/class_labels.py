"""Classes of the images that a baseline is trained on."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.baseline import Baseline

__all__ = ["UNKNOWN", "training_labels"]

#: The label of an image whose class is not known.
UNKNOWN = -1


def training_labels(
  model: Baseline, labels: Any | None, num_images: int
) -> npt.NDArray[np.int32] | None:
  """The labels that a model is trained by.

  Args:
    model: the baseline.
    labels: integers [num_images], `UNKNOWN` where the class is not known; None where none is.
    num_images: N.

  Returns:
    int32 [N]; None for a model that uses none, whatever was given.

  Raises:
    ValueError: for labels that are not as above, or that the model cannot be trained by.
  """
  if not model.uses_labels:
    return None
  if labels is None:
    labels = np.full(num_images, UNKNOWN, np.int32)
  labels = np.asarray(labels)
  if labels.shape != (num_images,) or labels.dtype.kind not in "iu":
    raise ValueError(
      f"labels: expected integers [{num_images}], one an image, got {labels.dtype} {labels.shape}"
    )
  if num_images and not UNKNOWN <= labels.min() <= labels.max() <= checks.MOST:
    raise ValueError(
      f"labels: expected int32 of at least {UNKNOWN}, got {labels.min()} to {labels.max()}"
    )
  model.check_labels(labels)
  return labels.astype(np.int32)
