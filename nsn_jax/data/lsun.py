"""LSUN (Yu et al., arXiv:1506.03365): TFDS's copy, or the LMDB folders that LSUN itself gives out.

TFDS prepares LSUN by tensorflow-io, which has no builds for recent Pythons and for some platforms.
The LMDB folders need nothing.
"""

import functools
import pathlib
from collections.abc import Generator, Iterator, Sequence
from typing import BinaryIO

from nsn_jax.data import broken, cache, decoding, lmdb_file, pieces, tfds_source
from nsn_jax.data.dataset import DataError, Piece, Progress, Request, Stream

__all__ = ["source"]

#: LSUN's names of the splits.
_SPLITS = {"train": "train", "test": "val"}
_DEFAULT_SIZE = 64
#: Images that are read at a time, and their bytes.
_BATCH = 1024
_BATCH_BYTES = 64 * 2**20


def source(category: str, request: Request) -> Stream:
  """A scene category of LSUN, RGB, [N, image_size, image_size, 3], without labels.

  Below the data folder are looked for, in this order: `lsun/CATEGORY`, as TFDS prepares it;
  `CATEGORY_train_lmdb` and `CATEGORY_val_lmdb`, as LSUN's archives unpack, there or in `lsun/`.
  Else TFDS is asked to prepare it. LSUN's validation images are the test split.

  Raises:
    DataError: the data are not there and cannot be prepared; when read: they are damaged, or more
      than one image in a hundred is broken.
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
        return Stream(functools.partial(_pieces, folder, request), identity)
  try:
    return tfds_source.source(spec, request)
  except DataError as error:
    raise DataError(
      f"{error}; or unpack LSUN's own {category}_train_lmdb.zip and {category}_val_lmdb.zip there"
    ) from error


def _pieces(folder: pathlib.Path, request: Request, begun: Progress) -> Generator[Piece]:
  size = _DEFAULT_SIZE if request.image_size is None else request.image_size
  expected = f"data_dir: expected an LMDB of LSUN in {str(folder)!r}"
  try:
    with (folder / "data.mdb").open("rb") as file:
      count = lmdb_file.count(file)
      # Without a limit all values are looked for, which tells a file that lost some.
      limit = None if request.limit is None else broken.with_spares(request.limit, count)
      places = lmdb_file.locate(file, limit)
      if not places:
        raise DataError(f"data_dir: expected images in {str(folder)!r}, got an empty database")
      decoded = pieces.decoded(
        _values(file, places[begun.seen :]),
        lambda image: decoding.decode(image, "RGB", size, f"an image of {folder.name}"),
        title=folder.name,
        count=len(places),
        begun=begun,
        wanted=request.limit,
      )
      yield from broken.left_out(
        decoded,
        begun,
        count=count,
        place=str(folder),
        name_of=lambda position: f"value {position}",
        remark=request.remark,
      )
  except DataError:
    raise
  except (OSError, ValueError) as error:
    raise DataError(f"{expected}, got: {error}") from error


def _values(file: BinaryIO, places: Sequence[lmdb_file.Place]) -> Iterator[Sequence[bytes]]:
  """The values at these places, in batches."""
  batch: list[bytes] = []
  size = 0
  for place in places:
    batch.append(lmdb_file.read(file, place))
    size += place.size
    if len(batch) == _BATCH or size >= _BATCH_BYTES:
      yield batch
      batch, size = [], 0
  if batch:
    yield batch
