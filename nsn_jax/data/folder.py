"""A folder of image files."""

import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nsn_jax.data import cache, decoding
from nsn_jax.data.dataset import DataError, Dataset, Request, Source

__all__ = ["source"]

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif"})
_DEFAULT_SIZE = 64
_BATCH = 1024
#: Without sub-folders, one image in this many is a test image.
_TEST_SHARE = 10


def source(request: Request) -> Source:
  """The images below a folder, RGB, [N, image_size, image_size, 3].

  Sub-folders `train` and `test` are the splits where either is there; without them, every tenth
  image in the order of names is a test image. Where every image of the split lies in a folder of
  its class, the position of that folder's name in sorted order, over both splits, is its label.

  Raises:
    DataError: no such folder, no such split, or no image below it.
  """
  root = request.path
  assert root is not None  # `load` gives every `NAME:PATH` its path.
  if not root.is_dir():
    raise DataError(f"name: expected a folder after 'folder:', got {str(root)!r}, which is none")
  top = _split_folder(root, request.split)
  files = _images(top)
  if not files:
    kinds = ", ".join(sorted(suffix[1:] for suffix in _SUFFIXES))
    raise DataError(f"name: expected image files ({kinds}) below {str(top)!r}, got none")
  # Before anything is left out: that must not decide whether there are labels.
  labels = _labels(root, top, files)
  if top == root:
    is_test = np.arange(len(files)) % _TEST_SHARE == _TEST_SHARE - 1
    is_chosen = is_test == (request.split == "test")
    files = [file for file, chosen in zip(files, is_chosen, strict=True) if chosen]
    labels = None if labels is None else labels[is_chosen]
    if not files:
      raise DataError(
        f"split: expected sub-folders train and test below {str(root)!r}, or {_TEST_SHARE} images "
        f"and more, of which every tenth is a test image, got {request.split!r} of fewer"
      )
  if request.limit is not None:
    files = files[: request.limit]
    labels = None if labels is None else labels[: request.limit]
  # The labels too: an empty class folder moves them without changing a file.
  identity = [cache.fingerprint(top, files), None if labels is None else labels.tolist()]
  size = _DEFAULT_SIZE if request.image_size is None else request.image_size
  return Source(lambda: Dataset(_read(files, size, request.name), labels), identity)


def _split_folder(root: pathlib.Path, split: str) -> pathlib.Path:
  if (root / split).is_dir():
    return root / split
  if not any((root / name).is_dir() for name in ("train", "test")):
    return root
  raise DataError(f"split: expected one that {str(root)!r} has as a sub-folder, got {split!r}")


def _images(top: pathlib.Path) -> list[pathlib.Path]:
  """Image files below `top`, sorted by name; hidden ones (as `._x.jpg` of macOS) left out."""

  def is_image(path: pathlib.Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
    return path.suffix.lower() in _SUFFIXES and not is_hidden and path.is_file()

  return sorted(filter(is_image, top.rglob("*")), key=lambda path: path.relative_to(top).parts)


def _labels(
  root: pathlib.Path, top: pathlib.Path, files: Sequence[pathlib.Path]
) -> npt.NDArray[np.int32] | None:
  """The class of each file, int32 [N], or None where a file lies in no class folder."""
  parts = [path.relative_to(top).parts for path in files]
  if min(map(len, parts)) < 2:
    return None
  # Over both splits, so that a label means the same class where one split lacks a class.
  tops = [top] if top == root else [root / "train", root / "test"]
  folders = (c for t in tops if t.is_dir() for c in t.iterdir() if c.is_dir())
  classes = sorted({c.name for c in folders if not c.name.startswith(".")})
  numbers = {name: number for number, name in enumerate(classes)}
  return np.array([numbers[part[0]] for part in parts], np.int32)


def _read(files: Sequence[pathlib.Path], size: int, title: str) -> npt.NDArray[np.uint8]:
  batches = (files[start : start + _BATCH] for start in range(0, len(files), _BATCH))
  return decoding.stack(
    batches, len(files), lambda path: decoding.decode(path, "RGB", size, str(path)), title
  )
