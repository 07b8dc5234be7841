"""Contrast without labels: samples as spread as the training images.

Stitching averages draws that do not know of each other, and so loses variance. What is missing is
one number: decoded pixels, about the mean image, are multiplied by it so that the clipped samples'
pixels vary as much, over images, as the training images' do. The paper sets beta by hand. Where a
network is configured so, it is a number for each leading direction (`nsn_jax.gains`), and a curve
for each direction of small windows (`nsn_jax.curves`).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.config import SamplerConfig
from nsn_jax.curves import Curves, check_windows, find_curves, in_parts
from nsn_jax.gains import find_gains
from nsn_jax.network import NSN, Contrast, check_images
from nsn_jax.pixel_range import to_unit
from nsn_jax.sampler import sample, settings, with_contrast

__all__ = ["compared_rows", "find_contrast", "spread"]

#: Samples and training images that are compared.
_IMAGES, _TRAINING_IMAGES = 1_000, 10_000
#: Samples, and training images at most, that curves are found of.
_CURVE_IMAGES = 500
#: Factors that are tried, then halvings of the interval in which the spread is reached.
_FACTORS = np.geomspace(0.1, 10.0, 47)
_HALVINGS = 8
#: Values of the training images that directions are found of, at most.
_DIRECTION_VALUES = 1 << 25


def spread(images: npt.NDArray | jax.Array) -> float:
  """Root of the mean variance of a pixel over images [N, H, W, C], clipped to [0, 1]."""
  clipped = np.clip(np.asarray(images, np.float32), 0.0, 1.0)
  return float(np.sqrt(clipped.var(axis=0, dtype=np.float64).mean()))


def compared_rows(num_images: int) -> npt.NDArray[np.int64]:
  """Numbers of the training images that samples are compared with."""
  # All along: data sets may be sorted by class.
  return np.linspace(0, num_images - 1, min(_TRAINING_IMAGES, num_images)).astype(int)


def find_contrast(
  key: jax.Array, nsn: NSN, images: npt.NDArray | jax.Array, sampler: SamplerConfig | None = None
) -> Contrast:
  """The contrast that a network's samples need.

  Args:
    key: PRNG key.
    nsn: the network, whole; what contrast it has does not matter.
    images: the training images, [N, H, W, C], uint8, or float in [0, 1].
    sampler: of the samples; by default the network's own. Its beta is taken as 1, as that is
      relative to what is found.

  Returns:
    The mean image and the least factor, from 0.1 to 10, that reaches the training images' spread;
    where none does, as images saturate first, the one that comes nearest; and 1 where samples are
    all alike. With `config.contrast_directions`, each direction's gain, and the others' as factor.
    With `config.contrast_windows`, the curves of each, of samples as the others leave them.

  Raises:
    ValueError: for arguments that are not as above.
  """
  images = check_images(nsn, images)
  check_windows(nsn.config.contrast_windows, images.shape[1:3])
  sampler = dataclasses.replace(settings(nsn, sampler), beta=1.0)
  some = np.asarray(to_unit(jnp.asarray(images[compared_rows(len(images))])))
  mean = some.mean(axis=0) if nsn.whitening is None else np.asarray(nsn.whitening.mean)
  plain = dataclasses.replace(nsn, contrast=None)
  samples = np.asarray(sample(key, plain, _IMAGES, sampler))
  found = Contrast(jnp.float32(1.0), jnp.asarray(mean, jnp.float32))
  if nsn.config.contrast_directions:
    # Of so many as are a batch of them: the directions' search holds several copies.
    few = some[:: -(-some.size // _DIRECTION_VALUES)]
    factor, gains = find_gains(
      jax.random.fold_in(key, 1), samples - mean, mean, few, nsn.config.contrast_directions
    )
    found = found._replace(factor=jnp.float32(factor), gains=gains)
  else:
    found = found._replace(factor=jnp.float32(_one_factor(samples - mean, mean, spread(some))))
  if not nsn.config.contrast_windows:
    return found
  few = some[:: -(-len(some) // _CURVE_IMAGES)]
  changed = np.asarray(with_contrast(jnp.asarray(samples[:_CURVE_IMAGES]), found))
  curves: list[Curves] = []
  for index, window in enumerate(nsn.config.contrast_windows):
    if curves:
      changed = in_parts(changed, curves[-1])
    curves.append(find_curves(jax.random.fold_in(key, 2 + index), changed, few, window))
  return found._replace(curves=tuple(curves))


def _one_factor(
  about: npt.NDArray[np.float32], mean: npt.NDArray[np.float32], wanted: float
) -> float:
  """The factor of samples' deviations from the mean image that reaches a spread."""

  def reached(factor: float) -> float:
    return spread(mean + np.float32(factor) * about)

  tried = [reached(factor) for factor in _FACTORS]
  above = np.flatnonzero(np.asarray(tried) >= wanted)
  if not max(tried) > 0.0:  # Nothing to multiply, or not a number.
    return 1.0
  if not above.size:
    return float(_FACTORS[int(np.argmax(tried))])
  low, high = _FACTORS[max(int(above[0]) - 1, 0)], _FACTORS[int(above[0])]
  for _ in range(_HALVINGS):
    middle = np.sqrt(low * high)
    low, high = (middle, high) if reached(middle) < wanted else (low, middle)
  return float(np.sqrt(low * high))
