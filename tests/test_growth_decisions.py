"""Growth and exchange where few patches, or bad filters, leave one right decision.

Numbers are test_growth's: these programs are compiled in haste.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import em, growth, layer
from nsn_jax.filters import Filters
from nsn_jax.placement import cut
from tests.growing import FLOOR, blobs, em_steps, layer_config, mean_similarity

KEY = jax.random.key(0)


def _exchange(patches, bank, *, num_steps, min_patches):
  """The bank after some exchange steps, and what the last one tells."""
  info = growth.unknown(bank.num_filters)
  for step in range(num_steps):
    bank, info = growth.exchange_step(
      KEY,
      np.int32(step),
      cut(patches),
      bank,
      info,
      np.float32(0.0),
      FLOOR,
      num_seeds=16,
      em_steps=3,
      min_patches=min_patches,
    )
  return bank, info


def test_exchange_mends_a_bad_bank():
  # Three filters on one of three blobs: exchange finds the other two, and EM alone does not.
  centers, patches = blobs(3)
  patches = jnp.asarray(patches)
  near = jnp.asarray(centers[:1] + 0.1 * np.arange(3)[:, None], jnp.float32).reshape(3, 4, 4, 1)
  bank = Filters(near, jnp.full([3], 1.0, jnp.float32))
  stuck = mean_similarity(patches, em_steps(patches, bank, 20))
  bank, info = _exchange(patches, bank, num_steps=3, min_patches=8)
  assert info.num_filters == 3
  # One filter a blob has a mean similarity of -1/2 - log(0.04) / 2 = 1.11.
  assert stuck < 0.5 and float(info.mean_similarity) == pytest.approx(1.11, abs=0.05)


def test_exchange_makes_no_filter_of_a_single_patch():
  # Two blobs, of two filters each, and two patches far away: a filter of either would have no
  # variance and gain most.
  _, patches = blobs(2, 400)
  far = np.float32([40.0, -40.0]).repeat(16).reshape(2, 4, 4, 1)
  patches = jnp.concatenate([jnp.asarray(patches), far])
  bank = Filters(patches[:4], jnp.full(4, 0.04))
  held = []
  for min_patches in (1, 3):
    found, _ = _exchange(patches, bank, num_steps=5, min_patches=min_patches)
    held.append(int(np.asarray(em.e_step(patches, found).count).min()))
  assert held[0] == 1 and held[1] > 1


@pytest.mark.parametrize("size", [1, 5])
def test_growth_of_fewer_patches_than_seeds(size):
  config = layer_config(exchange_steps=2, patience=1, em_steps=1)
  patches = np.random.default_rng(size).standard_normal((size, 4, 4, 1)).astype(np.float32)
  found = layer.grow(KEY, cut(jnp.asarray(patches)), config)
  assert 1 <= found.num_filters <= size
  assert np.isfinite(found.mean).all() and np.isfinite(found.variance).all()
  if size == 1:
    np.testing.assert_allclose(found.mean, patches, atol=1e-6)
    np.testing.assert_array_equal(found.variance, FLOOR)
