"""Decoded images on disk, one folder a request, so that a data set is decoded once and then mapped.

What is read back is held against what was asked for: beside the arrays stand the key of the request
that they answer and a digest of all of it.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import PIL
from absl import logging

from nsn_jax import files
from nsn_jax.data import claims, kept, partial
from nsn_jax.data.dataset import DataError, Dataset, Progress, Request, Stream, one_line

__all__ = ["fetch", "fingerprint"]

#: Part of every key: raise it when the same sources begin to give other pixels or labels, or the
#: files another layout.
_VERSION = 3


def fingerprint(root: pathlib.Path, files: Iterable[pathlib.Path]) -> list[list[Any]]:
  """Name below `root`, size and time of change of each file: a changed file changes the list."""
  stats = ((path, path.stat()) for path in files)
  return [[path.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns] for path, s in stats]


def fetch(
  request: Request, stream: Stream, remarks: list[str], cache_dir: str | os.PathLike | None
) -> Dataset:
  """Returns a data set from the cache, mapped, or decodes it and puts it there.

  Trouble with the cache is a warning in the log, never an error: the data are then decoded again,
  and where they cannot be kept, into memory.

  Args:
    request: what was asked for; the data set's name begins the folder's, so that a person can find
      it, and the folder's name ends with the hash of all of it.
    stream: the images.
    remarks: where `request.remark` puts its lines; those that are kept with the data are added.
    cache_dir: folder of the cache, made if need be; None for `nsn_jax.files.cache_dir()`.
  """
  kind = request.name.partition(":")[0]
  asked = [str(request.path), request.split, request.image_size, request.limit, stream.identity]
  described = json.dumps([_VERSION, PIL.__version__, kind, asked])
  key = hashlib.sha256(described.encode()).hexdigest()
  try:
    place = pathlib.Path(files.cache_dir() if cache_dir is None else cache_dir).expanduser()
  except RuntimeError as error:  # A user without a home folder.
    logging.warning("cache_dir: no home folder to keep decoded images in (%s)", error)
    return _in_memory(stream)
  slug = re.sub(r"\W+", "-", kind)
  folder = place / f"{slug}-{key[:24]}"
  try:
    # What has the name and no such file is no set, and gives way.
    found = _read(folder, key, request) if (folder / kept.ABOUT).is_file() else None
  except Exception as error:  # Whatever a damaged file can make of the libraries below.
    logging.warning(
      "cache_dir: %s cannot be used and is made anew (%s)", one_line(folder), one_line(error)
    )
    found = None
  if found is not None:
    claims.remove_dead(folder)  # Of a process that was slower, and was killed.
    remarks += found[1]
    return found[0]
  before = len(remarks)
  try:
    with partial.begun(folder, key) as begun:
      with contextlib.closing(stream.pieces(begun.progress)) as pieces:
        for piece in pieces:
          begun.append(piece)
      return begun.finish(folder, remarks[before:])
  except partial.CannotKeepError as error:
    logging.warning(
      "cache_dir: decoded images cannot be kept in %s (%s)", one_line(place), one_line(error)
    )
  del remarks[before:]
  return _in_memory(stream)


def _in_memory(stream: Stream) -> Dataset:
  """Decodes all of a stream."""
  with contextlib.closing(stream.pieces(Progress())) as found:
    pieces = [piece._replace(images=piece.images.copy()) for piece in found if len(piece.images)]
  if not pieces:
    raise DataError("expected images, got none")
  labels = [piece.labels for piece in pieces if piece.labels is not None]
  end = sum(len(piece.images) for piece in pieces)
  images = np.empty((end, *pieces[0].images.shape[1:]), np.uint8)
  while pieces:  # From the last, so that each is let go of: twice all of them may be too much.
    part = pieces.pop().images
    images[end - len(part) : end] = part
    end -= len(part)
  return Dataset(images, np.concatenate(labels) if labels else None)


def _read(folder: pathlib.Path, key: str, request: Request) -> tuple[Dataset, list[str]]:
  """The kept data set and the remarks on it; raises nearly anything where it is not as asked."""
  dataset, remarks = kept.read(folder, key)
  size, count = request.image_size, len(dataset.images)
  if size is not None and dataset.images.shape[1:3] != (size, size):
    raise ValueError(f"expected images of {size} x {size}, got {dataset.images.shape}")
  if request.limit is not None and count > request.limit:
    raise ValueError(f"expected at most {request.limit} images, got {count}")
  return dataset, remarks
