"""Two halves of a set: the same ones every time, and fair ones."""

import numpy as np
import pytest

from experiments.common.halves import halves


@pytest.mark.parametrize("count", [0, 1, 2, 9, 1001])
def test_every_image_is_in_one_of_them(count: int) -> None:
  first, second = halves(count)
  assert len(first) - len(second) == count % 2
  np.testing.assert_array_equal(np.sort([*first, *second]), np.arange(count))
  for part, again in zip((first, second), halves(count), strict=True):
    np.testing.assert_array_equal(part, again)


def test_of_a_folder_sorted_by_class_each_has_some_of_all() -> None:
  for part in halves(1000):
    # Four deviations of as many fair coins.
    assert abs((part < 500).mean() - 0.5) < 4 * 0.5 / len(part) ** 0.5
