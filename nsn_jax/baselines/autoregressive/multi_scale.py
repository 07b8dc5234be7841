"""Multi-Scale PixelRNN (van den Oord et al. 2016, arXiv:1601.06759, section 3.4)."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.autoregressive.completing_model import CompletingModel
from nsn_jax.baselines.autoregressive.pixel_network import KINDS, Kind, PixelNetwork, Weights

__all__ = ["MultiScale", "MultiScaleParams"]


class MultiScaleParams(NamedTuple):
  """Parameters: a pytree.

  Attributes:
    small: of the network of small images.
    upsampling: of the one that makes a map as large as the images of a small one.
    large: of the network that is given this map.
  """

  small: Weights
  upsampling: Any
  large: Weights


class _Upsampling(nn.Module):
  """A small image [N, h, w, C] to a map [N, H, W, features], doubled until it is as large."""

  features: int
  num_doublings: int
  height: int
  width: int

  @nn.compact
  def __call__(self, small: jax.Array) -> jax.Array:
    x = nn.relu(nn.Conv(self.features, (3, 3), kernel_init=nn.initializers.he_normal())(small))
    # He's, of the four of sixteen taps that reach a pixel.
    init = nn.initializers.variance_scaling(8.0, "fan_in", "normal", in_axis=0)
    for left in reversed(range(self.num_doublings)):
      side = 2 * max(x.shape[1:3])
      x = networks.Doubling(self.features, side, use_bias=True, kernel_init=init)(x)
      # Sides of the image are halved, rounding up.
      x = nn.relu(x[:, : -(-self.height >> left), : -(-self.width >> left)])
    return x


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiScale(CompletingModel):
  """A small image by one PixelRNN, then the whole image by another that is given the small one.

  The small image is every `factor`-th pixel of every `factor`-th row. Transposed convolutions make
  a map as large as the image of it, and a product at each pixel brings this map to every layer of
  the second network, where it is added to the input-to-state map. Both networks are trained at
  once, on real images: the small one that is given is the image's own.

  We depart from the paper, which draws the pixels of the small image again: here they stay. So the
  second network has the others' bits alone, and
    -log p(x) = -log p(small) - sum over the other pixels of log p(x_i | those before it, small)
  is the exact density, and no bound of it. Both networks are as large as PixelRNN's for MNIST, and
  smaller than the paper's, which are for ImageNet.

  Attributes:
    image_shape: [H, W, C].
    kind: of the LSTMs, "row" or "diagonal": the small image shows Row LSTMs what their context
      leaves out.
    hidden: h, units of an LSTM of either network, at least C; the map that is given has 2h
      features.
    num_layers: LSTMs of either network.
    factor: of the sides; a power of two.
    batch_size: images a step.
    learning_rate: of RMSProp.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "Multi-Scale PixelRNN"
  default_epochs: ClassVar[int] = 3
  num_networks: ClassVar[int] = 2
  width_field: ClassVar[str | None] = "hidden"

  kind: Kind = "row"
  hidden: int = 16
  num_layers: int = 5
  factor: int = 4

  def __post_init__(self) -> None:
    super().__post_init__()
    if not isinstance(self.kind, str) or self.kind not in KINDS:
      raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
    checks.integer("hidden", self.hidden, self.image_shape[-1])
    checks.integer("num_layers", self.num_layers, 1)
    checks.integer("factor", self.factor, 2)
    if self.factor & (self.factor - 1):
      raise ValueError(f"factor: expected a power of two, got {self.factor}")

  @property
  def small_shape(self) -> tuple[int, int, int]:
    """Of the small images, [h, w, C]."""
    height, width, channels = self.image_shape
    return -(-height // self.factor), -(-width // self.factor), channels

  @property
  def sequential_steps(self) -> int:
    """A value of either image waits for those before it."""
    return math.prod(self.small_shape) + math.prod(self.image_shape)

  @property
  def _small(self) -> PixelNetwork:
    return PixelNetwork(self.small_shape, self.kind, self.hidden, self.num_layers)

  @property
  def _large(self) -> PixelNetwork:
    return PixelNetwork(self.image_shape, self.kind, self.hidden, self.num_layers, 2 * self.hidden)

  @property
  def _upsampling(self) -> nn.Module:
    height, width, _ = self.image_shape
    return _Upsampling(2 * self.hidden, self.factor.bit_length() - 1, height, width)

  @property
  def _is_small(self) -> npt.NDArray[np.bool_]:
    """Whether a pixel is of the small image, too: bool [H, W]."""
    is_small = np.zeros(self.image_shape[:2], bool)
    is_small[:: self.factor, :: self.factor] = True
    return is_small

  def subsample(self, x: jax.Array) -> jax.Array:
    """The small images of images, or of masks: [N, H, W, ...] to [N, h, w, ...]."""
    return x[:, :: self.factor, :: self.factor]

  def first(self, key: jax.Array) -> MultiScaleParams:
    """Parameters that training begins with."""
    small_key, upsampling_key, large_key = jax.random.split(key, 3)
    small = jnp.zeros((1, *self.small_shape), jnp.float32)
    return MultiScaleParams(
      self._small.init(small_key),
      self._upsampling.init(upsampling_key, small),
      self._large.init(large_key),
    )

  def _conditions(self, params: MultiScaleParams, small: jax.Array) -> jax.Array:
    """The map that small images are enlarged to, [N, H, W, 2h]."""
    found: Any = self._upsampling.apply(params.upsampling, small)
    return found

  def value_bits(self, params: MultiScaleParams, images: jax.Array) -> jax.Array:
    """Negative log2-likelihood of each value given those before it: float32 [N, H, W, C].

    Those of the small image come before all others.
    """
    small = self.subsample(images)
    of_small = pixel_values.bits(self._small.logits(params.small, small), small)
    logits = self._large.logits(params.large, images, self._conditions(params, small))
    of_rest = jnp.where(self._is_small[..., None], 0.0, pixel_values.bits(logits, images))
    return of_rest.at[:, :: self.factor, :: self.factor].set(of_small)

  def draw(
    self, key: jax.Array, params: MultiScaleParams, images: jax.Array, known: jax.Array
  ) -> jax.Array:
    """Images of which some pixels are known: as `complete`, unchecked.

    The small image's pixels come first in the order of drawing: they are drawn given those of them
    that are known, and the others given the whole small image.
    """
    small_key, large_key = jax.random.split(key)
    known = jnp.broadcast_to(known, images.shape[:3])
    small = self.subsample(images)
    small = self._small.draw(small_key, params.small, small, self.subsample(known))
    images = images.at[:, :: self.factor, :: self.factor].set(small)
    conditions = self._conditions(params, small)
    return self._large.draw(large_key, params.large, images, known | self._is_small, conditions)
