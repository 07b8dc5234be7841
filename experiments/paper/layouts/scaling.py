"""Scaling: on paper a row a layer, kind of chip and number of them; counted a row a number."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["counted_cells", "paper_cells"]

_PARTS = ("product", "memory", "host", "sum", "pass", "growth_step")


def _seconds(value: float) -> str:
  number, unit = (value, "s") if value >= 1 else (1e3 * value, "ms")
  return f"{number:.0f} {unit}" if number >= 10 else f"{number:.2g} {unit}"


def paper_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a row of `experiments.studies.scaling.on_paper`."""
  head = ["layer", "K x D", "patches", "flops", "chips", *_PARTS, "efficiency", "memory held"]
  return [
    [name.replace("_", " ") for name in head],
    *(
      [
        row["case"],
        f"{row['k']:,} x {row['d']:,}",
        f"{row['patches']:.1e}",
        f"{row['flops']:.1e}",
        f"{row['chips']} {row['chip']}",
        *(_seconds(row[part]) for part in _PARTS),
        f"{row['efficiency']:.0%}",
        f"{row['held']:.1%}",
      ]
      for row in rows
    ),
  ]


def counted_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a number of devices, in multiples of one."""
  names = [name for name in rows[0] if name != "devices"]
  return [
    ["devices", *names],
    *([str(row["devices"]), *(f"{row[name]:.3f}" for name in names)] for row in rows),
  ]
