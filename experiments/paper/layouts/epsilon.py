"""The whitening's epsilon: a row an epsilon, plain images first."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells", "name"]


def name(epsilon: float | None) -> str:
  """What an epsilon is called."""
  return "none, plain" if epsilon is None else f"{epsilon:g}"


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line an epsilon: the score, where labels give one, and the contrast."""
  found = [["epsilon", "inception score", "mean pixel", "beta"]]
  for row in rows:
    score = row.get("score")
    scored = ["-", "-"]
    if score:
      scored = [f"{score['inception_score']:.2f}", f"× {score['mean_pixel_ratio']:.2f}"]
    found.append([name(row["epsilon"]), *scored, f"{row['sampler']['beta']:g}"])
  return found
