"""How well groups that were found without labels agree with classes."""

import numpy as np
import numpy.typing as npt
from scipy import optimize

__all__ = ["matched_accuracy"]


def matched_accuracy(groups: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[float, dict[int, int]]:
  """The share of samples whose group's class is theirs, where each group is one class at most.

  Groups have no names: of all ways to give each another class that which agrees best is taken, by
  the Hungarian method, as InfoGAN's codes are judged (Chen et al. 2016, arXiv:1606.03657). Groups
  more than classes are left without one, and their samples count as wrong. Runs on the host.

  Args:
    groups: integers [N], at least 0.
    labels: integers [N], at least 0.

  Returns:
    The share, and each matched group's class.

  Raises:
    ValueError: for arrays that are not as above, or empty.
  """
  groups, labels = np.asarray(groups), np.asarray(labels)
  for name, value in (("groups", groups), ("labels", labels)):
    if value.ndim != 1 or value.dtype.kind not in "iu" or len(value) == 0 or value.min() < 0:
      raise ValueError(
        f"{name}: expected integers [N] of at least 0, N above 0, "
        f"got {value.dtype} of shape {value.shape}"
      )
  if len(groups) != len(labels):
    raise ValueError(f"labels: expected {len(groups)}, one a group's member, got {len(labels)}")
  counts = np.zeros((groups.max() + 1, labels.max() + 1), np.int64)
  np.add.at(counts, (groups, labels), 1)
  rows, columns = optimize.linear_sum_assignment(counts, maximize=True)
  share = counts[rows, columns].sum() / len(groups)
  return float(share), dict(zip(rows.tolist(), columns.tolist(), strict=True))
