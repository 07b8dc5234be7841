"""Decoded images on disk, one `.npz` a request, so that a data set is decoded once."""

import hashlib
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import PIL
from absl import logging

from nsn_jax import files
from nsn_jax.data.dataset import Dataset

__all__ = ["fetch", "fingerprint"]

#: Part of every key: raise it when the same sources begin to give other pixels or labels.
_VERSION = 1


def fingerprint(root: pathlib.Path, files: Iterable[pathlib.Path]) -> list[list[Any]]:
  """Name below `root`, size and time of change of each file: a changed file changes the list."""
  stats = ((path, path.stat()) for path in files)
  return [[path.relative_to(root).as_posix(), s.st_size, s.st_mtime_ns] for path, s in stats]


def fetch(
  name: str, identity: list[Any], read: Callable[[], Dataset], cache_dir: str | os.PathLike | None
) -> Dataset:
  """Returns the data set of this identity from the cache, or reads it and puts it there.

  Trouble with the cache is a warning in the log, never an error: the data are then read again.

  Args:
    name: of the data set; it begins the file's name, so that a person can find it.
    identity: JSON-like values that decide the content; the file's name ends with their hash.
    read: reads the data set from its source.
    cache_dir: folder of the cache, made if need be; None for `nsn_jax.files.cache_dir()`.
  """
  digest = hashlib.sha256(json.dumps([_VERSION, PIL.__version__, name, identity]).encode())
  slug = re.sub(r"\W+", "-", name)
  try:
    folder = pathlib.Path(files.cache_dir() if cache_dir is None else cache_dir).expanduser()
  except RuntimeError as error:  # A user without a home folder.
    logging.warning("cache_dir: no home folder to keep decoded images in (%s)", error)
    return read()
  path = folder / f"{slug}-{digest.hexdigest()[:24]}.npz"
  cached = _read(path)
  if cached is None:
    cached = read()
    _write(path, cached)
  return cached


def _read(path: pathlib.Path) -> Dataset | None:
  """The cached data set, or None where there is none or it is damaged."""
  try:
    with np.load(path, allow_pickle=False) as arrays:
      images = arrays["images"]
      labels = arrays.get("labels")
  except FileNotFoundError:
    return None
  except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
    logging.warning("cache_dir: %s cannot be read and is made anew (%s)", path, error)
    return None
  return Dataset(images, labels)


def _write(path: pathlib.Path, dataset: Dataset) -> None:
  """Puts a data set into the cache, or warns."""
  arrays = {key: value for key, value in dataset._asdict().items() if value is not None}
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
      np.savez(file, **arrays)
  except OSError as error:
    logging.warning("cache_dir: decoded images cannot be kept in %s (%s)", path.parent, error)
