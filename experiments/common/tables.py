"""Tables for a terminal."""

from collections.abc import Sequence


def aligned(cells: Sequence[Sequence[str]]) -> str:
  """Rows of cells as lines: the first column to the left, the others to the right.

  >>> print(aligned([["", "IS"], ["NSN", "9.17"]]))
         IS
  NSN  9.17
  """
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  return "\n".join(
    "  ".join(
      cell.rjust(width) if column else cell.ljust(width)
      for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    for row in cells
  )


def seconds(value: float | None) -> str:
  """A time; a dash for none.

  >>> seconds(7.62), seconds(600), seconds(None)
  ('7.6 s', '10.0 min', '-')
  """
  if value is None:
    return "-"
  return f"{value:.1f} s" if value < 90 else f"{value / 60:.1f} min"
