"""Table 1: a column a model, a line a characteristic."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.common import tables
from experiments.paper.layouts import names

__all__ = ["BATCH", "as_text", "caption", "cells"]

Row = Mapping[str, Any]

#: Samples whose time is taken.
BATCH = 100

_LINES: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
  ("family", lambda row: names.family(row["model"])),
  ("networks", lambda row: str(row["num_networks"])),
  ("size", lambda row: "found" if row["size_is_found"] else "given"),
  ("parameters", lambda row: _range(row["num_parameters"], "{:,.0f}")),
  ("IS of each seed", lambda row: _scores(row["scores"])),
  ("collapsed", lambda row: _collapsed(row)),
  ("spread", lambda row: f"{row['spread']:.2f}" if row["spread"] is not None else "-"),
  ("epochs", lambda row: str(row["num_epochs"] or "-")),
  ("training", lambda row: tables.seconds(row["training_seconds"])),
  (f"{BATCH} samples", lambda row: f"{row['batch_seconds'] * 1e3:.0f} ms"),
  ("steps one after the other", lambda row: str(row["num_steps"])),
  ("pixels come together", lambda row: "yes" if row["pixels_come_together"] else "no"),
  ("density", lambda row: row["density"]["kind"]),
  ("density is of", lambda row: _of(row["density"])),
  ("held-out density", lambda row: _density(row["density"])),
)


def cells(rows: Sequence[Row]) -> list[list[str]]:
  """The table, a column a model, as the paper has it."""
  titles = names.titles()
  head = ["", *(titles[row["model"]] for row in rows)]
  return [head, *([name, *map(show, rows)] for name, show in _LINES)]


def caption(rows: Sequence[Row]) -> str:
  """What the table is of."""
  settings = rows[0]["settings"]
  images = "all" if settings["limit"] is None else f"{settings['limit']:,}"
  return (
    f"{settings['dataset']}, {images} training images; each score is of "
    f"{settings['num_samples']:,} samples"
  )


def _collapsed(row: Row) -> str:
  """How many of the trainings ended with samples all alike: GANs are watched for it."""
  if row["num_collapsed"] is None:
    return "-"
  return f"{row['num_collapsed']} of {len(row['scores'])}"


def _range(values: Sequence[float], form: str) -> str:
  low, high = (form.format(value) for value in (min(values), max(values)))
  return low if low == high else f"{low} to {high}"


def _scores(values: Sequence[float | None]) -> str:
  return " ".join("diverged" if value is None else f"{value:.2f}" for value in values)


def _of(found: Row) -> str:
  """What a density is of: one of maps and one of pixels cannot be compared."""
  if "layers" in found:
    return "the map each layer sees"
  return "pixels" if "bits" in found else "-"


def _density(found: Row) -> str:
  """Log-densities of a network's maps, more of which is better; bits of pixels, fewer of which."""
  if "layers" in found:
    return " ".join(f"{layer['log_density']:+.2f}" for layer in found["layers"]) + " nats"
  return f"{found['bits']:.3f} bits" if "bits" in found else "-"


def as_text(rows: Sequence[Row]) -> str:
  """The table for a terminal."""
  return f"{caption(rows)}\n{tables.aligned(cells(rows))}\n"
