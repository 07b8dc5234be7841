"""Between two filters of the last layer (Fig 9a of the paper)."""

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks
from nsn_jax.config import SamplerConfig
from nsn_jax.network import NSN, check_trained
from nsn_jax.sampler import decode

__all__ = ["interpolate"]


def interpolate(
  key: jax.Array,
  nsn: NSN,
  first: int,
  second: int,
  num_steps: int = 9,
  num_draws: int = 1,
  *,
  sampler: SamplerConfig | None = None,
) -> jax.Array:
  """Decodes feature maps that lead from one filter of the last layer to another.

  At step t the map is (1 - t) at `first`, t at `second` and 0 elsewhere. How a middle looks is the
  sampler's: with gamma of the last layer large it is either filter, with a gamma of about 10 and
  many draws T there it is a blend of both.

  Args:
    key: PRNG key.
    nsn: the network.
    first: index of a filter of the last layer.
    second: index of another.
    num_steps: from t = 0 to 1, at least 2.
    num_draws: M, at least 1.
    sampler: gamma, T, alpha, beta; by default the network's own.

  Returns:
    float32 [M, num_steps, H, W, C], pixel values as they come.

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  check_trained(nsn)
  count = nsn.num_filters[-1]
  for name, index in (("first", first), ("second", second)):
    checks.integer(name, index, 0, count - 1)
  checks.integer("num_steps", num_steps, 2)
  checks.integer("num_draws", num_draws, 1)
  t = np.linspace(0.0, 1.0, num_steps, dtype=np.float32)[:, None]
  one_hot = np.eye(count, dtype=np.float32)
  path = (1 - t) * one_hot[first] + t * one_hot[second]
  keys = jax.random.split(key, num_draws)
  return jnp.stack([decode(k, nsn, path[:, None, None, :], sampler) for k in keys])
