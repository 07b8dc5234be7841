"""The density that a layer's filters stand for: a Gaussian mixture, with factors or isotropic."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, numerics
from nsn_jax.filters import Filters, check_filters, check_patches, similarity
from nsn_jax.network import NSN, check_images, first_map, map_sizes, seen_maps
from nsn_jax.patches import extract_patches

__all__ = ["LayerFit", "layer_fits", "log_density", "patch_log_density"]


class LayerFit(NamedTuple):
  """How well a layer's filters fit patches of its input.

  Attributes:
    mean_similarity: mean over the patches of the best similarity (Eq 1).
    log_density: mean log-density of the mixture, in nats a value.
  """

  mean_similarity: float
  log_density: float


def log_density(
  nsn: NSN, images: npt.NDArray | jax.Array, *, batch_size: int = 50
) -> npt.NDArray[np.float32]:
  """Log-density of images' maps under the last layer's mixture, in nats a value of these maps.

  With factors the last layer is a mixture of factor analysers whose weights are the network's
  prior: a real density, of the map that the last layer sees and not of pixels, as the layers below
  are no bijections. Low values are outliers: its negative is an outlier score.

  Args:
    nsn: the network, whole.
    images: [N, H, W, C] as it was trained on, uint8, or float in [0, 1].
    batch_size: images on the device at a time, at least 1.

  Returns:
    float32 [N], on the host.

  Raises:
    ValueError: for arguments that are not as above.
  """
  images = check_images(nsn, images)
  checks.integer("batch_size", batch_size, 1)
  if nsn.prior is None:
    raise ValueError("nsn: expected a whole network, whose prior was trained, got none")
  top = map_sizes(images.shape[1:3], nsn.config.layers)[-1]
  if top != (1, 1):  # A prior is of one position.
    raise ValueError(
      "images: expected the size that the network was trained on, at which its last layer ends at "
      f"1x1, got {images.shape[1]}x{images.shape[2]}, at which it ends at {top[0]}x{top[1]}"
    )
  starts = range(0, len(images), batch_size)
  found = [
    np.asarray(_image_densities(nsn, jnp.asarray(images[i : i + batch_size]))) for i in starts
  ]
  return np.concatenate(found) if found else np.zeros(0, np.float32)


@jax.jit
def _image_densities(nsn: NSN, images: jax.Array) -> jax.Array:
  maps = seen_maps(nsn, images, count=nsn.num_layers - 1)[-1]
  top = nsn.config.layers[-1]
  patches = extract_patches(maps, top.kernel, top.stride)
  assert nsn.prior is not None
  return patch_log_density(patches, nsn.filters[-1], nsn.prior.share)[:, 0, 0]


def patch_log_density(
  patches: jax.Array, filters: Filters, share: jax.Array | None = None
) -> jax.Array:
  """Log-density of patches under a layer's mixture, in nats a value.

  Eq 1 is, up to a constant, 1/D times the log-density of N(mu_j, (v_j/D) I). Of the mixture of K of
  them with equal weights, which hard EM fits:

      log p(x) / D = (logsumexp_j(D s_j(x)) - log K) / D + log(D / (2 pi)) / 2

  Filters with factors are N(mu_j, W_j^T W_j + psi_j I) instead (`nsn_jax.factors`).

  Args:
    patches: x, float32 [..., kh, kw, C].
    filters: K filters of that patch shape; unborn ones have no weight.
    share: weight of each filter, float32 [K], adding up to 1; by default they are equal.

  Returns:
    float32 [...].

  Raises:
    ValueError: where the patches' shape is not the filters', or the share's not [K].
  """
  filters = check_filters("filters", filters)
  patches = check_patches("patches", patches, filters)
  if share is not None and np.shape(share) != (filters.num_filters,):
    raise ValueError(f"share: expected shape [{filters.num_filters}], got {list(np.shape(share))}")
  patches = jnp.asarray(patches, jnp.float32)
  if filters.factors is None:
    return _mixture(similarity(patches, filters), filters, share)
  each = _factor_densities(patches.reshape(-1, *patches.shape[-3:]), filters)
  weight = jnp.log(filters.num_filters) if share is None else -jnp.log(share)
  found = jax.scipy.special.logsumexp(each - weight, axis=-1) / filters.num_values
  return found.reshape(patches.shape[:-3])


@jax.jit
def _factor_densities(patches: jax.Array, filters: Filters) -> jax.Array:
  """Log-densities N(x; mu_j, W_j^T W_j + psi_j I) of patches [n, ...], in nats: [n, K]."""
  assert filters.factors is not None
  loading, basis, rest = filters.factors
  k, d = filters.num_filters, filters.num_values
  dot = functools.partial(jnp.dot, precision=numerics.PRECISION)
  # About the filters' centre, where float32 keeps more digits of the differences.
  center = filters.mean.mean(axis=0)
  x, mean = (patches - center).reshape(-1, d), (filters.mean - center).reshape(k, d)
  square = jnp.sum(x * x, 1)[:, None] - 2.0 * dot(x, mean.T) + jnp.sum(mean * mean, 1)
  flat = basis.reshape(-1, d)
  w = loading.reshape(-1, flat.shape[0])
  own = jnp.einsum("krb,kb->kr", loading, dot(mean, flat.T), precision=numerics.PRECISION)
  score = dot(dot(x, flat.T), w.T).reshape(len(x), k, -1) - own
  # Loadings are at right angles: the inverse and the determinant are one number each (Woodbury).
  spread = jnp.sum(loading * loading, axis=-1) + rest[:, None]
  distance = (jnp.maximum(square, 0.0) - jnp.sum(score**2 / spread, axis=-1)) / rest
  rank = loading.shape[1]
  size = (d - rank) * jnp.log(rest) + jnp.sum(jnp.log(spread), axis=-1)
  return -0.5 * (distance + size + d * math.log(2 * math.pi))


def _mixture(s: jax.Array, filters: Filters, share: jax.Array | None = None) -> jax.Array:
  """The log-density of patches whose similarities [..., K] are at hand."""
  d = filters.num_values
  weight = -jnp.log(jnp.sum(jnp.isfinite(filters.variance))) if share is None else jnp.log(share)
  mixture = jax.scipy.special.logsumexp(d * s + weight, axis=-1)
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
    of the map that it sees: whitened pixels, or the features of the layer below. Filters that have
    factors are taken with them, and the last layer's by the network's prior, where it has one: its
    log-density is then the mean of the function of that name.

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
  for index, (filters, layer) in enumerate(zip(nsn.filters, nsn.config.layers, strict=False)):
    patches = extract_patches(maps, layer.kernel, layer.stride)
    s = similarity(patches, filters)
    is_last = index + 1 == len(nsn.config.layers)
    share = nsn.prior.share if is_last and nsn.prior is not None else None
    if filters.factors is None:
      logs = _mixture(s, filters, share)
    else:
      logs = patch_log_density(patches, filters, share)
    found.append(jnp.stack([s.max(axis=-1).mean(), logs.mean()]))
    maps = jax.nn.sigmoid(s)
  return jnp.stack(found)
