"""A small convolutional classifier, the network behind the scores where ImageNet's does not fit."""

import dataclasses
import functools
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks, numerics
from nsn_jax.metrics import inputs, outputs

__all__ = ["Architecture", "Classifier", "ConvNet", "accuracy"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
  """Layout of the network: convolutions that each halve the image, then two dense layers.

  The first convolution sees every pixel and is max-pooled, which is worth half a percent of
  Fashion-MNIST's test images over a stride of 2. The others have stride 2: at full resolution, with
  more channels, they would be several times as slow on a CPU.

  Attributes:
    channels: of each convolution, >= 1.
    kernels: side of each convolution's window, odd, one for each of `channels`.
    num_features: width of the dense layer before the logits, >= 1.
    dropout: share of values dropped before each dense layer in training, in [0, 1).

  Raises:
    ValueError: if a value is out of its range or the tuples differ in length.
  """

  channels: tuple[int, ...] = (32, 64, 128)
  kernels: tuple[int, ...] = (5, 5, 3)
  num_features: int = 256
  dropout: float = 0.3

  def __post_init__(self) -> None:
    for name in ("channels", "kernels"):
      values = getattr(self, name)
      if not isinstance(values, tuple):
        raise ValueError(f"{name}: expected a tuple, as it is hashed, got {values!r}")
      for value in values:
        checks.integer(name, value, 1)
    if len(self.channels) != len(self.kernels) or not self.channels:
      raise ValueError(
        f"kernels: expected one for each of channels {self.channels}, got {self.kernels}"
      )
    if any(kernel % 2 == 0 for kernel in self.kernels):
      raise ValueError(f"kernels: expected odd sizes, got {self.kernels}")
    checks.integer("num_features", self.num_features, 1)
    if not 0 <= self.dropout < 1:
      raise ValueError(f"dropout: expected a number in [0, 1), got {self.dropout}")


class ConvNet(nn.Module):
  """The network as a flax module, from 8-bit images to (logits, features)."""

  architecture: Architecture
  num_classes: int

  @nn.compact
  def __call__(self, images: jax.Array, *, is_training: bool) -> tuple[jax.Array, jax.Array]:
    """Returns logits [N, classes] and features [N, num_features] of uint8 [N, H, W, C] images."""
    arch = self.architecture
    dropout = functools.partial(nn.Dropout, arch.dropout, deterministic=not is_training)
    # Full float32 on every device, or a GPU's TF32 would make a score depend on where it is taken.
    dense = functools.partial(nn.Dense, precision=numerics.PRECISION)
    x = images.astype(jnp.float32) / 127.5 - 1  # [N, H, W, C] in [-1, 1]
    for layer, (width, kernel) in enumerate(zip(arch.channels, arch.kernels, strict=True)):
      x = nn.Conv(
        width,
        (kernel, kernel),
        strides=1 if layer == 0 else 2,
        padding=kernel // 2,
        precision=numerics.PRECISION,
      )(x)
      x = nn.relu(_max_pool(x) if layer == 0 else x)  # [N, ceil(h / 2), ceil(w / 2), width]
    x = x.reshape(len(x), -1)
    features = nn.relu(dense(arch.num_features)(dropout()(x)))
    return dense(self.num_classes)(dropout()(features)), features


def _max_pool(x: jax.Array) -> jax.Array:
  """Maximum of each 2x2 window of [N, h, w, C]; an odd border row or column is its own maximum.

  By slices, because the gradient of XLA's pooling is slow on CPU.
  """
  x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
  rows = jnp.maximum(x[:, ::2], x[:, 1::2])
  return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
  """A trained network: a pytree whose leaves are `params`.

  Attributes:
    params: flax parameters, nested dict of float32 arrays.
    num_classes: >= 2 (static).
    image_shape: [H, W, C] of the images it takes (static).
    architecture: layout of the network (static).
  """

  params: Any
  num_classes: int = dataclasses.field(metadata={"static": True})
  image_shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
  architecture: Architecture = dataclasses.field(metadata={"static": True})

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


def _forward(classifier: Classifier, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Features and logits of one batch, uint8 [batch_size, H, W, C]."""
  network = ConvNet(classifier.architecture, classifier.num_classes)
  logits, features = cast(Any, network.apply(classifier.params, images, is_training=False))
  return features, logits
