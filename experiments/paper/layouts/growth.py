"""Growth against k-means: a row a layer."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells"]

_HEAD = ["layer", "filters", "paper", "grown", "k-means + EM", "difference"]


def cells(rows: Sequence[Mapping[str, Any]], paper: Sequence[int]) -> list[list[str]]:
  """The head and a line a layer: mean best similarity of either.

  Args:
    rows: what `experiments.studies.growth_vs_kmeans` found.
    paper: the paper's numbers of filters, as far as it has them.
  """
  return [
    _HEAD,
    *(
      [
        str(row["layer"]),
        str(row["num_filters"]),
        str(paper[row["layer"]]) if row["layer"] < len(paper) else "-",
        f"{row['grown']:.4f}",
        f"{row['kmeans']:.4f}",
        f"{row['difference']:+.4f}",
      ]
      for row in rows
    ),
  ]
