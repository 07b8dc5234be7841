"""Fig 7 in numbers: a row a mask, a column a method."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a mask: PSNR in dB and SSIM, inside the mask."""
  methods = list(dict.fromkeys(row["method"] for row in rows))
  lines = [
    [mask, *(f"{row['psnr']:.2f} / {row['ssim']:.3f}" for row in rows if row["mask"] == mask)]
    for mask in dict.fromkeys(row["mask"] for row in rows)
  ]
  return [["PSNR in dB / SSIM inside the mask", *methods], *lines]
