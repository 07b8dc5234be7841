"""Draws on the host, where the images lie, that a PRNG key decides."""

import jax
import numpy as np

__all__ = ["generator"]


def generator(key: jax.Array, *numbers: int) -> np.random.Generator:
  """A generator of numpy seeded by a key, and numbers that are folded into it.

  The same key gives the same draws on every backend.

  >>> draws = [int(generator(jax.random.key(3)).integers(1000)) for _ in range(2)]
  >>> draws[0] == draws[1]
  True
  """
  words = np.asarray(jax.random.key_data(key)).ravel()
  return np.random.default_rng([*words.tolist(), *numbers])
