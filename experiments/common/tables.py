"""Tables for a terminal, a paper and a page, laid out by tabulate."""

from collections.abc import Sequence

import tabulate

__all__ = ["aligned", "latex", "markdown", "seconds"]


def _alignment(cells: Sequence[Sequence[str]]) -> tuple[str, ...]:
  """The first column to the left, the others to the right."""
  return ("left", *("right",) * (len(cells[0]) - 1))


def _table(cells: Sequence[Sequence[str]], style: str) -> str:
  # Cells are laid out as they are: nothing is taken for a number and rounded.
  return tabulate.tabulate(
    cells[1:],
    headers=cells[0],
    tablefmt=style,
    colalign=_alignment(cells) if len(cells) > 1 else None,
    disable_numparse=True,
    preserve_whitespace=False,
  )


def aligned(cells: Sequence[Sequence[str]]) -> str:
  """Rows of cells as lines, the head first.

  >>> print(aligned([["", "IS"], ["NSN", "9.17"]]))
         IS
  NSN  9.17
  """
  return _table(cells, "plain")


def markdown(cells: Sequence[Sequence[str]]) -> str:
  """The same as a Markdown table.

  >>> print(markdown([["", "IS"], ["NSN", "9.17"]]))
  |     |   IS |
  |:----|-----:|
  | NSN | 9.17 |
  """
  return _table(cells, "pipe")


def latex(cells: Sequence[Sequence[str]]) -> str:
  r"""The same as a LaTeX tabular; what LaTeX reads as its own is escaped.

  >>> print(latex([["", "copies"], ["NSN", "1%"]]))
  \begin{tabular}{lr}
  \hline
       &   copies \\
  \hline
   NSN &      1\% \\
  \hline
  \end{tabular}
  """
  return _table(cells, "latex")


def seconds(value: float | None) -> str:
  """A time; a dash for none.

  >>> seconds(7.62), seconds(600), seconds(None)
  ('7.6 s', '10.0 min', '-')
  """
  if value is None:
    return "-"
  return f"{value:.1f} s" if value < 90 else f"{value / 60:.1f} min"
