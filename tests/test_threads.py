"""The same bits on any number of CPU threads: what training computes of many rows."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import threadpoolctl

from nsn_jax import numerics, threads

_SCRIPT = """
import hashlib, json
import jax, jax.numpy as jnp, numpy as np
import nsn_jax.filters
from nsn_jax import decoder_features, decoders, em, growth, layer, numerics, placement, threads
from nsn_jax.basis import find_basis
from nsn_jax.range_finder import range_finder

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (65_536, 8, 8, 1)).astype(np.uint8)
# Odd numbers: loops end in the middle of a vector.
rows = rng.normal(size=(3_997, 756)).astype(np.float32) * np.linspace(3, 0.1, 756, dtype=np.float32)
patches = rows.reshape(-1, 3, 3, 84)
seen = rng.uniform(size=(40, 10, 10, 107)).astype(np.float32)
below = rng.normal(size=(40, 10, 10, 3, 3, 2)).astype(np.float32)
key, basis = jax.random.key(0), np.eye(18, dtype=np.float32).reshape(18, 3, 3, 2)

filters = nsn_jax.Filters(np.abs(patches[:107]), np.full(107, 500, np.float32))

def digest(tree):
  found = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(tree))
  return hashlib.sha256(found).hexdigest()[:16]

with threads.one_blas_thread():
  found = {
    "whitening": nsn_jax.fit_whitening(images, 0.1),
    "directions": range_finder(key, jnp.asarray(rows), size=256),
    "features": [decoder_features.fit_features(key, jnp.asarray(seen), context=context, logits=True,
                                       size=size) for context, size in ((1, 100), (3, 321))],
    "sums": decoders.decoder_sums(jnp.asarray(seen), below, basis, jnp.zeros((3, 3, 2))),
    "decoder": decoders.solve_decoder(decoders.decoder_sums(jnp.asarray(seen), below, basis,
                                                            jnp.zeros((3, 3, 2))), 1e-2),
    "folded": decoders.folded(decoders.Decoder(
      decoder_features.fit_features(key, jnp.asarray(seen), context=3, logits=True, size=321), None,
      jnp.asarray(basis[:7]), jnp.zeros((9, 7)), jnp.asarray(rng.normal(size=(9, 321, 7)), "f4"))),
    "basis": find_basis(key, jnp.asarray(patches[:3_000])),
    "filters": jax.jit(nsn_jax.filters.project)(filters),
    "distances": jax.jit(growth._squared_distances)(rows, rows[:700]),
    "map": nsn_jax.filters.feature_map(patches[:3_600].reshape(100, 6, 6, 3, 3, 84), filters),
    "statistics": em.e_step(patches, filters, hold_below=True),
    "filters after": em.m_step(em.e_step(patches, filters), filters),
    "columns": jax.jit(numerics.column_sums)(rows),
    "centred": layer._begun(key, placement.cut(patches), np.float32(1e-4),
                            capacity=64),
  }
print(json.dumps({name: digest(value) for name, value in found.items()}))
"""


def test_nothing_depends_on_the_number_of_threads(run_python):
  # XLA takes as many as NPROC says, whatever there are.
  few, many = (
    json.loads(run_python(_SCRIPT, NPROC=str(n), OPENBLAS_NUM_THREADS=str(n))) for n in (1, 3)
  )
  assert few == many


@pytest.mark.parametrize("weighted", [False, True])
def test_column_sums_equal_numpys(weighted):
  rng = np.random.default_rng(0)
  rows = rng.normal(size=(300, 4, 5)).astype(np.float32)
  weight = rng.uniform(size=300).astype(np.float32) if weighted else None
  each = np.ones(300) if weight is None else weight
  expected = np.tensordot(each, rows.astype(np.float64), 1)
  found = numerics.column_sums(jnp.asarray(rows), None if weight is None else jnp.asarray(weight))
  assert found.shape == (4, 5)
  np.testing.assert_allclose(found, expected, atol=1e-4)  # sums of 300 numbers near 1


def test_blas_has_one_thread_and_then_as_many_as_before():
  def counts():
    return [
      found["num_threads"]
      for found in threadpoolctl.threadpool_info()
      if found["user_api"] == "blas"
    ]

  with threads.one_blas_thread():
    pass
  before = counts()
  with threads.one_blas_thread():
    assert counts() and set(counts()) == {1}
  assert counts() == before
