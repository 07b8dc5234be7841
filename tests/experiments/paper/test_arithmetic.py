"""Fig 9: pairs far apart, triples of filters, and both pictures."""

import jax
import numpy as np

from experiments.paper import arithmetic

KEY = jax.random.key(0)


def test_pairs_are_far_apart_by_hand():
  rows = np.array([[0.0], [1.0], [10.0], [4.0]])
  assert arithmetic.propose_pairs(rows, 2) == [(0, 2), (1, 3)]
  assert arithmetic.propose_pairs(rows, 9) == [(0, 2), (1, 3)]


def test_interpolation(nsn, tmp_path):
  found = arithmetic.draw(KEY, nsn, tmp_path, 2, 2)
  assert len(found["pairs"]) == 2 and 1 <= len(found["triples"]) <= 2
  used = [index for triple in found["triples"] for index in triple]
  assert len(set(used)) == len(used) and max(used) < nsn.num_filters[-1]
  assert (tmp_path / "interpolation.png").is_file() and (tmp_path / "arithmetic.png").is_file()
  blend = arithmetic.blended(nsn)
  assert blend.per_layer("gamma", 2) == (50.0, 10.0) and blend.per_layer("num_draws", 2) == (1, 100)
