"""Channel-wise ZCA whitening (Coates & Ng 2012), a part of the model.

The whitened image of a channel is W (x - mean) with W = U diag(1/sqrt(l + epsilon)) U^T, from the
covariance U diag(l) U^T of that channel's H*W pixels over the images scaled to [0, 1].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks, numerics
from nsn_jax.pixel_range import to_unit
from nsn_jax.progress import OnFraction

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


@jax.jit
def _gram(images: jax.Array, mean: jax.Array) -> jax.Array:
  """Sum of products of centred pixels, [C, H*W, H*W], of a batch."""
  centred = to_unit(images) - mean
  n, h, w, c = centred.shape
  flat = centred.reshape(n, h * w, c)
  return jnp.einsum("npc,nqc->cpq", flat, flat, precision=numerics.PRECISION)


def fit_whitening(
  images: np.ndarray | jax.Array,
  epsilon: float,
  *,
  report: OnFraction | None = None,
) -> Whitening:
  """Fits the whitening of each channel. Host-side: streams over the images, then one eigh each.

  The eigen-decomposition runs in float64: the spectrum of 4,096 pixels spans more than float32
  resolves, and small negative eigenvalues would meet a small epsilon under a square root. What
  still comes out negative is taken as 0.

  Args:
    images: [N, H, W, C], uint8, or float in [0, 1].
    epsilon: added to the eigenvalues, of pixels in [0, 1]; positive.
    report: told of the share that is done, after each batch and each decomposition.

  Returns:
    The whitening, float32.

  Raises:
    ValueError: for images or epsilon that are not as above.
  """
  images = checks.images("images", images)
  epsilon = checks.number("epsilon", epsilon, 0.0, above=True)
  checks.function("report", report)
  n, h, w, c = images.shape
  batch = max(_BATCH_BYTES // (4 * h * w * c), 1)
  starts = range(0, n, batch)
  total = np.zeros((h, w, c), np.float64)
  for i in starts:
    total += np.asarray(images[i : i + batch]).sum(axis=0, dtype=np.float64)
  mean = (total / n / (255.0 if images.dtype == np.uint8 else 1.0)).astype(np.float32)
  gram = np.zeros((c, h * w, h * w), np.float64)
  report, steps = report or (lambda _: None), len(starts) + c
  for step, i in enumerate(starts, 1):
    gram += np.asarray(_gram(jnp.asarray(images[i : i + batch]), mean))
    report(step / steps)
  transform, inverse = np.empty(gram.shape, np.float32), np.empty(gram.shape, np.float32)
  for channel in range(c):
    eigenvalue, u = np.linalg.eigh(gram[channel] / n)
    root = np.sqrt(np.maximum(eigenvalue, 0.0) + epsilon)
    transform[channel] = (u / root) @ u.T
    inverse[channel] = (u * root) @ u.T
    report((len(starts) + channel + 1) / steps)
  return Whitening(jnp.asarray(mean), jnp.asarray(transform), jnp.asarray(inverse))


def _apply(images: jax.Array, matrix: jax.Array) -> jax.Array:
  n, h, w, c = images.shape
  if c == 1:  # a plain product; the batched one below is slower on CPU
    flat = jnp.dot(images.reshape(n, h * w), matrix[0], precision=numerics.PRECISION)
  else:
    flat = jnp.einsum(
      "npc,cpq->nqc", images.reshape(n, h * w, c), matrix, precision=numerics.PRECISION
    )
  return flat.reshape(images.shape)


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
