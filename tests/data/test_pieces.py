"""Many images: in order, in pieces of a bounded size, from any item on, and without the broken."""

import time

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import decoding, pieces
from nsn_jax.data.dataset import Progress
from tests.data.helpers import decoded

NOTHING = Progress()


def _item(value):
  if value < 0:
    raise decoding.BrokenImageError(f"no {value}")
  return np.full((2, 2, 1), value % 251, np.uint8)


def _pieces(batches, begun=NOTHING, **options):
  """The pieces, whose images are overwritten one by the other, as they were."""
  count = begun.seen + sum(map(len, batches))
  found = pieces.decoded(batches, _item, title="x", count=count, begun=begun, **options)
  return [piece._replace(images=piece.images.copy()) for piece in found]


def test_images_of_different_shapes_are_refused():
  shapes = [(2, 2, 1), (3, 2, 1)]

  def item(shape):
    return np.zeros(shape, np.uint8)

  with pytest.raises(data.DataError, match=r"x: expected images of one shape .*\(3, 2, 1\)"):
    decoded([shapes], item)
  # Also than those before.
  with pytest.raises(data.DataError, match=r"x: expected images of one shape .*\(2, 2, 1\)"):
    decoded([shapes[:1]], item, 2, Progress(1, 1, (9, 9, 1)))
  with pytest.raises(data.DataError, match=r"x: expected 3 images, got 1"):
    decoded([shapes[:1]], item, 3)
  with pytest.raises(data.DataError, match=r"x: expected 1 images, got more"):
    decoded([shapes[:1] * 2], item, 1)


def test_broken_images_are_left_out_and_told():
  (piece,) = _pieces([[-1, 1, 2], [-2], [3, -3]])
  assert piece.images[:, 0, 0, 0].tolist() == [1, 2, 3] and piece.labels is None
  assert piece.seen == 6 and piece.broken == [(0, "no -1"), (3, "no -2"), (5, "no -3")]


def test_after_an_error_the_rest_is_not_decoded():
  asked = []

  def item(value):
    asked.append(value)
    if value == 0:
      raise data.DataError("no such file")
    return _item(value)

  with pytest.raises(data.DataError, match="no such file"):
    decoded([range(5000)], item)
  assert len(asked) < 5000


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_pieces_are_in_order_and_of_a_bounded_size(monkeypatch, batch):
  monkeypatch.setattr(pieces, "_PIECE_BYTES", 39)  # Nine images of 2x2.
  values = list(range(100))
  batches = [values[start : start + batch] for start in range(0, 100, batch)]
  found = _pieces(batches, label_of=lambda value: value + 1)
  assert [len(piece.images) for piece in found] == [9] * 11 + [1]
  assert [piece.seen for piece in found] == [9] * 11 + [1]
  assert [value for piece in found for value in piece.images[:, 0, 0, 0]] == values
  assert [label for piece in found for label in piece.labels] == [value + 1 for value in values]
  assert all(piece.labels.dtype == np.int32 for piece in found)
  monkeypatch.setattr(pieces, "_PIECE_ITEMS", 4)
  assert [piece.seen for piece in _pieces(batches)] == [4] * 25


def test_a_single_image_may_be_larger_than_a_piece(monkeypatch):
  monkeypatch.setattr(pieces, "_PIECE_BYTES", 1)
  assert [len(piece.images) for piece in _pieces([[1, 2, 3]])] == [1, 1, 1]


@pytest.mark.parametrize("begun", range(9))
def test_it_goes_on_after_any_item(monkeypatch, begun):
  monkeypatch.setattr(pieces, "_PIECE_ITEMS", 2)
  values = [-1, 1, -2, -3, 2, 3, 4, -4]
  before = values[:begun]
  kept = [value for value in before if value > 0]
  progress = Progress(begun, len(kept), (2, 2, 1) if kept else None)
  found = _pieces([values[begun:]], progress)
  assert [int(image.max()) for piece in found for image in piece.images] == [
    value for value in values[begun:] if value > 0
  ]
  assert [position for piece in found for position, _ in piece.broken] == [
    place for place in range(begun, 8) if values[place] < 0
  ]
  for piece in found:
    progress = progress.after(piece)
  assert (progress.seen, progress.kept) == (8, 4)


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 9])
def test_it_ends_with_the_last_image_that_is_wanted(wanted):
  values = [-1, 1, -2, 2, 3, -3, 4, -4]
  found = _pieces([values], wanted=wanted)
  assert sum(len(piece.images) for piece in found) == min(wanted, 4)
  assert sum(piece.seen for piece in found) == {1: 2, 2: 4, 3: 5, 4: 7}.get(wanted, 8)
  begun = Progress(7, wanted, (2, 2, 1))
  assert not list(_pieces([values[7:]], begun, wanted=wanted))


def test_no_more_than_some_tasks_run_ahead():
  """Whoever takes the pieces slowly holds no more of them for it."""
  asked = []

  def item(value):
    asked.append(value)
    return _item(value)

  found = pieces.decoded([range(50_000)], item, title="x", count=50_000, begun=Progress())
  next(found)
  time.sleep(0.3)
  num_threads = pieces._MAX_THREADS
  assert len(asked) <= 1024 + 3 * num_threads * pieces._TASK_ITEMS
  found.close()
