"""What a network makes of images: the first rung of every score."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import numpy as np
import numpy.typing as npt
from scipy import special

from nsn_jax import checks
from nsn_jax.metrics import inputs

__all__ = ["Network", "Outputs", "stream"]


class Outputs(NamedTuple):
  """Outputs of a network for N images, on the host.

  Attributes:
    features: of the layer before the logits, float32 [N, D]; for FID, KID, precision and recall.
    logits: float32 [N, classes].
  """

  features: npt.NDArray[np.float32]
  logits: npt.NDArray[np.float32]

  @property
  def probabilities(self) -> npt.NDArray[np.float64]:
    """Class probabilities, float64 [N, classes], rows sum to 1; for the inception score.

    In float64, because the score takes logarithms of the small ones.
    """
    return special.softmax(self.logits.astype(np.float64), axis=1)


class Network(Protocol):
  """A network to judge with: `Classifier` or `Inception`."""

  def outputs(self, images: inputs.Array, *, batch_size: int = ...) -> Outputs:
    """Outputs for uint8 images [N, H, W, C]."""
    ...


def stream(
  forward: Callable[[npt.NDArray[np.uint8]], tuple[jax.Array, jax.Array]],
  images: inputs.Array,
  batch_size: int,
  num_features: int,
  num_classes: int,
) -> Outputs:
  """Outputs batch by batch, so that all images need not fit the device.

  Args:
    forward: a batch [batch_size, H, W, C] to (features, logits). The last batch is filled up, so
      that it is compiled once, whatever N.
    images: uint8 [N, H, W, C]; N may be 0.
    batch_size: images on the device at a time, >= 1.
    num_features: D.
    num_classes: of the logits.

  Returns:
    Features and logits of the N images.

  Raises:
    ValueError: for a batch size below 1.
  """
  checks.integer("batch_size", batch_size, 1)
  found = Outputs(
    np.empty((len(images), num_features), np.float32),
    np.empty((len(images), num_classes), np.float32),
  )
  for start in range(0, len(images), batch_size):
    batch = np.asarray(images[start : start + batch_size])
    padding = [(0, batch_size - len(batch)), (0, 0), (0, 0), (0, 0)]
    part = slice(start, start + len(batch))
    for rows, values in zip(found, forward(np.pad(batch, padding)), strict=True):
      rows[part] = np.asarray(values)[: len(batch)]
  return found
