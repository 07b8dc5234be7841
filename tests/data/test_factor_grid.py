"""Grids of factors, and combinations that are held out."""

import itertools
import re

import jax
import numpy as np
import pytest

from nsn_jax import data

_GRID = data.FactorGrid(
  num_identities=3, angles=(0.0, 90.0, 200.0), widths=(0.5, 1.0), thicknesses=(-0.5, 0.0, 0.25, 1.0)
)


def test_every_combination_once_in_the_order_of_a_product():
  factors = _GRID.factors()
  expected = list(itertools.product(range(3), _GRID.angles, _GRID.widths, _GRID.thicknesses))
  assert list(zip(*(values.tolist() for values in factors), strict=True)) == expected
  assert _GRID.shape == (3, 3, 2, 4) and len(expected) == 72
  assert [values.dtype for values in factors] == [np.int32] + [np.float32] * 3


def test_steps_are_the_largest_and_angles_go_round():
  assert _GRID.steps == (160.0, 0.5, 0.75)
  one = data.FactorGrid(num_identities=1, angles=(10,), widths=(1,), thicknesses=(0,))
  assert one.steps == (1.0, 1.0, 1.0) and one.factors().widths.tolist() == [1.0]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 68 / 72])
def test_as_many_as_asked_for_and_each_value_stays(share):
  for seed in range(20):
    is_held_out = data.hold_out(jax.random.key(seed), _GRID, share)
    assert is_held_out.dtype == bool and is_held_out.sum() == round(72 * share)
    kept = _GRID.factors().rows(~is_held_out)
    for values, size in zip(kept, _GRID.shape, strict=True):
      assert len(np.unique(values)) == size


def test_draws_are_the_keys_and_no_combination_is_spared():
  draws = [data.hold_out(jax.random.key(seed), _GRID, 0.5) for seed in range(200)]
  np.testing.assert_array_equal(draws[3], data.hold_out(jax.random.PRNGKey(3), _GRID, 0.5))
  assert len({draw.tobytes() for draw in draws}) == 200
  # Each is held out in half of the draws: of 200, by 4.5 deviations.
  assert np.abs(np.mean(draws, axis=0) - 0.5).max() < 4.5 * np.sqrt(0.25 / 200)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"num_identities": 0}, "num_identities: expected an integer of at least 1, got 0"),
    ({"angles": ()}, "angles: expected ascending numbers, at least one, got ()"),
    ({"angles": (0.0, 360.0)}, "angles: expected degrees below 360, got 360.0"),
    ({"angles": (-1.0,)}, "angles: expected a finite number of at least 0.0"),
    ({"widths": (0.0, 1.0)}, "widths: expected a finite number above 0.0"),
    ({"widths": (1.0, 0.5)}, "widths: expected ascending numbers"),
    ({"widths": 1.0}, "widths: expected numbers, got 1.0"),
    ({"thicknesses": (0.5, 0.5)}, "thicknesses: expected ascending numbers"),
    ({"thicknesses": (float("nan"),)}, "thicknesses: expected a finite number"),
  ],
)
def test_bad_grids(change, message):
  given = {"num_identities": 2, "angles": (0.0,), "widths": (1.0,), "thicknesses": (0.0,)}
  with pytest.raises(ValueError, match=re.escape(message)):
    data.FactorGrid(**given | change)


def test_bad_shares():
  key = jax.random.key(0)
  with pytest.raises(
    ValueError, match=r"share: expected at most 0\.9444, .* of 72 comb.*, got 0\.96"
  ):
    data.hold_out(key, _GRID, 0.96)
  with pytest.raises(
    ValueError, match=r"share: expected a finite number of at least 0\.0, .* -0\.1"
  ):
    data.hold_out(key, _GRID, -0.1)
  with pytest.raises(ValueError, match="key: expected one PRNG key"):
    data.hold_out(0, _GRID, 0.5)
  with pytest.raises(ValueError, match="grid: expected a FactorGrid, got tuple"):
    data.hold_out(key, (3, 3), 0.5)
