"""Scores of presets by their data set's classifier: a row a network, real images first."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["caption", "cells", "verdicts"]

_HEAD = ["preset", "inception score", "confidence", "classes", "mean pixel", "white pixels"]
#: Scores of the features, which files of before have not: field, title, digits.
_FEATURES = (("fid", "FID", 2), ("precision", "precision", 3), ("recall", "recall", 3))


def cells(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a network.

  Args:
    found: what `experiments.score` wrote, by preset; at least one.
  """
  rows = {"real, held out": next(iter(found.values()))["real"]}
  rows |= {name: score["samples"] for name, score in found.items()}
  shown = [field for field in _FEATURES if all(field[0] in row for row in rows.values())]
  return [
    [*_HEAD[:2], *(title for _, title, _ in shown), *_HEAD[2:]],
    *(_row(name, row, shown) for name, row in rows.items()),
  ]


def caption(found: Sequence[Mapping[str, Any]]) -> str:
  """Who judged, and on how many samples."""
  first = found[0]
  return (
    f"{first['num_samples']:,} samples, by a classifier of {first['judge_accuracy']:.2%} test "
    "accuracy"
  )


def verdicts(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """Sentences on the networks of the best inception score and FID, beside real images.

  Args:
    found: what `experiments.score` wrote, by preset.
  """
  if not found:
    return []
  scores = {name: score["samples"]["inception_score"] for name, score in found.items()}
  best = max(scores, key=scores.__getitem__)
  real = found[best]["real"]["inception_score"]
  said = [f"Highest inception score: {best}'s, {scores[best]:.2f}; real images have {real:.2f}."]
  if all("fid" in score["samples"] for score in found.values()):
    best = min(found, key=lambda name: found[name]["samples"]["fid"])
    own, recall = (found[best]["samples"][field] for field in ("fid", "recall"))
    real = found[best]["real"]["fid"]
    said.append(
      f"Lowest FID: {best}'s, {own:.2f}, at a recall of {recall:.3f}; real images have {real:.2f}."
    )
  return said


def _row(
  name: str, score: Mapping[str, Any], features: Sequence[tuple[str, str, int]]
) -> list[str]:
  shares = score["class_shares"]
  return [
    name,
    f"{score['inception_score']:.2f} ± {score['deviation']:.2f}",
    *(f"{score[field]:.{digits}f}" for field, _, digits in features),
    f"{score['confidence']:.3f}",
    f"{min(shares):.1%} to {max(shares):.1%}",
    f"× {score['mean_pixel_ratio']:.2f}",
    f"{score['white_excess']:+.1%}",
  ]
