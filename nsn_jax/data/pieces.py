"""Many images, decoded in threads piece by piece: never more than a few pieces are in memory."""

import collections
import concurrent.futures
import contextlib
import itertools
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import tqdm

from nsn_jax.data import decoding
from nsn_jax.data.dataset import DataError, Piece, Progress

__all__ = ["decoded"]

#: Threads at most: 16 times the 25 MB of a small image, and the 600 MB of a large one, are 1 GB.
_MAX_THREADS = 16
#: Items of a piece at most, and bytes of its images unless one alone has more.
_PIECE_ITEMS = 1024
_PIECE_BYTES = 2**24
#: What a thread is given at a time, likewise: handing over images of MNIST singly takes a quarter
#: of the time that decoding them does.
_TASK_ITEMS = 16
_TASK_BYTES = 2**20

_Item = TypeVar("_Item")
_Image = npt.NDArray[np.uint8]


def decoded(
  batches: Iterable[Sequence[_Item]],
  decode_item: Callable[[_Item], _Image],
  *,
  title: str,
  count: int,
  begun: Progress,
  wanted: int | None = None,
  label_of: Callable[[_Item], int] | None = None,
) -> Generator[Piece]:
  """Decodes items in threads, with a progress bar on a terminal.

  Items that `decode_item` calls broken are left out, and told in the pieces.

  Args:
    batches: the items after those that are done with, in order; how they are divided tells only
      what is held undecoded.
    decode_item: gives uint8 [H, W, C] of the same shape for each item.
    title: names the data set in the bar and in errors.
    count: number of items in all, those before among them.
    begun: what was decoded before.
    wanted: number of images in all after which nothing more is decoded; None for all.
    label_of: gives an image's label, in int32; None where there are none.

  Yields:
    Pieces of at most 1,024 items and, but for a single image, 16 MB. Their images are overwritten
    by those of the next piece.

  Raises:
    DataError: images of different shapes, more or fewer items than `count`.
  """
  seen, kept, shape = begun.seen, begun.kept, begun.shape
  if kept == wanted:
    return
  images = np.empty((0, *(shape or (0, 0, 0))), np.uint8)
  room, filled, first = _PIECE_ITEMS, 0, seen
  labels: list[int] = []
  broken: list[tuple[int, str]] = []

  def piece() -> Piece:
    found = None if label_of is None else np.array(labels, np.int32)
    return Piece(images[:filled], found, seen - first, broken)

  total = count if wanted is None else min(count, wanted)
  # disable=None: off where stderr is no terminal. delay: no bar for what takes a moment.
  bar = tqdm.tqdm(total=total, initial=seen, desc=title, unit="image", disable=None, delay=1.0)
  num_threads = min(_MAX_THREADS, 4 + (os.cpu_count() or 1))
  pool = concurrent.futures.ThreadPoolExecutor(num_threads, initializer=decoding.begin_thread)
  with bar, decoding.without_pillows_warnings(), contextlib.ExitStack() as ending:
    # After an error, or Ctrl-C, what waits is not decoded.
    ending.callback(pool.shutdown, cancel_futures=True)
    every = itertools.chain.from_iterable(batches)
    for item, found in _in_order(pool, num_threads, every, decode_item):
      if seen == count:
        raise DataError(f"{title}: expected {count} images, got more")
      if isinstance(found, decoding.BrokenImageError):
        broken.append((seen, str(found)))
      else:
        shape = found.shape if shape is None else shape
        if found.shape != shape:
          raise DataError(
            f"{title}: expected images of one shape (or an image_size), got {shape} and "
            f"{found.shape}"
          )
        if not len(images):  # Once for all pieces: new ones leave holes in the memory.
          room = max(1, min(_PIECE_ITEMS, _PIECE_BYTES // max(1, found.nbytes)))
          images = np.empty((room, *shape), np.uint8)
        images[filled] = found
        filled += 1
        kept += 1
        if label_of is not None:
          labels.append(label_of(item))
      seen += 1
      if seen - first >= room or kept == wanted:
        bar.update(seen - first)
        yield piece()
        labels, broken = [], []
        filled, first = 0, seen
      if kept == wanted:
        return
    if seen > first:
      bar.update(seen - first)
      yield piece()
  if seen != count:
    raise DataError(f"{title}: expected {count} images, got {seen}")


def _in_order(
  pool: concurrent.futures.Executor,
  num_threads: int,
  items: Iterator[_Item],
  decode_item: Callable[[_Item], _Image],
) -> Iterator[tuple[_Item, _Image | decoding.BrokenImageError]]:
  """Each item with its image, or with what is broken in it; some tasks a thread run ahead."""

  def attempt(item: _Item) -> _Image | decoding.BrokenImageError:
    try:
      return decode_item(item)
    except decoding.BrokenImageError as error:
      return error

  def task(some: Sequence[_Item]) -> list[_Image | decoding.BrokenImageError | None]:
    found: list[_Image | decoding.BrokenImageError | None] = []
    for item in some:
      try:
        found.append(attempt(item))
      except decoding.LargeImageError:
        found.append(None)
    return found

  waiting: collections.deque[tuple[list[_Item], concurrent.futures.Future]] = collections.deque()
  size, is_last = 1, False
  while waiting or not is_last:
    while not is_last and len(waiting) < 2 * num_threads:
      some = list(itertools.islice(items, size))
      is_last = not some
      if some:
        waiting.append((some, pool.submit(task, some)))
    if not waiting:
      return
    some, done = waiting.popleft()
    for item, found in zip(some, done.result(), strict=True):
      image = attempt(item) if found is None else found
      if not isinstance(image, decoding.BrokenImageError):
        size = max(1, min(_TASK_ITEMS, _TASK_BYTES // max(1, image.nbytes)))
      yield item, image
