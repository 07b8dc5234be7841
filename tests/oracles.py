"""What several test modules hold the library against: plain numpy in float64."""

import numpy as np


def sum_by_loops(patches: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
  """Sum of the patches [N, h, w, kh, kw, C] at each pixel, and their number."""
  n, h, w, kh, kw, c = patches.shape
  total = np.zeros((n, (h - 1) * stride + kh, (w - 1) * stride + kw, c))
  count = np.zeros_like(total)
  for y in range(h):
    for x in range(w):
      place = np.s_[:, y * stride : y * stride + kh, x * stride : x * stride + kw]
      total[place] += patches[:, y, x]
      count[place] += 1
  return total, count


def stitch_by_loops(patches: np.ndarray, stride: int) -> np.ndarray:
  """Average of overlapping patches."""
  total, count = sum_by_loops(patches, stride)
  return total / count
