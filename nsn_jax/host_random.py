"""Draws on the host, where the images lie, that a PRNG key decides."""

import jax
import numpy as np

__all__ = ["generator"]


def generator(key: jax.Array) -> np.random.Generator:
  """A generator of numpy seeded by a key: the same key, the same draws on every backend.

  >>> draws = [int(generator(jax.random.key(3)).integers(1000)) for _ in range(2)]
  >>> draws[0] == draws[1]
  True
  """
  return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
