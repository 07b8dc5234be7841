"""256 values of a pixel as a categorical distribution: bits, draws, a test set's density."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax.baselines.baseline import Density
from nsn_jax.pixel_range import to_signed

__all__ = ["LEVELS", "bits", "density", "draw", "nothing_known"]

#: Values that a pixel can have.
LEVELS = 256
#: Images whose density is taken at a time.
_AT_ONCE = 100


def bits(logits: jax.Array, pixels: jax.Array) -> jax.Array:
  """Negative log2-likelihood of each value.

  Args:
    logits: float32 [..., 256].
    pixels: float32 [...] in [-1, 1].

  Returns:
    float32 [...].
  """
  values = jnp.round((pixels + 1.0) * 127.5).astype(jnp.int32)
  return optax.softmax_cross_entropy_with_integer_labels(logits, values) / jnp.log(2.0)


def draw(key: jax.Array, logits: jax.Array) -> jax.Array:
  """Values drawn of logits [..., 256], float32 [...] in [-1, 1]."""
  return to_signed(jax.random.categorical(key, logits))


def nothing_known(
  num_samples: int, image_shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array]:
  """Images to draw all of: float32 [num_samples, H, W, C], and which pixels are known, none."""
  return jnp.zeros((num_samples, *image_shape), jnp.float32), jnp.zeros(image_shape[:2], bool)


def density(
  of_images: Callable[[Any, jax.Array], jax.Array], params: Any, images: npt.NDArray[np.uint8]
) -> Density:
  """The exact density of images, batch by batch.

  Args:
    of_images: maps parameters and images, float32 [N, H, W, C] in [-1, 1], to bits a value, [N].
    params: of the network.
    images: uint8 [N, H, W, C].
  """
  signed = to_signed(images)
  batches = (signed[i : i + _AT_ONCE] for i in range(0, len(signed), _AT_ONCE))
  of_batch = jax.jit(of_images)  # By single operations it would take several times as long.
  found = np.concatenate([np.asarray(of_batch(params, batch)) for batch in batches])
  return Density("exact, bits a value", float(found.mean()))
