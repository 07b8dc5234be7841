"""What the tests of growth share: patches of known blobs, and EM from Eq 1-3's own steps."""

import jax
import numpy as np

from nsn_jax import em
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters

FLOOR = np.float32(1e-4)


def layer_config(**changes: float) -> LayerConfig:
  """A layer of 4 x 4 windows, with as many exchange steps as a test has patience for."""
  return LayerConfig(**{"kernel": 4, "stride": 2, "exchange_steps": 0, **changes})


def mean_similarity(patches: jax.Array, filters: Filters) -> float:
  return float(em.mean_similarity(em.e_step(patches, filters)))


def em_steps(patches: jax.Array, filters: Filters, steps: int) -> Filters:
  for _ in range(steps):
    filters = em.m_step(em.e_step(patches, filters), filters, FLOOR)
  return filters


def blobs(num_blobs: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
  """Blobs of equal size, v = 0.04, 10 a value apart; their centres [B, 16], and patches.

  As many patches as of the digits, so that nothing is compiled anew.
  """
  rng = np.random.default_rng(num_blobs)
  centers = 10 * rng.standard_normal((num_blobs, 16))
  owner = np.arange(size) % num_blobs
  patches = centers[owner] + 0.05 * rng.standard_normal((size, 16))
  return centers, rng.permutation(patches).reshape(size, 4, 4, 1).astype(np.float32)
