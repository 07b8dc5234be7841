"""The registry of data sets, and `load`."""

import functools
import operator
import os
import pathlib
from collections.abc import Callable
from typing import Any

from nsn_jax.data import cache, digits, folder, lsun, npz, tfds_source
from nsn_jax.data.dataset import DataError, Dataset, Request, Source

__all__ = ["NAMES", "SOURCES", "is_known", "load"]

#: How each data set is found. A new one is an entry here; `KIND:PATH` takes any path after `KIND:`.
SOURCES: dict[str, Callable[[Request], Source]] = {
  "digits": digits.source,
  "mnist": functools.partial(tfds_source.source, tfds_source.Spec("mnist", mode="L")),
  "fashion_mnist": functools.partial(
    tfds_source.source, tfds_source.Spec("fashion_mnist", mode="L")
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
  and the source's files stay the same.

  Args:
    name: one of `NAMES`:
      `digits`, scikit-learn's, in MNIST's layout (28x28, a fixed fifth of each label is the test
      split);
      `mnist`, `fashion_mnist` (28x28), `lfw` and `lsun/church_outdoor` (64x64) from TFDS; the last
      from LSUN's own LMDB folders, too;
      `folder:PATH`, all images below a folder, RGB (64x64); sub-folders `train` and `test` are the
      splits if there, else every tenth image is a test image; folders below them are the labels;
      `npz:PATH`, arrays `images` and optionally `labels`, `test_images`, `test_labels`.
    split: "train" or "test". TFDS has no test split of `lfw`: every tenth image is one. That of
      `lsun/church_outdoor` is LSUN's validation split.
    data_dir: TFDS's folder, with `mnist/VERSION` and so on below it; None for TFDS's own default
      (`$TFDS_DATA_DIR` or `~/tensorflow_datasets`). The other sources do not use it.
    image_size: side to which the centre square of each image is resized, >= 1; None for the
      sizes above, for `npz:` the images' own.
    limit: takes the first `limit` images only, >= 1; None for all. Where the images of a
      `folder:` are sorted by class, so are the first of them.
    cache_dir: where decoded images are kept; None for `$NSN_JAX_CACHE` or `~/.cache/nsn_jax`. If
      it cannot be written, a warning is logged.

  Returns:
    images uint8 [N, H, W, C] in 0-255 and labels int32 [N], or None.

  Raises:
    DataError: an argument is not as above, or the data are missing or damaged; the message names
      the argument or file, what was expected and what came.

  >>> from nsn_jax import data
  >>> digits = data.load("digits", split="test")
  >>> digits.images.shape, digits.labels.shape
  ((359, 28, 28, 1), (359,))
  """
  find, path = _resolve(name)
  if split not in _SPLITS:
    raise DataError(f"split: expected one of {', '.join(_SPLITS)}, got {split!r}")
  request = Request(
    name=name,
    path=path,
    split=split,
    data_dir=None if data_dir is None else _absolute(data_dir),
    image_size=_positive("image_size", image_size),
    limit=_positive("limit", limit),
  )
  source = find(request)
  if source.identity is None:
    return source.read()
  identity = [str(path), split, request.image_size, request.limit, source.identity]
  return cache.fetch(name.partition(":")[0], identity, source.read, cache_dir)


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


def _resolve(name: str) -> tuple[Callable[[Request], Source], pathlib.Path | None]:
  """The name's entry in `SOURCES`, and its path if it has one."""
  kind, colon, path = name.partition(":") if isinstance(name, str) else ("", "", "")
  find = SOURCES.get(f"{kind}:PATH" if colon else kind)
  if find is None or bool(colon) != bool(path):
    raise DataError(f"name: expected one of {', '.join(NAMES)}, got {name!r}")
  return find, _absolute(path) if path else None


def _absolute(path: str | os.PathLike) -> pathlib.Path:
  return pathlib.Path(path).expanduser().resolve()


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
