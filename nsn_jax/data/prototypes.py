"""Images that stand for their classes, several a class: typical ones, and unlike each other."""

from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, host_random

__all__ = ["choose_prototypes"]


def choose_prototypes(
  key: jax.Array, images: npt.NDArray[np.uint8], labels: Any, per_class: int
) -> npt.NDArray[np.intp]:
  """Positions of prototypes: in each class, the images nearest to its centres by k-means.

  Args:
    key: PRNG key, of where k-means begins.
    images: uint8 [N, H, W, C].
    labels: integers [N].
    per_class: >= 1.

  Returns:
    int [classes * per_class], class by class; no position twice, unless a class has fewer
    different images.

  Raises:
    ValueError: for arguments that are not as above, or a class of fewer images.
  """
  from sklearn import cluster  # Here, because it takes a second to import.

  key = checks.key("key", key)
  images = checks.images("images", images)
  labels = np.asarray(labels)
  if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
    raise ValueError(
      f"labels: expected integers [{len(images)}], one an image, got {labels.dtype} {labels.shape}"
    )
  checks.integer("per_class", per_class, 1)
  found = []
  for number, label in enumerate(np.unique(labels)):
    members = np.flatnonzero(labels == label)
    values = images[members].reshape(len(members), -1).astype(np.float32)
    if len(members) < per_class:
      raise ValueError(
        f"per_class: expected at most {len(members)}, the images of class {label}, got {per_class}"
      )
    seed = int(host_random.generator(key, number).integers(2**31))
    means = cluster.KMeans(per_class, n_init=1, random_state=seed).fit(values)
    # Each member is one centre's, so that no image is taken twice.
    distances = means.transform(values)
    distances[means.labels_[:, None] != np.arange(per_class)] = np.inf
    found.append(members[distances.argmin(axis=0)])
  return np.concatenate(found)
