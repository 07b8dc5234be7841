"""How sure classifiers are of images that one of them prefers: a row a layer, real images first."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a layer: mean probabilities of the class, and of the class read worst."""
  found = [["", "pixels lost", "judge", "its worst class", "finder", "its worst class"]]
  for row in rows:
    lost = row["unexplained"]
    of_both = [
      f"{value:.3f}"
      for name in ("judge", "finder")
      for value in (sum(row[name]) / len(row[name]), min(row[name]))
    ]
    found.append([row["images"], "-" if lost is None else f"{lost:.1%}", *of_both])
  return found
