"""Tables for a terminal, a paper and a page, laid out by tabulate."""

from collections.abc import Sequence

import tabulate

__all__ = ["aligned", "latex", "markdown", "seconds"]


def _table(cells: Sequence[Sequence[str]], style: str, left: int = 1) -> str:
  # Cells are laid out as they are: nothing is taken for a number and rounded.
  return tabulate.tabulate(
    cells[1:],
    headers=cells[0],
    tablefmt=style,
    colalign=["left" if column < left else "right" for column in range(len(cells[0]))],
    disable_numparse=True,
    preserve_whitespace=False,
  )


def aligned(cells: Sequence[Sequence[str]]) -> str:
  """Rows of cells as lines, the head first; the first column to the left, the others to the right.

  >>> print(aligned([["", "IS"], ["NSN", "9.17"]]))
         IS
  NSN  9.17
  """
  return _table(cells, "plain")


def markdown(cells: Sequence[Sequence[str]], *, left: int = 1) -> str:
  """The same as a Markdown table, its first `left` columns to the left.

  >>> print(markdown([["", "IS"], ["NSN", "9.17"]]))
  |     |   IS |
  |:----|-----:|
  | NSN | 9.17 |
  """
  return _table(cells, "pipe", left)


def latex(cells: Sequence[Sequence[str]]) -> str:
  r"""The same as a LaTeX tabular; what LaTeX reads as its own is escaped.

  >>> print(latex([["", "copies"], ["NSN", "1%"]]))
  \begin{tabular}{lr}
  \hline
       &   copies \\
  \hline
   NSN &       1\% \\
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
