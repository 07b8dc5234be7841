"""Two halves of a set of images, always the same ones, whatever order its files come in."""

from typing import NamedTuple

import jax
import numpy as np
import numpy.typing as npt

__all__ = ["Halves", "halves"]

#: Of the order that is cut in two.
_SEED = 7


class Halves(NamedTuple):
  """Positions of the images of either half, each in a random order.

  Attributes:
    first: the larger one, of an odd number.
    second: the rest.
  """

  first: npt.NDArray[np.integer]
  second: npt.NDArray[np.integer]


def halves(count: int) -> Halves:
  """The halves of so many images, by a fixed key.

  >>> found = halves(9)
  >>> len(found.first), len(found.second), sorted([*found.first, *found.second]) == list(range(9))
  (5, 4, True)
  """
  order = np.asarray(jax.random.permutation(jax.random.key(_SEED), count))
  middle = (count + 1) // 2
  return Halves(order[:middle], order[middle:])
