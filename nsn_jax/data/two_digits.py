"""Two digits an image, at random places, as DRAW was shown (arXiv:1502.04623, section 4.3)."""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from nsn_jax.data import decoding
from nsn_jax.data.dataset import Piece, Progress, Request, Source, Stream

__all__ = ["SIDE", "source"]

#: Of an image, as in the paper; a digit's image has 28.
SIDE = 60
#: Images that are put together at a time.
_AT_ONCE = 1_000
#: What begins the identity of the set: raise it when pairs or places change.
_VERSION = 1


def source(digits: Callable[[Request], Source | Stream], request: Request) -> Stream:
  """Images of two of a data set's digits, uint8 [N, 60, 60, 1], as many as it has.

  Each digit is the first of one image and the second of another. Either may lie anywhere within the
  image, whatever the other one covers; where both are, the lighter pixel counts. Which meet, and
  where, is drawn once and for all. There are no labels.

  Args:
    digits: source of the digits, of 28x28.
    request: of the pairs.
  """
  singles = digits(request._replace(image_size=None, limit=None))
  identity: list[Any] = [_VERSION]
  if isinstance(singles, Stream):
    identity += singles.identity
  return Stream(lambda begun: _pieces(singles, request, begun), identity)


def _pieces(singles: Source | Stream, request: Request, begun: Progress) -> Generator[Piece]:
  images = _all_of(singles)
  # Unlike default_rng, its streams are frozen for all time.
  random = np.random.RandomState(request.split == "test")
  partners = random.permutation(len(images))
  corners = random.randint(0, SIDE - images.shape[1] + 1, (2, len(images), 2))
  count = len(images) if request.limit is None else min(request.limit, len(images))
  for start in range(begun.seen, count, _AT_ONCE):
    rows = np.arange(start, min(start + _AT_ONCE, count))
    pairs = np.maximum(
      _placed(images[rows], corners[0, rows]), _placed(images[partners[rows]], corners[1, rows])
    )
    yield Piece(decoding.resize(pairs, request.image_size), None, len(rows), [])


def _all_of(singles: Source | Stream) -> npt.NDArray[np.uint8]:
  """The digits themselves."""
  if isinstance(singles, Source):
    return singles.read().images
  return np.concatenate([piece.images.copy() for piece in singles.pieces(Progress())])


def _placed(
  images: npt.NDArray[np.uint8], corners: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint8]:
  """Images on black ones, their first rows and columns at `corners`, [n, 2]."""
  num, height, width, channels = images.shape
  found = np.zeros((num, SIDE, SIDE, channels), np.uint8)
  rows, columns = (
    corners[:, axis, None] + np.arange(length) for axis, length in ((0, height), (1, width))
  )
  found[np.arange(num)[:, None, None], rows[:, :, None], columns[:, None]] = images
  return found
