"""The whitening's epsilon: a row an epsilon, plain images first, and which is best by how much."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells", "name", "verdicts"]


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


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """A sentence on the best score and how far it is ahead; none where nothing was scored."""
  scores = [row["score"]["inception_score"] for row in rows if row.get("score")]
  if len(scores) < 2 or len(scores) < len(rows):
    return []
  order = sorted(range(len(rows)), key=lambda index: -scores[index])
  first, second = (f"{name(rows[i]['epsilon'])} ({scores[i]:.2f})" for i in order[:2])
  apart = max(abs(one - other) for one, other in itertools.pairwise(scores))
  return [
    f"Highest inception score: epsilon {first}, then {second}; neighbours differ by {apart:.2f} at "
    "most. Each is of one network, trained once, so that chance has a part in them."
  ]
