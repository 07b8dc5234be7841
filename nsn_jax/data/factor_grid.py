"""Grids of factors' values, and combinations of them that are held out."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, host_random
from nsn_jax.data.known_factors import Factors

__all__ = ["FactorGrid", "hold_out"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FactorGrid:
  """Values that each factor takes, ascending; every combination of them is an image.

  Attributes:
    num_identities: >= 1.
    angles: in degrees, at least 0 and below 360.
    widths: > 0.
    thicknesses: in pixels.

  Raises:
    ValueError: for values that are not as above.
  """

  num_identities: int
  angles: tuple[float, ...]
  widths: tuple[float, ...]
  thicknesses: tuple[float, ...]

  def __post_init__(self) -> None:
    checks.integer("num_identities", self.num_identities, 1)
    for name, low in (("angles", 0.0), ("widths", 0.0), ("thicknesses", -np.inf)):
      given = getattr(self, name)
      if not isinstance(given, Sequence):
        raise ValueError(f"{name}: expected numbers, got {given!r}")
      values = tuple(checks.number(name, value, low, above=name == "widths") for value in given)
      if not values or list(values) != sorted(set(values)):
        raise ValueError(f"{name}: expected ascending numbers, at least one, got {given!r}")
      object.__setattr__(self, name, values)
    if self.angles[-1] >= 360:
      raise ValueError(f"angles: expected degrees below 360, got {self.angles[-1]}")

  @property
  def shape(self) -> tuple[int, int, int, int]:
    """Numbers of identities, angles, widths and thicknesses."""
    return self.num_identities, len(self.angles), len(self.widths), len(self.thicknesses)

  @property
  def steps(self) -> tuple[float, float, float]:
    """Largest step from one angle, width and thickness to the next: 1 where there is one value.

    The last angle is followed by the first.
    """
    circle = (*self.angles, self.angles[0] + 360.0) if len(self.angles) > 1 else self.angles
    return _largest(circle), _largest(self.widths), _largest(self.thicknesses)

  def factors(self) -> Factors:
    """All combinations, the thickness changing first and the identity last."""
    values = (range(self.num_identities), self.angles, self.widths, self.thicknesses)
    found = [each.ravel() for each in np.meshgrid(*values, indexing="ij")]
    return Factors(found[0].astype(np.int32), *(each.astype(np.float32) for each in found[1:]))


def _largest(values: Sequence[float]) -> float:
  """Largest step from one value to the next."""
  return float(max(np.diff(values), default=1.0))


def hold_out(key: jax.Array, grid: FactorGrid, share: float) -> npt.NDArray[np.bool_]:
  """Draws combinations to be held out, so that each value of each factor is in others still.

  First some that stay are drawn, as many as the factor of most values has, of which each value is
  in one at least; the held-out ones are drawn evenly from the rest.

  Args:
    key: PRNG key.
    grid: of the combinations.
    share: of all combinations that are held out, rounded; in [0, 1).

  Returns:
    bool [N], in the order of `grid.factors()`.

  Raises:
    ValueError: for arguments that are not as above, or a share that leaves too few.
  """
  key = checks.key("key", key)
  checks.instance("grid", grid, FactorGrid)
  share = checks.number("share", share, 0.0)
  random = host_random.generator(key)
  total, least = int(np.prod(grid.shape)), max(grid.shape)
  count = round(share * total)
  if count > total - least:
    raise ValueError(
      f"share: expected at most {(total - least) / total:.4g}, which leaves each value in one of "
      f"{total} combinations, got {share}"
    )
  # Each factor's values in an order of their own, over and over.
  positions = [np.resize(random.permutation(size), least) for size in grid.shape]
  staying = np.ravel_multi_index(positions, grid.shape)
  others = np.setdiff1d(np.arange(total), staying)
  found = np.zeros(total, bool)
  found[random.permutation(others)[:count]] = True
  return found
