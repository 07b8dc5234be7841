"""Channel-wise ZCA whitening (Coates & Ng 2012), a part of the model.

The whitened image of a channel is W (x - mean) with W = U diag(1/sqrt(l + epsilon)) U^T, from the
covariance U diag(l) U^T of that channel's H*W pixels over the images scaled to [0, 1].
"""

import concurrent.futures
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import alike, checks, numerics, placement, processes, threads
from nsn_jax.pixel_range import to_unit
from nsn_jax.placement import AXIS, NUM_SHARDS, P, Placement
from nsn_jax.progress import OnFraction
from nsn_jax.rows import Rows, count_rows
from nsn_jax.tree_sum import TreeSum

__all__ = ["Whitening", "fit_whitening", "unwhiten", "whiten"]

#: Images whose centred float32 copies are held at a time.
_BATCH_BYTES = 1 << 28


class Whitening(NamedTuple):
  """A fitted whitening, one matrix a channel; both matrices are symmetric.

  Attributes:
    mean: pixel means, float32 [H, W, C].
    transform: W of each channel, float32 [C, H*W, H*W].
    inverse: its inverse U diag(sqrt(l + epsilon)) U^T, float32 [C, H*W, H*W].
  """

  mean: jax.Array
  transform: jax.Array
  inverse: jax.Array


@functools.partial(jax.jit, static_argnames="place")
def _grams(
  columns: jax.Array, rows: jax.Array, mean: jax.Array, counts: jax.Array, *, place: Placement
) -> jax.Array:
  """Sums of products of centred pixels, [devices, H*W, H*W], of a batch of each device.

  Images come as `rows`, [b, H*W], and as `columns`, their transpose: a product of which one factor
  is to be transposed has other bits on another number of CPU threads.
  """

  def gram(columns: jax.Array, rows: jax.Array, mean: jax.Array, count: jax.Array) -> jax.Array:
    valid = jnp.arange(len(rows)) < count[0]
    left = jnp.where(valid, to_unit(columns[0]) - mean[:, None], 0.0)
    right = jnp.where(valid[:, None], to_unit(rows) - mean, 0.0)
    return jnp.dot(left, right, precision=numerics.PRECISION)[None]

  specs = (P(AXIS), P(AXIS), P(), P(AXIS))
  return place.on_devices(gram, specs, P(AXIS))(columns, rows, mean, counts)


@functools.partial(jax.jit, static_argnames="place")
def _of_channel(
  images: jax.Array, channel: jax.Array, *, place: Placement
) -> tuple[jax.Array, jax.Array]:
  """One channel of images [b, H, W, C] of each device, as `_grams` takes them: columns and rows."""

  def taken(images: jax.Array, channel: jax.Array) -> tuple[jax.Array, jax.Array]:
    rows = jax.lax.dynamic_index_in_dim(images, channel, 3, keepdims=False)
    rows = rows.reshape(len(images), -1)
    return rows.T[None], rows

  return place.on_devices(taken, (P(AXIS), P()), P(AXIS))(images, channel)


def _mean(images: Rows) -> npt.NDArray[np.float32]:
  """The mean image, [H, W, C]."""
  sums: TreeSum[npt.NDArray[np.float64]] = TreeSum(np.add)
  for own in images.shards():
    total = np.zeros(images.shape[1:], np.float64)
    batch = max(_BATCH_BYTES // (4 * total.size), 1)
    for start in range(own.start, own.stop, batch):
      part = images.local[start : min(start + batch, own.stop)]
      total += part.sum(axis=0, dtype=np.float64)
    sums.push(total)
  scale = 255.0 if images.local.dtype == np.uint8 else 1.0
  return (processes.across(sums.total()) / len(images) / scale).astype(np.float32)


def _covariance(
  images: Rows, mean: npt.NDArray[np.float32], channel: int, report: OnFraction
) -> npt.NDArray[np.float64]:
  """Covariance of one channel's pixels over all images [N, H, W, C]: [H*W, H*W]."""
  place, flat = images.place, mean[..., channel].ravel()
  num_batches = -(-images.most * 4 * flat.size // _BATCH_BYTES)
  # In float64 from batch to batch. A tree each, as shards of several devices end together.
  trees: list[TreeSum[npt.NDArray]] = [TreeSum(np.add) for _ in place.local_devices]
  shard: list[npt.NDArray] = [np.zeros([])] * len(trees)
  done = 0
  for batch in images.batches(-(-images.most // num_batches)):
    columns, rows = _of_channel(batch.base, np.int32(channel), place=place)
    grams = _grams(columns, rows, flat, place.put(batch.counts), place=place)
    found = place.local(grams)
    shard = [total + gram for total, gram in zip(shard, found.astype(np.float64), strict=True)]
    if batch.ends:
      for tree, gram in zip(trees, shard, strict=True):
        tree.push(gram)
      shard = [np.zeros([])] * len(trees)
    done += int(batch.counts.sum())
    report(done / max(len(images.local), 1))
  whole: TreeSum[npt.NDArray] = TreeSum(np.add)
  for tree in trees:
    whole.push(tree.total())
  return processes.across(whole.total()) / len(images)


def _roots(covariance: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
  """The whitening of a covariance and its inverse, float32."""
  eigenvalue, u = np.linalg.eigh(covariance)
  root = np.sqrt(np.maximum(eigenvalue, 0.0) + epsilon)
  return ((u / root) @ u.T).astype(np.float32), ((u * root) @ u.T).astype(np.float32)


@processes.losses_told()
@threads.one_blas_thread()
def fit_whitening(
  images: np.ndarray | jax.Array,
  epsilon: float,
  *,
  report: OnFraction | None = None,
  mesh: jax.sharding.Mesh | None = None,
  num_shards: int = NUM_SHARDS,
) -> Whitening:
  """Fits the whitening of each channel. Host-side: streams over the images, then one eigh each.

  The eigen-decomposition runs in float64: the spectrum of 4,096 pixels spans more than float32
  resolves, and small negative eigenvalues would meet a small epsilon under a square root. What
  still comes out negative is taken as 0. One channel is decomposed while the next is summed up.

  Args:
    images: [N, H, W, C], uint8, or float in [0, 1]; of several processes, each one's own.
    epsilon: added to the eigenvalues, of pixels in [0, 1]; positive.
    report: told of the share that is done, after each batch and each decomposition.
    mesh: as `nsn_jax.fit` takes it.
    num_shards: as of `NetworkConfig`.

  Returns:
    The whitening, float32.

  Raises:
    ValueError: for images, epsilon or a mesh that are not as above, or processes that do not ask
      for the same.
  """
  tell = report or (lambda _: None)
  checks.integer("num_shards", num_shards, 2)
  place = placement.place(mesh, num_shards)

  def check() -> tuple[Any, float]:
    own = checks.images("images", images)
    value = checks.number("epsilon", epsilon, 0.0, above=True)
    checks.function("report", report)
    return own, value

  def facts(found: tuple[Any, float]) -> dict[str, str]:
    return alike.facts(mesh, None, found[0], epsilon=found[1], num_shards=num_shards)

  images, epsilon = processes.agreed(check, facts)
  rows = Rows(np.asarray(images), count_rows(place, len(images)), place)
  mean, channels = _mean(rows), images.shape[-1]
  with concurrent.futures.ThreadPoolExecutor() as pool:
    roots = []
    for channel in range(channels):

      def summed(fraction: float, channel: int = channel) -> None:
        tell(0.5 * (channel + fraction) / channels)

      covariance = _covariance(rows, mean, channel, summed)
      roots.append(pool.submit(_roots, covariance, epsilon))
    for done, root in enumerate(roots, 1):
      root.result()
      tell(0.5 + 0.5 * done / channels)
  transform, inverse = (np.stack(x) for x in zip(*(root.result() for root in roots), strict=True))
  return Whitening(jnp.asarray(mean), jnp.asarray(transform), jnp.asarray(inverse))


def _apply(images: jax.Array, matrix: jax.Array) -> jax.Array:
  n, h, w, c = images.shape

  def one(channel: tuple[jax.Array, jax.Array]) -> jax.Array:
    return jnp.dot(*channel, precision=numerics.PRECISION)

  # A plain product a channel: a batched one is slower on CPU.
  channels = jnp.moveaxis(images.reshape(n, h * w, c), 2, 0)
  return jnp.moveaxis(jax.lax.map(one, (channels, matrix)), 0, 2).reshape(images.shape)


#: How far pixel values as they come, not clipped, may leave [0, 1]; images of 0 to 255 do by more.
_UNCLIPPED = 1.0


def whiten(images: jax.Array, whitening: Whitening) -> jax.Array:
  """Whitens images.

  Args:
    images: [N, H, W, C], uint8, or float in [0, 1]; also as `unwhiten` gives them, not clipped, but
      by no more than 1 outside of it.
    whitening: fitted on images of this size.

  Returns:
    float32 [N, H, W, C], of mean 0 and, for a small epsilon, unit variance.

  Raises:
    ValueError: for images that are not as above, or not of the whitening's size.
  """
  checks.instance("whitening", whitening, Whitening)
  if checks.concrete(images):
    images = checks.images("images", images, _UNCLIPPED)
  checks.same_shape("images", images.shape[1:], whitening.mean.shape)
  return _apply(to_unit(jnp.asarray(images)) - whitening.mean, whitening.transform)


def unwhiten(images: jax.Array, whitening: Whitening) -> jax.Array:
  """The inverse of `whiten`: float32 [N, H, W, C] of pixel values, not clipped.

  Raises:
    ValueError: where the images' size is not the whitening's.
  """
  checks.instance("whitening", whitening, Whitening)
  images = checks.floats("images", images, "N, H, W, C")
  checks.same_shape("images", images.shape[1:], whitening.mean.shape)
  return _apply(jnp.asarray(images), whitening.inverse) + whitening.mean
