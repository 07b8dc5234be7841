"""Which decoder samples a layer: that whose images look like held-out ones to the layer itself.

By squared error a linear map would always be taken: it is a conditional mean, and blurs. So what
each decoder makes of held-out images' maps is encoded again, and the layer's feature maps, as means
over the positions, are compared in distribution with the true images'. No labels and no classifier
have a part in it.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.decoders import Decoder
from nsn_jax.network import NSN, layer_map, seen_maps
from nsn_jax.sampler import decode

__all__ = ["choose_decoder", "map_distance"]


def map_distance(real: npt.NDArray, found: npt.NDArray) -> float:
  """The squared Fréchet distance of two sets' normals, in the units of the features, squared.

  The trace of the root of the covariances' product is the nuclear norm of the product of the
  centred sets, which needs no root of a matrix of fewer rows than features. `nsn_jax.metrics` has
  the distance from statistics, but is an extra that training does without.

  Args:
    real: features [N, K].
    found: as many of the other set, [N, K].
  """
  a, b = np.asarray(real, np.float64), np.asarray(found, np.float64)
  shift = a.mean(axis=0) - b.mean(axis=0)
  a, b = a - a.mean(axis=0), b - b.mean(axis=0)
  common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
  return float(shift @ shift + ((a**2).sum() + (b**2).sum() - 2.0 * common) / len(a))


def choose_decoder(
  key: jax.Array,
  nsn: NSN,
  index: int,
  candidates: Mapping[str, Decoder | None],
  held_out: Iterable[tuple[jax.Array, jax.Array]],
) -> tuple[str, dict[str, float]]:
  """The decoder of a layer whose images look most like held-out ones.

  Args:
    key: PRNG key of the draws, the same for all.
    nsn: the network, its layers above `index` with their decoders.
    index: the layer's number, 0 nearest the pixels.
    candidates: decoders by name, None for filters' means.
    held_out: batches of this layer's maps of held-out images: as the layers above decode them, and
      the true ones, both float32 [n, h, w, K].

  Returns:
    The name of the nearest, and each one's distance.
  """
  tried = {name: _with_decoder(nsn, index, decoder) for name, decoder in candidates.items()}
  real: list[npt.NDArray] = []
  again: dict[str, list[npt.NDArray]] = {name: [] for name in tried}
  for number, (fed, true) in enumerate(held_out):
    real.append(_mean_of_positions(true))
    for name, one in tried.items():
      found = _encoded_again(jax.random.fold_in(key, number), one, index, fed)
      again[name].append(_mean_of_positions(found))
  whole = np.concatenate(real)
  distances = {name: map_distance(whole, np.concatenate(found)) for name, found in again.items()}
  return min(distances, key=distances.__getitem__), distances


def _with_decoder(nsn: NSN, index: int, decoder: Decoder | None) -> NSN:
  found = list(nsn.fed or (None,) * nsn.num_layers)
  found[index] = decoder
  return dataclasses.replace(nsn, fed=tuple(found))


def _mean_of_positions(maps: jax.Array) -> npt.NDArray[np.float32]:
  return np.asarray(jnp.mean(maps, axis=(1, 2)))


def _encoded_again(key: jax.Array, nsn: NSN, index: int, fed: jax.Array) -> jax.Array:
  """The layer's maps of what it decodes maps `fed` to, [n, h, w, K]."""
  if index == 0:
    pixels = decode(key, nsn, fed, layer=0)
    return seen_maps(nsn, jnp.clip(pixels, 0.0, 1.0), count=1)[1]
  below = decode(key, nsn, fed, layer=index, stop_layer=index - 1)
  return layer_map(below, nsn.filters[index], nsn.config.layers[index])
