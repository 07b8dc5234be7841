"""The registry of data sets, and `load`."""

import functools
import operator
import os
import pathlib
from collections.abc import Callable
from typing import Any

from absl import logging

from nsn_jax.data import cache, decoding, digits, folder, lsun, npz, tfds_source, two_digits
from nsn_jax.data.dataset import DataError, Dataset, Request, Source, Stream, one_line

__all__ = ["NAMES", "SOURCES", "is_known", "load"]

_MNIST = functools.partial(tfds_source.source, tfds_source.Spec("mnist", mode="L", image_size=28))

#: How each data set is found. A new one is an entry here; `KIND:PATH` takes any path after `KIND:`.
SOURCES: dict[str, Callable[[Request], Source | Stream]] = {
  "digits": digits.source,
  "mnist": _MNIST,
  "two_digits": functools.partial(two_digits.source, _MNIST),
  "fashion_mnist": functools.partial(
    tfds_source.source, tfds_source.Spec("fashion_mnist", mode="L", image_size=28)
  ),
  "lfw": functools.partial(
    tfds_source.source,
    # Its labels are the names of 5,749 people, most of them with one image.
    tfds_source.Spec("lfw", image_size=64, has_labels=False, test_split=None),
  ),
  "lsun/church_outdoor": functools.partial(lsun.source, "church_outdoor"),
  "folder:PATH": folder.source,
  "npz:PATH": npz.source,
}

#: The names that `load` knows; `PATH` stands for a path.
NAMES = tuple(SOURCES)

_SPLITS = ("train", "test")


def load(
  name: str,
  *,
  split: str = "train",
  data_dir: str | os.PathLike | None = None,
  image_size: int | None = None,
  limit: int | None = None,
  cache_dir: str | os.PathLike | None = None,
) -> Dataset:
  """Loads the images of a data set, decoded and resized, as uint8.

  Sources that need decoding (all but `digits` and `npz:`) are decoded once: the result is kept
  under `cache_dir`, where it may be deleted at any time, and is found again while the arguments
  and the source's files stay the same. From there it is mapped, so that a set may be larger than
  the memory: only what is looked at is read. A decoding that was killed goes on where it was. What
  is found is checked, of more than 1 GB by its size and blocks of it: a file that is damaged, or of
  other data, is made anew. Files must not be cut off while they are in use.

  Images are turned as their EXIF says, 16-bit greys are scaled to 8 bits, and transparent pixels
  are laid on white. None may have more than 50 megapixels. Files need not be trusted: nothing in
  them is run, and what would fill the memory is an error.

  Args:
    name: one of `NAMES`:
      `digits`, scikit-learn's, in MNIST's layout (28x28, a fixed fifth of each label is the test
      split);
      `mnist`, `fashion_mnist` (28x28), `lfw` and `lsun/church_outdoor` (64x64) from TFDS; the last
      from LSUN's own LMDB folders, too;
      `two_digits`, two of `mnist`'s at random places an image (60x60), without labels;
      `folder:PATH`, all images below a folder, RGB (64x64); sub-folders `train` and `test` are the
      splits if there, else every tenth image is a test image; folders below them are the labels.
      The splits may be in any case, and named `training`, or `testing`, `val`, `valid` or
      `validation`; where several stand for one, the first of these is read. Links are followed. A
      warning in the log says which folders and files of other kinds are left out;
      `npz:PATH`, arrays `images`, uint8 or float in [0, 1], [N, H, W] or [N, H, W, C], and
      optionally integers `labels` [N]; `test_images` and `test_labels` for the test split.
      Of all but `digits` and `npz:` a broken image in a hundred is left out, and the log says
      which; more are an error.
    split: "train" or "test". TFDS has no test split of `lfw`: every tenth image is one. That of
      `lsun/church_outdoor` is LSUN's validation split.
    data_dir: TFDS's folder, with `mnist/VERSION` and so on below it; None for TFDS's own default
      (`$TFDS_DATA_DIR` or `~/tensorflow_datasets`). The other sources do not use it.
    image_size: side to which the centre square of each image is resized, >= 1; None for the
      sizes above, for `npz:` the images' own.
    limit: takes the first `limit` images only, >= 1; None for all. Where the images of a
      `folder:` are sorted by class, so are the first of them.
    cache_dir: where decoded images are kept; None for `$NSN_JAX_CACHE` or `~/.cache/nsn_jax`. If
      it cannot be written, a warning is logged, and the images are decoded into memory.

  Returns:
    images uint8 [N, H, W, C] in 0-255, those that are kept read-only, and labels int32 [N], or
    None.

  Raises:
    DataError: an argument is not as above, or the data are missing or damaged; the message names
      the argument or file, what was expected and what came. MissingSplitError, which is one, where
      a sound `folder:` or `npz:` lacks the split.

  >>> from nsn_jax import data
  >>> digits = data.load("digits", split="test")
  >>> digits.images.shape, digits.labels.shape
  ((359, 28, 28, 1), (359,))
  """
  find, path = _resolve(name)
  if split not in _SPLITS:
    raise DataError(f"split: expected one of {', '.join(_SPLITS)}, got {split!r}")
  remarks: list[str] = []
  request = Request(
    name=name,
    path=path,
    split=split,
    data_dir=None if data_dir is None else _absolute("data_dir", data_dir),
    image_size=_positive("image_size", image_size),
    limit=_positive("limit", limit),
    remark=remarks.append,
  )
  if request.image_size is not None and request.image_size > decoding.MAX_SIDE:
    raise DataError(f"image_size: expected at most {decoding.MAX_SIDE}, got {image_size!r}")
  try:
    source = find(request)
    if isinstance(source, Source):
      dataset = source.read()
    else:
      dataset = cache.fetch(request, source, remarks, cache_dir)
  except OSError as error:  # A folder that may not be looked into, a file that has gone, ...
    raise DataError(f"name: expected {name!r} to be readable, got: {error}") from error
  except MemoryError as error:
    raise DataError(
      f"name: expected memory for the images of {name!r}, got too little: give a limit or a "
      "smaller image_size"
    ) from error
  for remark in remarks:
    logging.warning("%s", one_line(remark))
  return dataset


def is_known(name: str) -> bool:
  """Whether `load` knows a data set, or a kind of them, by this name.

  >>> is_known("digits"), is_known("folder:photos"), is_known("digit")
  (True, True, False)
  """
  try:
    _resolve(name)
  except DataError:
    return False
  return True


def _resolve(name: str) -> tuple[Callable[[Request], Source | Stream], pathlib.Path | None]:
  """The name's entry in `SOURCES`, and its path if it has one."""
  kind, colon, path = name.partition(":") if isinstance(name, str) else ("", "", "")
  find = SOURCES.get(f"{kind}:PATH" if colon else kind)
  if find is None or bool(colon) != bool(path):
    raise DataError(f"name: expected one of {', '.join(NAMES)}, got {name!r}")
  return find, _absolute("name", path) if path else None


def _absolute(argument: str, path: str | os.PathLike) -> pathlib.Path:
  try:
    return pathlib.Path(path).expanduser().resolve()
  # Nobody's home, links in a circle; a NUL; a name that is too long; no path at all.
  except (RuntimeError, ValueError, OSError, TypeError) as error:
    raise DataError(f"{argument}: expected a path, got {path!r}: {error}") from error


def _positive(argument: str, value: Any) -> int | None:
  """Returns the value if it is an integer >= 1 or None."""
  if value is None:
    return None
  try:
    number = operator.index(value)
  except TypeError:
    number = 0
  if number < 1:
    raise DataError(f"{argument}: expected an integer >= 1 or None, got {value!r}")
  return number
