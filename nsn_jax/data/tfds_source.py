"""Data sets of tensorflow-datasets (TFDS), read without TensorFlow where their files allow it."""

import functools
import importlib.util
import itertools
import os
import pathlib
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nsn_jax.data import broken, cache, decoding, pieces
from nsn_jax.data.dataset import DataError, Piece, Progress, Request, Stream

__all__ = ["Spec", "data_folder", "is_prepared", "source"]

#: Records read at a time: reading them singly takes two to three times as long.
_BATCH = 1024
#: Where TFDS has no test split, one image in this many, by position, is a test image.
_TEST_SHARE = 10

_Records = Iterator[Sequence[dict[str, Any]]]


class Spec(NamedTuple):
  """A TFDS data set with images under "image".

  Attributes:
    name: TFDS's name, with the configuration after a slash.
    mode: "L" for grey images, "RGB" for colour.
    image_size: side to which images are resized unless the caller says otherwise; None for none.
    has_labels: whether integers stand under "label".
    test_split: TFDS's name of the test split; None takes every tenth image of "train".
  """

  name: str
  mode: str = "RGB"
  image_size: int | None = None
  has_labels: bool = True
  test_split: str | None = "test"


def source(spec: Spec, request: Request) -> Stream:
  """A prepared TFDS data set; prepares (downloads) it only if TensorFlow and a network are there.

  Raises:
    DataError: the data are not there and cannot be prepared.
  """
  root = data_folder(request)
  folder = root / spec.name
  if not is_prepared(folder):
    _prepare(spec, root)
  files = sorted(path for path in folder.rglob("*") if path.is_file())
  identity = [str(root), spec._asdict(), cache.fingerprint(folder, files)]
  return Stream(functools.partial(_pieces, spec, request, root), identity)


def data_folder(request: Request) -> pathlib.Path:
  """The folder of the data sets: as asked for, else TFDS's own."""
  if request.data_dir is not None:
    return request.data_dir
  # TFDS's own rule, without its import, so that cached data load at once.
  folder = pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
  return folder.expanduser().resolve()


def is_prepared(folder: pathlib.Path) -> bool:
  """Whether TFDS has prepared a version of the data set in its folder."""
  return any(folder.glob("*/dataset_info.json"))


def _prepare(spec: Spec, root: pathlib.Path) -> None:
  """Downloads and prepares the data set under `root`."""
  missing = (
    f"data_dir: expected {spec.name!r} prepared by TFDS, got {str(root)!r} without "
    f"{spec.name}/VERSION/dataset_info.json"
  )
  advice = "give the data_dir that holds it, or use digits, folder:PATH or npz:PATH"
  if not _has("tensorflow"):
    raise DataError(f"{missing}; preparing it needs TensorFlow: {advice}")
  if not _is_online():
    raise DataError(f"{missing}; downloading it needs a network: {advice}")
  try:
    import tensorflow_datasets as tfds

    # Array records, where the platform has them, can be read without TensorFlow ever after.
    options = {"file_format": "array_record"} if _has("array_record") else {}
    tfds.builder(spec.name, data_dir=root, **options).download_and_prepare()
  except Exception as error:  # Anything from a missing import to a full disk.
    raise DataError(f"{missing}; preparing it failed ({_first_line(error)}): {advice}") from error


def _has(module: str) -> bool:
  return importlib.util.find_spec(module) is not None


def _is_online() -> bool:
  """Whether a download has a chance: without this, TFDS may wait for minutes."""
  if os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY"):
    return True
  try:
    socket.create_connection(("storage.googleapis.com", 443), timeout=5).close()
  except OSError:
    return False
  return True


def _pieces(spec: Spec, request: Request, root: pathlib.Path, begun: Progress) -> Generator[Piece]:
  is_test = request.split == "test"
  tfds_split = spec.test_split if is_test and spec.test_split is not None else "train"
  count, batches = _open(spec.name, tfds_split, root)
  positions = np.arange(count)
  if spec.test_split is None:
    positions = positions[(positions % _TEST_SHARE == 0) == is_test]
  in_all = len(positions)
  positions = positions[: broken.with_spares(request.limit, in_all)]
  size = spec.image_size if request.image_size is None else request.image_size
  if not len(positions):
    raise DataError(
      f"data_dir: expected images of {spec.name!r}, split {tfds_split!r}, in {str(root)!r}, "
      "got none"
    )
  try:
    decoded = pieces.decoded(
      batches(positions[begun.seen :].tolist()),
      lambda r: decoding.decode(r["image"], spec.mode, size, f"an image of {spec.name}"),
      title=spec.name,
      count=len(positions),
      begun=begun,
      wanted=request.limit,
      label_of=_label if spec.has_labels else None,
    )
    yield from broken.left_out(
      decoded,
      begun,
      count=in_all,
      place=f"{spec.name}, split {tfds_split!r}",
      name_of=lambda position: f"record {positions[position]}",
      remark=request.remark,
    )
  except DataError:
    raise
  except Exception as error:  # array_record raises RuntimeError, TensorFlow errors of its own.
    raise DataError(
      f"data_dir: expected undamaged records of {spec.name!r} in {str(root)!r}, "
      f"got: {_first_line(error)}"
    ) from error


def _label(record: dict[str, Any]) -> int:
  label = int(record["label"])
  if not 0 <= label < 2**31:
    raise ValueError(f"the label {label}")
  return label


def _open(
  name: str, split: str, root: pathlib.Path
) -> tuple[int, Callable[[Sequence[int]], _Records]]:
  """Opens a prepared split.

  Returns:
    The number of its records, and a function that reads those at ascending positions in batches,
    with images left encoded.
  """
  try:
    import tensorflow_datasets as tfds
  except Exception as error:  # Packages below it that do not fit each other raise what they like.
    raise DataError(
      f"name: expected tensorflow-datasets to be installed to read {name!r}, "
      f"got: {_first_line(error)}"
    ) from error
  options = {
    "split": split,
    "data_dir": root,
    "download": False,
    "decoders": {"image": tfds.decode.SkipDecoding()},
  }
  try:
    records = tfds.data_source(name, **options)
    return len(records), lambda positions: _by_position(records, positions)
  except Exception as error:  # Not array records, no array_record, no such split, ...
    if not _has("tensorflow"):
      raise DataError(
        f"data_dir: expected {name!r}, split {split!r}, as array records (other formats need "
        f"TensorFlow) in {str(root)!r}, got: {_first_line(error)}"
      ) from error
  try:
    # One file after the other, so that positions are those of the data source.
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    stream, info = tfds.load(name, read_config=config, with_info=True, **options)
    count = info.splits[split].num_examples
    return count, lambda positions: _in_order(tfds.as_numpy(stream), positions)
  except Exception as error:
    raise DataError(
      f"data_dir: expected {name!r}, split {split!r}, in {str(root)!r}, got: {_first_line(error)}"
    ) from error


def _by_position(records: Any, positions: Sequence[int]) -> _Records:
  for start in range(0, len(positions), _BATCH):
    yield records.__getitems__(list(positions[start : start + _BATCH]))


def _in_order(stream: Any, positions: Sequence[int]) -> _Records:
  wanted = set(positions)
  head = enumerate(itertools.islice(stream, max(positions, default=-1) + 1))
  chosen = (record for position, record in head if position in wanted)
  while batch := list(itertools.islice(chosen, _BATCH)):
    yield batch


def _first_line(error: Exception) -> str:
  return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
