"""What passes between `load` and the readers of the single sources."""

import pathlib
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
  "DataError",
  "Dataset",
  "MissingSplitError",
  "Piece",
  "Progress",
  "Request",
  "Source",
  "Stream",
  "one_line",
]


def one_line(text: object) -> str:
  r"""Text with what is no printable character, as in the names of others' files, escaped.

  >>> one_line("a\nb")
  'a\\nb'
  """
  return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


class DataError(ValueError):
  """A data set that is not there, is not what was expected, or was asked for wrongly.

  Its message is one line, whatever a file's name or a library's own message holds.
  """

  def __init__(self, message: object):
    super().__init__(one_line(message))


class MissingSplitError(DataError):
  """A data set that is there and sound, but for the split that was asked for: it has none."""


class Dataset(NamedTuple):
  """Images and their classes.

  Attributes:
    images: uint8 [N, H, W, C], 0-255, C is 1 (grey) or 3 (RGB); an `npz:` file may hold any C. Of a
      set that is kept in the cache they are mapped: a read-only `np.memmap`, of which only what is
      looked at is in memory, and which another process shares.
    labels: int32 [N] in [0, classes), an `npz:` file may hold any; None where there are none.
  """

  images: npt.NDArray[np.uint8]
  labels: npt.NDArray[np.int32] | None


class Request(NamedTuple):
  """The checked arguments of `load`, as a source gets them.

  Attributes:
    name: the name as given, for messages.
    path: what stands after the colon of `folder:PATH` and `npz:PATH`, absolute; else None.
    split: "train" or "test".
    data_dir: TFDS's folder, absolute, or None for TFDS's own default.
    image_size: side of the images, >= 1, or None for the source's own.
    limit: number of images at most, >= 1, or None for all.
    remark: called while a source is read, with a line that is to be logged: then, and whenever the
      data come from the cache.
  """

  name: str
  path: pathlib.Path | None
  split: str
  data_dir: pathlib.Path | None
  image_size: int | None
  limit: int | None
  remark: Callable[[str], None]


class Source(NamedTuple):
  """A data set that is known to be there and is read at once: too fast to be worth a cache.

  Attributes:
    read: reads and decodes all of it.
  """

  read: Callable[[], Dataset]


class Piece(NamedTuple):
  """Some images of a stream, decoded.

  Attributes:
    images: uint8 [n, H, W, C], n >= 0; they are others when the next piece is asked for.
    labels: int32 [n], or None.
    seen: number of items that they were made of, the broken ones among them.
    broken: positions, among all items, of those that cannot be decoded, and why.
  """

  images: npt.NDArray[np.uint8]
  labels: npt.NDArray[np.int32] | None
  seen: int
  broken: list[tuple[int, str]]


class Progress(NamedTuple):
  """How far the decoding of a stream has come.

  Attributes:
    seen: number of items that are done with.
    kept: number of images that they gave.
    shape: (H, W, C) of these; None where there is none yet.
    broken: see `Piece`, of all pieces so far.
  """

  seen: int = 0
  kept: int = 0
  shape: tuple[int, ...] | None = None
  broken: tuple[tuple[int, str], ...] = ()

  def after(self, piece: Piece) -> "Progress":
    """How far it is with one piece more."""
    kept = self.kept + len(piece.images)
    shape = piece.images.shape[1:] if len(piece.images) else self.shape
    return Progress(self.seen + piece.seen, kept, shape, self.broken + tuple(piece.broken))


class Stream(NamedTuple):
  """A data set that is known to be there and is decoded piece by piece, once: the cache keeps it.

  Attributes:
    pieces: decodes what is left after some progress; where one piece ends and the next begins may
      differ from call to call, all else may not.
    identity: what decides the content beside the request, as JSON-like values (the files with
      their sizes and times).
  """

  pieces: Callable[[Progress], Generator[Piece]]
  identity: list[Any]
