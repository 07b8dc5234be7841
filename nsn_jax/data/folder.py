"""A folder of image files."""

import collections
import functools
import os
import pathlib
from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from absl import logging

from nsn_jax.data import broken, cache, decoding, pieces
from nsn_jax.data.dataset import (
  DataError,
  MissingSplitError,
  Piece,
  Progress,
  Request,
  Stream,
  one_line,
)

__all__ = ["source"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif"})
_DEFAULT_SIZE = 64
_BATCH = 1024
#: Without sub-folders, one image in this many is a test image.
_TEST_SHARE = 10
#: Names of the sub-folders that are splits, in any case; of several for one, the first is read.
_SPLITS = {
  "train": ("train", "training"),
  "test": ("test", "testing", "val", "valid", "validation"),
}
#: A folder may be reached by so many links: two in each of 30 folders make a billion ways.
_MAX_WAYS = 100


class _Files(NamedTuple):
  """What lies below a folder.

  Attributes:
    images: sorted by name.
    others: how many files were left out, by ending, or for another reason.
  """

  images: list[pathlib.Path]
  others: collections.Counter[str]


def source(request: Request) -> Stream:
  """The images below a folder, RGB, [N, image_size, image_size, 3].

  Sub-folders `train` and `test`, or of another usual name for these, are the splits where either is
  there; without them, every tenth image in the order of names is a test image. Where every image of
  the split lies in a folder of its class, the position of that folder's name in sorted order, over
  both splits, is its label. Links are followed. What is left out is said in the log.

  Raises:
    DataError: no such folder, no such split, or no image below it; when read: more than one image
      in a hundred is broken.
  """
  root = request.path
  assert root is not None  # `load` gives every `NAME:PATH` its path.
  if not root.is_dir():
    raise DataError(f"name: expected a folder after 'folder:', got {str(root)!r}, which is none")
  splits = _split_folders(root)
  top = splits.get(request.split, root)
  if splits and top == root:
    raise MissingSplitError(
      f"split: expected one that {str(root)!r} has as a sub-folder, got {request.split!r}"
    )
  files, others = _below(top)
  left_out = broken.listed(f"{count} {kind}" for kind, count in others.most_common())
  if not files:
    kinds = ", ".join(sorted(suffix[1:] for suffix in _SUFFIXES))
    raise DataError(
      f"name: expected image files ({kinds}) below {str(top)!r}, got {left_out or 'none'}"
    )
  if others:
    logging.warning("%s: left out beside the images: %s", one_line(top), one_line(left_out))
  # Before anything is left out: that must not decide whether there are labels.
  labels = _labels(top, list(splits.values()) or [root], files)
  if top == root:
    is_test = np.arange(len(files)) % _TEST_SHARE == _TEST_SHARE - 1
    is_chosen = is_test == (request.split == "test")
    files = [file for file, chosen in zip(files, is_chosen, strict=True) if chosen]
    labels = None if labels is None else labels[is_chosen]
    if not files:
      raise MissingSplitError(
        f"split: expected sub-folders train and test below {str(root)!r}, or {_TEST_SHARE} images "
        f"and more, of which every tenth is a test image, got {request.split!r} of fewer"
      )
  num_files = len(files)
  files = files[: broken.with_spares(request.limit, num_files)]
  labels = None if labels is None else labels[: len(files)]
  # The labels too: an empty class folder moves them without changing a file.
  identity = [num_files, cache.fingerprint(top, files), None if labels is None else labels.tolist()]
  read = functools.partial(_pieces, top, files, labels, num_files, request)
  return Stream(read, identity)


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """The sub-folders that are splits; says what is left out beside them."""
  folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
  found = {}
  for split, names in _SPLITS.items():
    fitting = [path for path in folders if path.name.lower() in names]
    if fitting:
      # Of one name in several cases, that in small letters.
      found[split] = min(
        fitting, key=lambda p: (names.index(p.name.lower()), p.name != p.name.lower(), p.name)
      )
  unread = sorted(repr(path.name) for path in folders if path not in found.values())
  if found and unread:
    logging.warning(
      "%s: the splits are %s; other folders beside them are left out: %s",
      one_line(root),
      " and ".join(f"{split} = {path.name!r}" for split, path in found.items()),
      one_line(broken.listed(unread)),
    )
  return found


def _below(top: pathlib.Path) -> _Files:
  """All files below a folder, but hidden ones (as `._x.jpg` of macOS), through links, too."""
  images: list[pathlib.Path] = []
  others: collections.Counter[str] = collections.Counter()
  ways: collections.Counter[tuple[int, int]] = collections.Counter()
  open_folders: list[tuple[pathlib.Path, frozenset[tuple[int, int]]]] = [(top, frozenset())]
  while open_folders:
    folder, above = open_folders.pop()
    status = folder.stat()
    place = status.st_dev, status.st_ino
    if place in above:
      others["links to a folder around them"] += 1
      continue
    ways[place] += 1
    if ways[place] > _MAX_WAYS:
      raise DataError(
        f"name: expected folders that at most {_MAX_WAYS} links lead to, got {str(folder)!r}"
      )
    with os.scandir(folder) as entries:
      for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
          continue
        kind = _kind(entry)
        if kind == "folder":
          open_folders.append((path, above | {place}))
        elif kind == "image":
          images.append(path)
        else:
          others[kind] += 1
  return _Files(sorted(images, key=lambda path: path.relative_to(top).parts), others)


def _kind(entry: os.DirEntry[str]) -> str:
  """Whether an entry is a folder or an image; else what it is for the log."""
  try:
    if entry.is_dir():
      return "folder"
    if not entry.is_file():
      return "links that lead nowhere" if entry.is_symlink() else "that are no files"
  except OSError:  # A link in a circle.
    return "links that lead nowhere"
  suffix = pathlib.PurePath(entry.name).suffix.lower()
  return "image" if suffix in _SUFFIXES else suffix or "without an ending"


def _labels(
  top: pathlib.Path, splits: Sequence[pathlib.Path], files: Sequence[pathlib.Path]
) -> npt.NDArray[np.int32] | None:
  """The class of each file, int32 [N], or None where a file lies in no class folder."""
  parts = [path.relative_to(top).parts for path in files]
  if min(map(len, parts)) < 2:
    return None
  # Over both splits, so that a label means the same class where one split lacks a class.
  folders = (path for split in splits for path in split.iterdir() if path.is_dir())
  classes = sorted({path.name for path in folders if not path.name.startswith(".")})
  numbers = {name: number for number, name in enumerate(classes)}
  return np.array([numbers[part[0]] for part in parts], np.int32)


def _pieces(
  top: pathlib.Path,
  files: Sequence[pathlib.Path],
  labels: npt.NDArray[np.int32] | None,
  num_files: int,
  request: Request,
  begun: Progress,
) -> Generator[Piece]:
  """Decodes the images that are asked for.

  Args:
    top: the split's folder.
    files: of the images; with a limit, some more to take in the place of broken ones.
    labels: of all of these.
    num_files: of the split.
    request: its limit is on the images that are not broken.
    begun: what was decoded before.
  """
  size = _DEFAULT_SIZE if request.image_size is None else request.image_size
  # The positions, so that an item knows its label.
  starts = range(begun.seen, len(files), _BATCH)
  decoded = pieces.decoded(
    (range(start, min(start + _BATCH, len(files))) for start in starts),
    lambda position: decoding.decode(files[position], "RGB", size, str(files[position])),
    title=request.name,
    count=len(files),
    begun=begun,
    wanted=request.limit,
    label_of=None if labels is None else lambda position: int(labels[position]),
  )
  return broken.left_out(
    decoded,
    begun,
    count=num_files,
    place=str(top),
    name_of=lambda position: repr(files[position].relative_to(top).as_posix()),
    remark=request.remark,
  )
