"""What a network makes of images: the first rung of every score."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import numpy.typing as npt
from scipy import special

from nsn_jax import checks
from nsn_jax.metrics import inputs
from nsn_jax.placement import AXIS, P, Placement, local_place
from nsn_jax.rows import filled

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

  def outputs(
    self, images: inputs.Array, *, batch_size: int = ..., mesh: jax.sharding.Mesh | None = None
  ) -> Outputs:
    """Outputs for uint8 images [N, H, W, C]; `mesh` as `stream` takes it."""
    ...


#: Of a network, a pytree, and a batch [n, H, W, C]: features and logits. Traced.
_Forward = Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]


@functools.partial(jax.jit, static_argnames=("forward", "place"))
def _forward(
  network: Any, batch: jax.Array, *, forward: _Forward, place: Placement | None
) -> tuple[jax.Array, jax.Array]:
  if place is None:
    return forward(network, batch)
  return place.on_devices(forward, (P(), P(AXIS)), P(AXIS))(network, batch)


def stream(
  forward: _Forward,
  network: Any,
  images: inputs.Array,
  batch_size: int,
  num_features: int,
  num_classes: int,
  mesh: jax.sharding.Mesh | None = None,
) -> Outputs:
  """Outputs batch by batch, so that all images need not fit the device.

  Args:
    forward: of the network and a batch [batch_size, H, W, C] to (features, logits); a function of
      a module, as its programs are kept by it. The last batch is filled up, so that it is compiled
      once, whatever N.
    network: its weights, a pytree.
    images: uint8 [N, H, W, C]; N may be 0.
    batch_size: images on a device at a time, >= 1.
    num_features: D.
    num_classes: of the logits.
    mesh: devices of this process, each of which takes some of the images, to the same bits on any
      number of them; None for the default one.

  Returns:
    Features and logits of the N images.

  Raises:
    ValueError: for a batch size below 1, or a mesh of several axes or other processes' devices.
  """
  checks.integer("batch_size", batch_size, 1)
  place = None if mesh is None else local_place(mesh)
  size = int(batch_size)
  if place is not None:
    size, network = size * place.num_devices, place.replicate(network)
  found = Outputs(
    np.empty((len(images), num_features), np.float32),
    np.empty((len(images), num_classes), np.float32),
  )
  for start in range(0, len(images), size):
    batch = np.asarray(images[start : start + size])
    part = slice(start, start + len(batch))
    whole = filled(batch, size)
    placed = whole if place is None else place.put(whole)
    values = _forward(network, placed, forward=forward, place=place)
    for rows, each in zip(found, values, strict=True):
      rows[part] = np.asarray(each)[: len(batch)]
  return found
