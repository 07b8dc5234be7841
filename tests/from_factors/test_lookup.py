"""What seen images have for factors: by loops, by hand, and where there is nothing."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import neighbors

from nsn_jax import data, from_factors

_STEPS = (30.0, 0.2, 0.5)


def _drawn(rng: np.random.Generator, count: int) -> data.Factors:
  return data.Factors(
    rng.integers(0, 3, count),
    30.0 * rng.integers(0, 12, count),
    0.6 + 0.2 * rng.integers(0, 4, count),
    0.5 * rng.integers(0, 3, count),
  )


def _distance(one, other):
  """In steps, of two rows of factors."""
  if one[0] != other[0]:
    return np.inf
  turn = abs(one[1] - other[1]) % 360
  return min(turn, 360 - turn) / 30 + abs(one[2] - other[2]) / 0.2 + abs(one[3] - other[3]) / 0.5


def test_nearest_and_mean_by_loops():
  rng = np.random.default_rng(0)
  factors, seen_factors = _drawn(rng, 40), _drawn(rng, 60)
  seen = rng.integers(0, 256, (60, 2, 3, 1)).astype(np.uint8)
  found = from_factors.look_up(factors, seen_factors, jnp.asarray(seen), _STEPS)
  ties = 0
  for number, row in enumerate(zip(*factors, strict=True)):
    distances = [_distance(row, other) for other in zip(*seen_factors, strict=True)]
    least = min(distances)
    near = [place for place, other in enumerate(distances) if other < least + 1e-6]
    ties += len(near) > 1
    assert found.distances[number] == pytest.approx(least, abs=1e-9)
    np.testing.assert_array_equal(found.nearest[number], seen[near[0]])
    # Halves may be rounded either way.
    np.testing.assert_allclose(found.mean[number], seen[near].mean(axis=0), atol=0.51)
  assert ties > 5 and found.nearest.dtype == found.mean.dtype == np.uint8


def test_angles_go_round_and_lie_between():
  seen_factors = data.Factors(
    np.zeros(3, int), np.array([330.0, 30.0, 180.0]), np.ones(3), np.zeros(3)
  )
  seen = np.array([10, 20, 90], np.uint8).reshape(3, 1, 1, 1)
  wanted = data.Factors(
    np.zeros(4, int), np.array([0.0, 350.0, 375.0, -170.0]), np.ones(4), np.zeros(4)
  )
  found = from_factors.look_up(wanted, seen_factors, seen, _STEPS)
  assert found.mean.ravel().tolist() == [15, 10, 20, 90]
  assert found.nearest.ravel().tolist() == [10, 10, 20, 90]
  np.testing.assert_allclose(found.distances, [1, 20 / 30, 0.5, 1 / 3])


def test_seen_factors_are_found_themselves():
  factors = _drawn(np.random.default_rng(1), 30)
  seen = np.arange(30, dtype=np.uint8).reshape(30, 1, 1, 1)
  found = from_factors.look_up(factors, factors, seen, _STEPS)
  assert (found.distances == 0).all()
  rows = list(zip(*(values.tolist() for values in factors), strict=True))
  assert found.nearest.ravel().tolist() == [rows.index(row) for row in rows]


def test_nearest_in_pixels_is_scikit_learns():
  rng = np.random.default_rng(0)
  images, seen = (rng.integers(0, 256, (count, 4, 4, 3)).astype(np.uint8) for count in (30, 50))
  found = from_factors.nearest_images(images, jnp.asarray(seen))
  nearest = neighbors.NearestNeighbors(n_neighbors=1).fit(seen.reshape(50, -1).astype(float))
  rows = nearest.kneighbors(images.reshape(30, -1), return_distance=False)[:, 0]
  np.testing.assert_array_equal(found, seen[rows])
  np.testing.assert_array_equal(from_factors.nearest_images(seen, seen), seen)


def test_bad_calls():
  factors = data.Factors(np.array([0, 2]), np.zeros(2), np.ones(2), np.zeros(2))
  seen = np.zeros((2, 2, 2, 1), np.uint8)
  other = factors._replace(identities=np.array([0, 1]))
  with pytest.raises(ValueError, match=re.escape("some of each identity, got none of [2]")):
    from_factors.look_up(factors, other, seen, _STEPS)
  with pytest.raises(ValueError, match="expected 3 steps and the factors of 1 images, got 3 and 2"):
    from_factors.look_up(factors, factors, seen[:1], _STEPS)
  with pytest.raises(ValueError, match="expected 3 steps and the factors of 2 images, got 2 and 2"):
    from_factors.look_up(factors, factors, seen, _STEPS[:2])
  with pytest.raises(ValueError, match=r"steps: expected a finite number above 0\.0"):
    from_factors.look_up(factors, factors, seen, (30.0, 0.0, 1.0))
  with pytest.raises(ValueError, match=r"seen: expected an array \[N, H, W, C\]"):
    from_factors.nearest_images(seen, seen[0])
