"""Sums and differences of filters (Fig 9b of the paper)."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks
from nsn_jax.config import SamplerConfig
from nsn_jax.network import NSN, check_trained
from nsn_jax.sampler import decode

__all__ = ["FilterSum", "add_filters"]


class FilterSum(NamedTuple):
  """Filters of the last layer and their sum, decoded to pixels.

  Attributes:
    terms: of the filters themselves, float32 [M, 3, H, W, C].
    result: of first + second - third, float32 [M, H, W, C].
  """

  terms: jax.Array
  result: jax.Array


def add_filters(
  key: jax.Array,
  nsn: NSN,
  filters: Sequence[int],
  num_draws: int = 1,
  *,
  sampler: SamplerConfig | None = None,
) -> FilterSum:
  """Decodes A + B - C, added one layer below the last.

  Each filter's one-hot map is decoded one layer down, the sum is taken there, where a map has a
  place for every part of the image, and is decoded to pixels.

  Args:
    key: PRNG key.
    nsn: a network of at least two layers.
    filters: indices of A, B and C in the last layer.
    num_draws: M, at least 1.
    sampler: gamma, T, alpha, beta; by default the network's own.

  Returns:
    The terms and the result, pixel values as they come.

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  check_trained(nsn)
  checks.integer("num_draws", num_draws, 1)
  if nsn.num_layers < 2:
    raise ValueError(f"nsn: expected a network of at least two layers, got {nsn.num_layers}")
  if not isinstance(filters, Sequence) or len(filters) != 3:
    raise ValueError(f"filters: expected three indices, of A, B and C, got {filters!r}")
  for index in filters:
    checks.integer("filters", index, 0, nsn.num_filters[-1] - 1)
  top = nsn.num_layers - 1
  one_hot = np.eye(nsn.num_filters[-1], dtype=np.float32)[list(filters)][:, None, None, :]
  terms, results = [], []
  for draw_key in jax.random.split(key, num_draws):
    down_key, term_key, sum_key = jax.random.split(draw_key, 3)
    maps = decode(down_key, nsn, one_hot, sampler, stop_layer=top - 1)
    terms.append(decode(term_key, nsn, maps, sampler, layer=top - 1))
    added = (maps[0] + maps[1] - maps[2])[None]
    results.append(decode(sum_key, nsn, added, sampler, layer=top - 1)[0])
  return FilterSum(jnp.stack(terms), jnp.stack(results))
