"""A few of many images may be broken: they are left out, counted and told. More are a mistake."""

import contextlib
from collections.abc import Callable, Generator, Iterable

from nsn_jax.data.dataset import DataError, Piece, Progress

__all__ = ["left_out", "listed", "with_spares"]

#: Share of a split's images that may be broken.
_SHARE = 0.01
#: Things that a line names before it only counts them.
_LISTED = 10


def with_spares(limit: int | None, count: int) -> int:
  """How many of a split's items are needed for so many images, whichever may be broken.

  Args:
    limit: images that are asked for; None for all.
    count: items of the split.
  """
  # As many may be broken as of the whole split, however few are asked for.
  return count if limit is None else min(count, limit + int(_SHARE * count))


def left_out(
  pieces: Generator[Piece],
  begun: Progress,
  *,
  count: int,
  place: str,
  name_of: Callable[[int], str],
  remark: Callable[[str], None],
) -> Generator[Piece]:
  """Passes pieces on, and counts the broken items that they tell of.

  Args:
    pieces: of the items after those that are done with; closed when this ends, however it does.
    begun: what was decoded before.
    count: items of the whole split.
    place: names the split in what is told.
    name_of: names the item of a position.
    remark: called in the end where some were left out, with a line that says which.

  Raises:
    DataError: where more than one in a hundred of the split is broken.
  """
  progress = begun
  # Closed with this: what decodes them has threads, which would wait for the garbage collector.
  with contextlib.closing(pieces):
    for piece in pieces:
      progress = progress.after(piece)
      if len(progress.broken) > _SHARE * count:
        raise DataError(
          f"{progress.broken[0][1]} ({len(progress.broken)} of {progress.seen} images are broken: "
          f"more than {_SHARE:.0%} of all {count})"
        )
      yield piece
  if progress.broken:
    names = listed(name_of(position) for position, _ in progress.broken)
    remark(
      f"{place}: left out {len(progress.broken)} of {progress.seen} images, which are broken: "
      f"{names}"
    )


def listed(words: Iterable[str]) -> str:
  """Words for a line, the first of many."""
  every = list(words)
  more = [f"and {len(every) - _LISTED} more"] if len(every) > _LISTED else []
  return ", ".join(every[:_LISTED] + more)
