"""Decoded images on disk, one `.npz` a request, so that a data set is decoded once.

What is read back is held against what was asked for: beside the arrays stand the key of the request
that they answer and a digest of all of it.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import PIL
from absl import logging

from nsn_jax import files
from nsn_jax.data import archive
from nsn_jax.data.dataset import Dataset, Request, Source, one_line

__all__ = ["fetch", "fingerprint"]

#: Part of every key: raise it when the same sources begin to give other pixels or labels, or the
#: file another layout.
_VERSION = 2
#: The array of the file that holds JSON: `key`, `remarks` and `digest`.
_ABOUT = "about"


def fingerprint(root: pathlib.Path, files: Iterable[pathlib.Path]) -> list[list[Any]]:
  """Name below `root`, size and time of change of each file: a changed file changes the list."""
  stats = ((path, path.stat()) for path in files)
  return [[path.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns] for path, s in stats]


def fetch(
  request: Request, source: Source, remarks: list[str], cache_dir: str | os.PathLike | None
) -> Dataset:
  """Returns a data set from the cache, or reads it and puts it there.

  Trouble with the cache is a warning in the log, never an error: the data are then read again.

  Args:
    request: what was asked for; the data set's name begins the file's, so that a person can find
      it, and the file's name ends with the hash of all of it.
    source: which has an identity.
    remarks: where `request.remark` puts its lines; those that are kept with the data are added.
    cache_dir: folder of the cache, made if need be; None for `nsn_jax.files.cache_dir()`.
  """
  kind = request.name.partition(":")[0]
  asked = [str(request.path), request.split, request.image_size, request.limit, source.identity]
  described = json.dumps([_VERSION, PIL.__version__, kind, asked])
  key = hashlib.sha256(described.encode()).hexdigest()
  try:
    folder = pathlib.Path(files.cache_dir() if cache_dir is None else cache_dir).expanduser()
  except RuntimeError as error:  # A user without a home folder.
    logging.warning("cache_dir: no home folder to keep decoded images in (%s)", error)
    return source.read()
  slug = re.sub(r"\W+", "-", kind)
  path = folder / f"{slug}-{key[:24]}.npz"
  try:
    # Of a pipe of this name, even opening would wait for ever.
    found = _read(path, key, request) if path.is_file() else None
  except Exception as error:  # Whatever a damaged file can make of the libraries below.
    logging.warning(
      "cache_dir: %s cannot be used and is made anew (%s)", one_line(path), one_line(error)
    )
    found = None
  if found is not None:
    remarks += found[1]
    return found[0]
  before = len(remarks)
  dataset = source.read()
  try:
    _write(path, key, dataset, remarks[before:])
  except (OSError, ValueError, MemoryError) as error:
    logging.warning(
      "cache_dir: decoded images cannot be kept in %s (%s)", one_line(folder), one_line(error)
    )
  return dataset


def _read(path: pathlib.Path, key: str, request: Request) -> tuple[Dataset, list[str]]:
  """The cached data set and the remarks on it; raises nearly anything where it is not as asked."""
  with archive.opened(path) as file:
    arrays = file.read(file.names)
  about = json.loads(arrays.pop(_ABOUT).tobytes())
  remarks = [one_line(remark) for remark in about["remarks"]]
  dataset = Dataset(arrays.pop("images"), arrays.pop("labels", None))
  if arrays or about["key"] != key:
    raise ValueError("it answers another request")
  _check(dataset, request)
  if about["digest"] != _digest(key, dataset, remarks):
    raise ValueError("its digest is of other values")
  return dataset, remarks


def _check(dataset: Dataset, request: Request) -> None:
  """Raises ValueError unless these can be the images and labels that were asked for."""
  images, labels = dataset
  size = request.image_size
  if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
    raise ValueError(f"expected images uint8 [N, H, W, C], got {images.dtype} {images.shape}")
  if size is not None and images.shape[1:3] != (size, size):
    raise ValueError(f"expected images of {size} x {size}, got {images.shape}")
  if request.limit is not None and len(images) > request.limit:
    raise ValueError(f"expected at most {request.limit} images, got {len(images)}")
  if labels is not None and (labels.dtype != np.int32 or labels.shape != images.shape[:1]):
    raise ValueError(f"expected labels int32 [{len(images)}], got {labels.dtype} {labels.shape}")


def _arrays(dataset: Dataset) -> dict[str, Any]:
  return {name: value for name, value in dataset._asdict().items() if value is not None}


def _digest(key: str, dataset: Dataset, remarks: Sequence[str]) -> str:
  """Of all that a file holds."""
  return files.digest(_arrays(dataset), json.dumps([key, list(remarks)]))


def _write(path: pathlib.Path, key: str, dataset: Dataset, remarks: Sequence[str]) -> None:
  """Puts a data set into the cache."""
  about = {"key": key, "remarks": remarks, "digest": _digest(key, dataset, remarks)}
  arrays = _arrays(dataset)
  arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
  path.parent.mkdir(parents=True, exist_ok=True)
  with files.replacing(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **arrays)
