"""Pixels that are black or white: how they are drawn from grey ones, and their likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax.pixel_range import to_signed

__all__ = ["as_probabilities", "binarised", "cross_entropy", "held_out", "seen", "shown"]

#: Of held-out pixels: all models and seeds are measured on the same ones.
_HELD_OUT_SEED = 0


def as_probabilities(images: jax.Array) -> jax.Array:
  """Images in [-1, 1] to rows of probabilities of white, [N, H, W, C] to [N, HWC]."""
  return (images.reshape(len(images), -1) + 1.0) / 2.0


def binarised(key: jax.Array, images: jax.Array) -> jax.Array:
  """Each value white with its brightness as the probability, as Burda et al. 2016 have it.

  Args:
    key: PRNG key.
    images: float32 in [-1, 1].

  Returns:
    float32 of the same shape, -1 or 1.
  """
  level = 2.0 * jax.random.uniform(key, images.shape, jnp.float32) - 1.0
  return jnp.where(level < images, jnp.float32(1), jnp.float32(-1))


def seen(key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """A batch that is binarised anew, and the key that its step has left."""
  pixels_key, key = jax.random.split(key)
  return binarised(pixels_key, images), key


def held_out(images: npt.NDArray[np.uint8]) -> jax.Array:
  """8-bit images binarised by draws that are always the same, so that densities are comparable."""
  return binarised(jax.random.key(_HELD_OUT_SEED), to_signed(images))


def cross_entropy(logits: jax.Array, images: jax.Array) -> jax.Array:
  """Minus the log-likelihood of pixels, in nats an image; of grey ones the mean of binarised ones.

  Args:
    logits: of white, float32 [..., N, HWC].
    images: float32 [N, H, W, C] in [-1, 1].

  Returns:
    float32 [..., N].
  """
  return optax.sigmoid_binary_cross_entropy(logits, as_probabilities(images)).sum(axis=-1)


def shown(logits: jax.Array, image_shape: tuple[int, int, int]) -> jax.Array:
  """Probabilities of white as grey images, [..., HWC] to [..., H, W, C] in (-1, 1)."""
  return jnp.tanh(logits / 2).reshape(*logits.shape[:-1], *image_shape)  # 2 sigmoid - 1
