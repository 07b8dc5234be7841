"""A small convolutional network: the classifiers' layout where nobody names another."""

import dataclasses
import functools
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks, numerics
from nsn_jax.metrics.classifier import layout

__all__ = ["Architecture", "ConvNet"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture(layout.Layout):
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

  kind: ClassVar[str] = "convolutional"

  channels: tuple[int, ...] = (32, 64, 128)
  kernels: tuple[int, ...] = (5, 5, 3)
  num_features: int = 256
  dropout: float = 0.3

  def __post_init__(self) -> None:
    for name in ("channels", "kernels"):
      layout.check_counts(name, getattr(self, name))
    if len(self.channels) != len(self.kernels) or not self.channels:
      raise ValueError(
        f"kernels: expected one for each of channels {self.channels}, got {self.kernels}"
      )
    if any(kernel % 2 == 0 for kernel in self.kernels):
      raise ValueError(f"kernels: expected odd sizes, got {self.kernels}")
    checks.integer("num_features", self.num_features, 1)
    layout.check_share("dropout", self.dropout)

  def network(self, num_classes: int) -> "ConvNet":
    """See `Layout.network`."""
    return ConvNet(self, num_classes)


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
      x = nn.relu(layout.max_pool(x) if layer == 0 else x)  # [N, ceil(h / 2), ceil(w / 2), width]
      self.sow("intermediates", "maps", x)
    x = x.reshape(len(x), -1)
    features = nn.relu(dense(arch.num_features)(dropout()(x)))
    return dense(self.num_classes)(dropout()(features)), features
