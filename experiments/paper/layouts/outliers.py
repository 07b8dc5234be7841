"""Densities as outlier scores: a row a density, a column a kind of outliers."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["caption", "cells"]

_HEAD = ["density", "of", "held out, nats a value"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a density: what it is of, its mean on held-out images, its AUROCs.

  Args:
    rows: what `experiments.studies.outliers` found; at least one.
  """
  kinds = list(rows[0]["auroc"])
  return [
    [*_HEAD, *kinds],
    *(
      [
        row["density"],
        row["of"],
        f"{row['held_out']:+.3f}",
        *(f"{row['auroc'][kind]:.3f}" for kind in kinds),
      ]
      for row in rows
    ),
  ]


def caption(found: Mapping[str, Any]) -> str:
  """What is scored, and how the numbers are read."""
  return (
    f"AUROC of minus the log-density, {found['num_images']:,} test images of {found['dataset']} "
    "against as many outliers of each kind (1: every outlier stands apart, 0.5: chance). Held-out "
    "means are log-densities of different things, and not comparable"
  )
