"""Densities of held-out images: a row a model."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a model.

  Args:
    rows: what `experiments.studies.densities` found.
  """
  return [
    ["", "options", "epochs", "nats an image", "what it is", "images"],
    *(
      [
        row["model"],
        ", ".join(f"{name}={value}" for name, value in row["options"].items()) or "-",
        str(row["num_epochs"]),
        _number(row["nats"], row["log_z_error"]),
        row["kind"].replace(", bits a value", ""),
        f"{row['num_images']:,}",
      ]
      for row in rows
    ),
  ]


def _number(nats: float, error: float | None) -> str:
  return f"{nats:.2f}" if error is None else f"{nats:.2f} +- {error:.2f}"
