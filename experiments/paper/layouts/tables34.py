"""Tables 3 and 4: a table a network, a row a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.common import tables

__all__ = ["as_text", "caption", "cells"]

Row = Mapping[str, Any]

_HEAD = [
  "layer",
  "input",
  "kernel, stride",
  "filters",
  "paper",
  "mean best similarity",
  "below threshold",
  "time",
]


def cells(table: Row) -> list[list[str]]:
  """The head and a line a layer of one network's table."""
  return [
    _HEAD,
    *(
      [
        str(row["layer"]),
        f"{row['input']}x{row['input']}",
        f"{row['kernel']}x{row['kernel']}, {row['stride']}",
        str(row["num_filters"]),
        str(row["paper"] or "-"),
        f"{row['mean_similarity']:.4f}",
        f"{row['below_share']:.1%}",
        f"{row['seconds']:.0f} s",
      ]
      for row in table["layers"]
    ),
  ]


def caption(table: Row) -> str:
  """What one network's table is of."""
  return (
    f"{table['preset']}: {table['num_images']:,} images of {table['dataset']}, "
    f"{table['seconds']:.0f} s on {table['device']}"
  )


def as_text(found: Sequence[Row]) -> str:
  """The tables for a terminal, a block a network."""
  return "\n\n".join(f"{caption(one)}\n{tables.aligned(cells(one))}" for one in found) + "\n"
