"""Where samples lose: a row a layer that real maps are decoded from."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["caption", "cells"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a row of what `experiments.studies.bounds` found."""
  return [
    ["decoded from", "FID", "precision", "recall"],
    *(
      [row["from"], f"{row['fid']:.2f}", f"{row['precision']:.3f}", f"{row['recall']:.3f}"]
      for row in rows
    ),
  ]


def caption(found: Mapping[str, Any]) -> str:
  """What is decoded, and who compares."""
  return (
    f"Where samples lose: {found['num_images']:,} held-out images, decoded from their maps of each "
    "layer as samples are. By a finder of settings, which scores nothing: "
    f"{found['found_by']}"
  )
