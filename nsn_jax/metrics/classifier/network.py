"""A trained classifier, the network behind the scores where ImageNet's does not fit."""

import dataclasses
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from nsn_jax.metrics import inputs, outputs
from nsn_jax.metrics.classifier.layout import Layout

__all__ = ["Classifier", "Seen", "accuracy", "look"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
  """A trained network: a pytree whose leaves are `params`.

  Attributes:
    params: flax variables, nested dict of float32 arrays: parameters, and the moments of a layout
      that normalises.
    num_classes: >= 2 (static).
    image_shape: [H, W, C] of the images it takes (static).
    architecture: layout of the network, `Architecture` or `FractalArchitecture` (static).
  """

  params: Any
  num_classes: int = dataclasses.field(metadata={"static": True})
  image_shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
  architecture: Layout = dataclasses.field(metadata={"static": True})

  def outputs(
    self,
    images: inputs.Array,
    *,
    batch_size: int = 1000,
    mesh: jax.sharding.Mesh | None = None,
  ) -> outputs.Outputs:
    """Features, all >= 0, and logits of images.

    Args:
      images: uint8 [N, H, W, C], 0-255, of the shape the classifier was trained on; N may be 0.
      batch_size: images on a device at a time, >= 1. It does not change the result beyond the
        rounding of float32.
      mesh: devices of this process that share the images; None for the default one.

    Returns:
      Outputs on the host; D is the architecture's `num_features`.

    Raises:
      ValueError: if an argument is not as said above.
    """
    inputs.images("images", images, self.image_shape)
    return outputs.stream(
      _forward,
      self,
      images,
      batch_size,
      self.architecture.num_features,
      self.num_classes,
      mesh,
    )


def accuracy(
  classifier: Classifier, images: inputs.Array, labels: inputs.Array, *, batch_size: int = 1000
) -> float:
  """Returns the share of images whose largest logit is their label's, in [0, 1].

  Args:
    classifier: from `train_classifier` or `load_classifier`.
    images: uint8 [N, H, W, C], 0-255, N >= 1.
    labels: integer [N] in [0, num_classes).
    batch_size: see `Classifier.outputs`.

  Raises:
    ValueError: if an argument is not as said above.
  """
  inputs.images("images", images, classifier.image_shape)
  inputs.labels("labels", labels, len(images), classifier.num_classes)
  if not len(images):
    raise ValueError("images: expected at least one image, got none")
  guesses = classifier.outputs(images, batch_size=batch_size).logits.argmax(axis=1)
  return float(np.mean(guesses == np.asarray(labels)))


class Seen(NamedTuple):
  """What a classifier makes of images, layer by layer.

  Attributes:
    layers: all >= 0: maps [N, h, w, channels], the lowest first, and last the features [N, D].
    logits: [N, classes].
  """

  layers: tuple[jax.Array, ...]
  logits: jax.Array


def look(classifier: Classifier, images: jax.Array) -> Seen:
  """Layers and logits of images. Pure, to be derived by them: nothing is checked.

  Args:
    classifier: whose.
    images: uint8 or float [N, H, W, C] in 0-255.
  """
  network = classifier.architecture.network(classifier.num_classes)
  (logits, features), found = cast(
    Any,
    network.apply(classifier.params, images, is_training=False, mutable=["intermediates"]),
  )
  return Seen((*found["intermediates"].get("maps", ()), features), logits)


def _forward(classifier: Classifier, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Features and logits of one batch, uint8 [batch_size, H, W, C]."""
  network = classifier.architecture.network(classifier.num_classes)
  logits, features = cast(Any, network.apply(classifier.params, images, is_training=False))
  return features, logits
