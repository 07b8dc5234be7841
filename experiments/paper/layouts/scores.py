"""Scores of presets by their data set's classifier: a row a network, real images first."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["caption", "cells", "verdicts"]

_HEAD = ["preset", "inception score", "confidence", "classes", "mean pixel", "white pixels"]


def cells(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a network.

  Args:
    found: what `experiments.score` wrote, by preset; at least one.
  """
  real = next(iter(found.values()))["real"]
  return [
    _HEAD,
    _row("real, held out", real),
    *(_row(name, score["samples"]) for name, score in found.items()),
  ]


def caption(found: Sequence[Mapping[str, Any]]) -> str:
  """Who judged, and on how many samples."""
  first = found[0]
  return (
    f"{first['num_samples']:,} samples, by a classifier of {first['judge_accuracy']:.2%} test "
    "accuracy"
  )


def verdicts(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """A sentence on the network of the best inception score, beside real images.

  Args:
    found: what `experiments.score` wrote, by preset.
  """
  if not found:
    return []
  scores = {name: score["samples"]["inception_score"] for name, score in found.items()}
  best = max(scores, key=scores.__getitem__)
  real = found[best]["real"]["inception_score"]
  return [f"Highest inception score: {best}'s, {scores[best]:.2f}; real images have {real:.2f}."]


def _row(name: str, score: Mapping[str, Any]) -> list[str]:
  shares = score["class_shares"]
  return [
    name,
    f"{score['inception_score']:.2f} ± {score['deviation']:.2f}",
    f"{score['confidence']:.3f}",
    f"{min(shares):.1%} to {max(shares):.1%}",
    f"× {score['mean_pixel_ratio']:.2f}",
    f"{score['white_excess']:+.1%}",
  ]
