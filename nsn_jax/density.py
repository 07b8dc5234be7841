"""The density that a layer's filters stand for: an isotropic Gaussian mixture, by Eq 1."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.filters import Filters, similarity
from nsn_jax.network import NSN, check_images, first_map
from nsn_jax.patches import extract_patches

__all__ = ["LayerFit", "layer_fits", "log_density"]


class LayerFit(NamedTuple):
  """How well a layer's filters fit patches of its input.

  Attributes:
    mean_similarity: mean over the patches of the best similarity (Eq 1).
    log_density: mean log-density of the mixture, in nats a value.
  """

  mean_similarity: float
  log_density: float


def log_density(patches: jax.Array, filters: Filters) -> jax.Array:
  """Log-density of patches under the layer's mixture, in nats a value.

  Eq 1 is, up to a constant, 1/D times the log-density of N(mu_j, (v_j/D) I). Of the mixture of K of
  them with equal weights, which hard EM fits:

      log p(x) / D = (logsumexp_j(D s_j(x)) - log K) / D + log(D / (2 pi)) / 2

  Args:
    patches: x, float32 [..., kh, kw, C].
    filters: K filters of that patch shape; unborn ones have no weight.

  Returns:
    float32 [...].

  Raises:
    ValueError: where the patches' shape is not the filters'.
  """
  return _mixture(similarity(patches, filters), filters)


def _mixture(s: jax.Array, filters: Filters) -> jax.Array:
  """The log-density of patches whose similarities [..., K] are at hand."""
  d = filters.num_values
  num_born = jnp.sum(jnp.isfinite(filters.variance))
  mixture = jax.scipy.special.logsumexp(d * s, axis=-1) - jnp.log(num_born)
  return mixture / d + math.log(d / (2 * math.pi)) / 2


def layer_fits(
  nsn: NSN, images: npt.NDArray | jax.Array, *, batch_size: int = 50
) -> list[LayerFit]:
  """How well each layer fits images, for example held-out ones.

  Args:
    nsn: the network.
    images: [N, H, W, C] as it was trained on, uint8, or float in [0, 1]; N at least 1.
    batch_size: images on the device at a time, at least 1.

  Returns:
    One `LayerFit` a layer, over all patches of the images, pixels first. A layer's values are those
    of the map that it sees: whitened pixels, or the features of the layer below.

  Raises:
    ValueError: for arguments that are not as above.
  """
  images = check_images(nsn, images)
  checks.integer("batch_size", batch_size, 1)
  total = np.zeros((nsn.num_layers, 2))
  for i in range(0, len(images), batch_size):
    batch = jnp.asarray(images[i : i + batch_size])
    total += len(batch) * np.asarray(_means(nsn, batch), np.float64)
  return [LayerFit(float(s), float(p)) for s, p in total / len(images)]


@jax.jit
def _means(nsn: NSN, images: jax.Array) -> jax.Array:
  """[L, 2]: mean best similarity and mean log-density of each layer's patches."""
  maps = first_map(images, nsn.whitening)
  found = []
  for filters, layer in zip(nsn.filters, nsn.config.layers, strict=False):
    patches = extract_patches(maps, layer.kernel, layer.stride)
    s = similarity(patches, filters)
    found.append(jnp.stack([s.max(axis=-1).mean(), _mixture(s, filters).mean()]))
    maps = jax.nn.sigmoid(s)
  return jnp.stack(found)
