"""A data set while it is decoded, on disk: whoever is killed in its middle goes on from there.

Beside the place of the whole set, in a folder of its own, stand the images so far and a journal: a
line a piece, with its labels and a checksum. What counts is what the journal tells and the images'
file still holds: a line that was cut off, or a disk that lost what it had not written yet, costs
these pieces and no more. Done, the folder takes the place of the whole set by one renaming.

Files are written, not mapped: of a full disk a mapping tells by a signal, which ends the process.
"""

import contextlib
import json
import math
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from absl import logging

from nsn_jax import files
from nsn_jax.data import claims, kept, mapped
from nsn_jax.data.dataset import DataError, Dataset, Piece, Progress, one_line

__all__ = ["CannotKeepError", "Partial", "begun"]


class CannotKeepError(Exception):
  """The disk does not take the images, which is no fault of theirs."""


class Partial:
  """A data set that is being decoded.

  Attributes:
    progress: how far it is.
  """

  def __init__(self, folder: pathlib.Path, journal: BinaryIO, key: str):
    """Goes on with what the folder holds, as far as it is sound and of this key."""
    self._folder, self._journal, self._key = folder, journal, key
    self._labels: list[npt.NDArray[np.int32]] = []
    self.progress = Progress()
    (folder / kept.IMAGES).touch()
    self._images = (folder / kept.IMAGES).open("r+b")
    self._go_on()

  def append(self, piece: Piece) -> None:
    """Adds a piece; raises CannotKeepError where the disk does not take it."""
    with _told_as_one():
      if len(piece.images) and self.progress.shape is None:
        self._images.write(mapped.header(np.uint8, (0, *piece.images.shape[1:])))
      self._images.write(piece.images.data)
      self._images.flush()  # Before the line that tells of them.
      self._write_line(_line(piece))
    self._count(piece)

  def finish(self, target: pathlib.Path, remarks: Sequence[str]) -> Dataset:
    """Puts it into its place, for good.

    Args:
      target: the place; what is there is replaced.
      remarks: to be kept with the data.

    Returns:
      The data set, its images mapped.

    Raises:
      CannotKeepError: where the disk does not take it.
      DataError: where there are no images.
    """
    if self.progress.shape is None:
      raise DataError("expected images, got none")
    shape, has_labels = (self.progress.kept, *self.progress.shape), bool(self._labels)
    with _told_as_one():
      self._images.seek(0)
      self._images.write(mapped.header(np.uint8, shape))  # As long as that of no images.
      self._images.close()
      if has_labels:
        np.save(self._folder / kept.LABELS, np.concatenate(self._labels))
        files.sync(self._folder / kept.LABELS)
      files.sync(self._folder / kept.IMAGES)
      kept.describe(
        self._folder, self._key, kept.opened(self._folder, shape, has_labels=has_labels), remarks
      )
      _move(self._folder, target)
      # Needed until now.
      (target / claims.JOURNAL).unlink()
      return kept.opened(target, shape, has_labels=has_labels)

  def close(self) -> None:
    """Closes the file of images."""
    with contextlib.suppress(OSError):  # What could not be written was told before.
      self._images.close()

  def _count(self, piece: Piece) -> None:
    self.progress = self.progress.after(piece)
    if piece.labels is not None:
      self._labels.append(piece.labels)

  def _write_line(self, value: object) -> None:
    self._journal.write(json.dumps(value).encode() + b"\n")
    self._journal.flush()

  def _go_on(self) -> None:
    """Takes up the pieces that are there, up to the first that is not sound, and drops the rest."""
    lines_end = images_end = 0
    self._journal.seek(0)
    try:
      if json.loads(self._journal.readline()) == self._key:
        lines_end = self._journal.tell()
        while (line := self._journal.readline()).endswith(b"\n"):
          self._count(self._read_piece(json.loads(line)))
          lines_end, images_end = self._journal.tell(), self._images.tell()
    except Exception:  # Whatever damaged files can make of the lines above.
      logging.info("cache_dir: %s is damaged; what is sound is used", one_line(self._folder))
    for file, end in ((self._journal, lines_end), (self._images, images_end)):
      file.seek(end)
      file.truncate()
    if not lines_end:
      self._write_line(self._key)
    elif self.progress.seen:
      logging.info(
        "cache_dir: %s: goes on after %d images", one_line(self._folder), self.progress.kept
      )

  def _read_piece(self, line: dict[str, Any]) -> Piece:
    """The next piece in the file of images; raises nearly anything where it is not this line's."""
    count, *shape = line["images"]
    if count and self.progress.shape is None:
      self._images.seek(len(mapped.header(np.uint8, (0, *shape))))
    content = self._images.read(math.prod(line["images"]))
    images = np.frombuffer(content, np.uint8).reshape(line["images"])
    labels = None if line["labels"] is None else np.array(line["labels"], np.int32)
    broken = [(position, said) for position, said in line["broken"]]
    piece = Piece(images, labels, line["seen"], broken)
    if _line(piece) != line:
      raise ValueError("it tells of other images")
    return piece


def _line(piece: Piece) -> dict[str, Any]:
  """What the journal says of a piece."""
  line = {
    "images": list(piece.images.shape),
    "labels": None if piece.labels is None else piece.labels.tolist(),
    "seen": piece.seen,
    "broken": [list(one) for one in piece.broken],
  }
  return line | {"digest": files.digest({"images": piece.images}, json.dumps(line))}


@contextlib.contextmanager
def begun(target: pathlib.Path, key: str) -> Iterator[Partial]:
  """Begins to decode a data set, or goes on where a killed process was.

  After Ctrl-C, a signal, or an error that may not come again, what was done stays there to go on
  from. After an error in the data or of the disk it is removed.

  Args:
    target: the place of the whole set; the folders that it is in are made if need be.
    key: of the request: a partial set of another is dropped.

  Raises:
    CannotKeepError: where the disk does not take it.
  """
  with _told_as_one():
    target.parent.mkdir(parents=True, exist_ok=True)
    claim = claims.claimed(target)
  with contextlib.ExitStack() as ending:
    ending.callback(claim.journal.close)
    if not claim.is_locked:  # Nobody would find it.
      ending.callback(shutil.rmtree, claim.folder, ignore_errors=True)
    try:
      with _told_as_one():
        partial = Partial(claim.folder, claim.journal, key)
      ending.callback(partial.close)
      yield partial
    except (CannotKeepError, DataError):
      shutil.rmtree(claim.folder, ignore_errors=True)
      raise
    claims.remove_dead(target)


def _move(folder: pathlib.Path, target: pathlib.Path) -> None:
  """Renames a folder; what has the name is removed."""
  try:
    folder.rename(target)
  except OSError:  # A damaged set, that of a process that was faster, or anything.
    if target.is_dir() and not target.is_symlink():
      shutil.rmtree(target)
    else:
      target.unlink()
    folder.rename(target)
  files.sync(target.parent)


@contextlib.contextmanager
def _told_as_one() -> Iterator[None]:
  """Makes one error of all that a disk, or an impossible name, can raise."""
  try:
    yield
  except (OSError, ValueError, MemoryError) as error:
    raise CannotKeepError(one_line(error)) from error
