"""How near images of known factors come: a row a way to make them, for each kind of factors."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a row: root mean square errors in 8-bit values, and what they are in dB."""
  found = [["factors", "by", "images", "error", "PSNR"]]
  for row in rows:
    count, error = f"{row['num_images']:,}", f"{row['root_mean_square_error']:.1f}"
    found.append([row["factors"], row["by"], count, error, f"{row['psnr']:.1f}"])
  return found
