"""Broken images of many: how many are asked for, passed over, told, and when they are too many."""

import numpy as np
import pytest

from nsn_jax.data import DataError, broken
from nsn_jax.data.dataset import Piece, Progress


@pytest.mark.parametrize(
  ("limit", "count", "expected"),
  [(None, 250, 250), (10, 250, 12), (10, 99, 10), (249, 250, 250), (1, 60_000, 601), (5, 3, 3)],
)
def test_a_limit_has_spares_by_hand(limit, count, expected):
  assert broken.with_spares(limit, count) == expected


def _told(positions, count, begun=()):
  """Passes one piece on; what was passed and told."""
  piece = Piece(np.zeros((3, 2, 2, 1), np.uint8), None, 9, [(p, f"no {p}") for p in positions])
  lines: list[str] = []
  passed = list(
    broken.left_out(
      (each for each in [piece]),
      Progress(len(begun), broken=tuple((p, f"no {p}") for p in begun)),
      count=count,
      place="x",
      name_of=lambda position: f"<{position}>",
      remark=lines.append,
    )
  )
  assert passed == [piece]
  return lines


def test_those_before_a_kill_count_and_are_told():
  assert _told([], 100) == []
  assert _told([4], 100) == ["x: left out 1 of 9 images, which are broken: <4>"]
  assert _told([4], 200, [0]) == ["x: left out 2 of 10 images, which are broken: <0>, <4>"]


def test_more_than_one_in_a_hundred_are_an_error_of_the_first():
  with pytest.raises(DataError, match=r"^no 0 \(2 of 10 images are broken: .* 1% of all 199"):
    _told([4], 199, [0])
  with pytest.raises(DataError, match=r"^no 4 \(1 of 9 images are broken: .* 1% of all 99"):
    _told([4], 99)
