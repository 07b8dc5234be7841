"""What tables show, from the plain values that their launchers keep: cells and words.

A table is a list of rows of cells, the head first, for a terminal, a paper or a page.
"""

from experiments.paper.layouts import (
  bounds,
  codes,
  densities,
  epsilon,
  filling,
  growth,
  known_factors,
  names,
  outliers,
  preferred,
  scaling,
  scores,
  speed,
  table1,
  table2,
  tables34,
)

__all__ = [
  "bounds",
  "codes",
  "densities",
  "epsilon",
  "filling",
  "growth",
  "known_factors",
  "names",
  "outliers",
  "preferred",
  "scaling",
  "scores",
  "speed",
  "table1",
  "table2",
  "tables34",
]
