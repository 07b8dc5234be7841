"""What sampling starts from: the last layer's filters as a mixture of factor analysers.

The paper starts from noise z ~ N(0, I) over the filters, which draws all of them alike and knows
nothing between them. The mixture draws a filter in proportion to the images that it holds, and what
varies within it by its factors: mu_j + t u W_j, u ~ N(0, I_r), t a temperature (`nsn_jax.factors`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import numerics
from nsn_jax.filters import Filters

__all__ = ["Prior", "draw_maps", "prior_of"]


class Prior(NamedTuple):
  """How often each filter of the last layer is drawn.

  Attributes:
    share: of the training images that each filter holds, float32 [K], adding up to 1.
    class_share: the same of the images of each class, float32 [classes, K], rows adding up to 1;
      None where training had no labels.
  """

  share: jax.Array
  class_share: jax.Array | None = None


def prior_of(
  index: npt.NDArray[np.integer], num_filters: int, labels: npt.NDArray[np.integer] | None
) -> Prior:
  """The prior of training images whose filters, int [N], and labels, int [N] from 0 on, are known.

  A class without images is drawn as all are.
  """

  def shares(index: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    return (np.bincount(index, minlength=num_filters) / max(len(index), 1)).astype(np.float32)

  share = shares(index)
  if labels is None:
    return Prior(jnp.asarray(share))
  members = [index[labels == label] for label in range(int(labels.max()) + 1)]
  rows = [shares(member) if len(member) else share for member in members]
  return Prior(jnp.asarray(share), jnp.asarray(np.stack(rows)))


def draw_maps(
  keys: jax.Array, filters: Filters, share: jax.Array, temperature: jax.typing.ArrayLike
) -> jax.Array:
  """Draws from the mixture, one map of the layer below a key.

  Args:
    keys: PRNG keys, [N].
    filters: of the last layer, with factors or without.
    share: float32 [K].
    temperature: of the factors; 0 draws means.

  Returns:
    float32 [N, kh, kw, C].
  """
  filter_keys, factor_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
  cumulative = jnp.cumsum(share)
  uniform = jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32))(filter_keys)
  index = jnp.searchsorted(cumulative, uniform * cumulative[-1], side="right")
  index = jnp.minimum(index, filters.num_filters - 1)
  mean = filters.mean[index]
  if filters.factors is None:
    return mean
  loading, basis, _ = filters.factors
  shape = (filters.factors.rank,)
  u = jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float32))(factor_keys)
  along = jnp.einsum("nr,nrb->nb", u, loading[index], precision=numerics.PRECISION)
  return mean + temperature * jnp.tensordot(along, basis, 1, precision=numerics.PRECISION)
