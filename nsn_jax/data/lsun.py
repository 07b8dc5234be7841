"""LSUN (Yu et al., arXiv:1506.03365): TFDS's copy, or the LMDB folders that LSUN itself gives out.

TFDS prepares LSUN by tensorflow-io, which has no builds for recent Pythons and for some platforms.
The LMDB folders need the small package `lmdb` alone.
"""

import functools
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from nsn_jax.data import cache, decoding, tfds_source
from nsn_jax.data.dataset import DataError, Dataset, Request, Source

__all__ = ["source"]

#: LSUN's names of the splits.
_SPLITS = {"train": "train", "test": "val"}
_DEFAULT_SIZE = 64
_BATCH = 1024


def source(category: str, request: Request) -> Source:
  """A scene category of LSUN, RGB, [N, image_size, image_size, 3], without labels.

  Below the data folder are looked for, in this order: `lsun/CATEGORY`, as TFDS prepares it;
  `CATEGORY_train_lmdb` and `CATEGORY_val_lmdb`, as LSUN's archives unpack, there or in `lsun/`.
  Else TFDS is asked to prepare it. LSUN's validation images are the test split.

  Raises:
    DataError: the data are not there and cannot be prepared, or `lmdb` is not installed.
  """
  root = tfds_source.data_folder(request)
  spec = tfds_source.Spec(
    f"lsun/{category}", image_size=_DEFAULT_SIZE, has_labels=False, test_split="validation"
  )
  if not tfds_source.is_prepared(root / spec.name):
    name = f"{category}_{_SPLITS[request.split]}_lmdb"
    for folder in (root / name, root / "lsun" / name):
      if (folder / "data.mdb").is_file():
        identity = [str(folder), cache.fingerprint(folder, [folder / "data.mdb"])]
        return Source(functools.partial(_read, folder, request), identity)
  try:
    return tfds_source.source(spec, request)
  except DataError as error:
    raise DataError(
      f"{error}; or unpack LSUN's own {category}_train_lmdb.zip and {category}_val_lmdb.zip there"
    ) from error


def _read(folder: pathlib.Path, request: Request) -> Dataset:
  try:
    import lmdb  # an optional install
  except ImportError as error:
    raise DataError(
      f"data_dir: expected the package lmdb, to read {str(folder)!r}, got none: "
      "pip install 'nsn_jax[lsun]'"
    ) from error
  size = _DEFAULT_SIZE if request.image_size is None else request.image_size
  try:
    with lmdb.open(str(folder), readonly=True, lock=False, readahead=False) as database:
      count = database.stat()["entries"]
      count = count if request.limit is None else min(request.limit, count)
      if not count:
        raise DataError(f"data_dir: expected images in {str(folder)!r}, got an empty database")
      images = decoding.stack(
        _values(database, count),
        count,
        lambda image: decoding.decode(image, "RGB", size, f"an image of {folder.name}"),
        folder.name,
      )
  except lmdb.Error as error:
    raise DataError(
      f"data_dir: expected an LMDB of LSUN in {str(folder)!r}, got: {error}"
    ) from error
  return Dataset(images, None)


def _values(database: Any, count: int) -> Iterator[Sequence[bytes]]:
  """The first values in the order of their keys, which are hashes, in batches."""
  with database.begin() as transaction:
    values = itertools.islice(transaction.cursor().iternext(keys=False, values=True), count)
    while batch := list(itertools.islice(values, _BATCH)):
      yield batch
