"""Products by group against plain numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.grouped import apply_by_group, sum_products_by_group

NUM_GROUPS = 5


def _rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  rng = np.random.default_rng(seed)
  index = rng.integers(0, NUM_GROUPS + 1, count).astype(np.int32)
  left = rng.standard_normal((count, 3)).astype(np.float32)
  right = rng.standard_normal((count, 4)).astype(np.float32)
  return index, left, right


@pytest.mark.parametrize("count", [1, 31, 32, 33, 400])
def test_sums_are_those_of_each_group(count):
  index, left, right = _rows(count)
  found = sum_products_by_group(index, left, right, num_groups=NUM_GROUPS)
  expected = np.stack([left[index == g].T @ right[index == g] for g in range(NUM_GROUPS)])
  # Sums of at most 100 products near 1 in float32.
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sums_are_additive_and_rows_without_a_group_do_not_count():
  index, left, right = _rows(300)
  whole, a, b = (
    sum_products_by_group(index[part], left[part], right[part], num_groups=NUM_GROUPS)
    for part in (slice(None), slice(100), slice(100, None))
  )
  np.testing.assert_allclose(a + b, whole, atol=1e-5)
  nobody = np.full(300, NUM_GROUPS, np.int32)
  assert not np.asarray(sum_products_by_group(nobody, left, right, num_groups=NUM_GROUPS)).any()


@pytest.mark.parametrize("count", [1, 3, 33, 200])  # few rows a group, and many
@pytest.mark.parametrize("order", [1, -1])
def test_applied_rows_keep_their_places(order, count):
  index, left, _ = _rows(count)
  index = np.minimum(index, NUM_GROUPS - 1)[::order]
  matrices = np.random.default_rng(1).standard_normal((NUM_GROUPS, 3, 6)).astype(np.float32)
  found = apply_by_group(jnp.asarray(index), jnp.asarray(left), jnp.asarray(matrices))
  np.testing.assert_allclose(found, np.einsum("np,npq->nq", left, matrices[index]), atol=1e-5)


@pytest.mark.parametrize("count", [1, 7, 200])
def test_rows_are_put_together_of_any_others(count):
  index, left, _ = _rows(count)
  index = np.minimum(index, NUM_GROUPS - 1)
  rng = np.random.default_rng(2)
  among = rng.integers(0, count, (count, 2)).astype(np.int32)
  matrices = rng.standard_normal((NUM_GROUPS, 6, 4)).astype(np.float32)
  found = apply_by_group(*map(jnp.asarray, (index, left, matrices, among)))
  both = np.concatenate([left[among[:, 0]], left[among[:, 1]]], axis=1)
  np.testing.assert_allclose(found, np.einsum("np,npq->nq", both, matrices[index]), atol=1e-5)
