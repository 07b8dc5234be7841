"""DRAW whose networks are convolutions (after Gregor et al. 2016, arXiv:1604.08772)."""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.variational.drawing import Drawing, Memory
from nsn_jax.baselines.variational.normal_latent import Posterior

__all__ = ["ConvDRAW"]

#: Times that an image is halved before the LSTMs see it, where it is large enough.
_HALVINGS = 2
#: Window of what an LSTM sees, along a side.
_WINDOW = 3


def _sides(image_shape: tuple[int, int, int]) -> tuple[int, ...]:
  """Sides of the maps, the image's own first, the LSTMs' last."""
  return networks.map_sides(image_shape)[: _HALVINGS + 1]


class _LSTM(nn.Module):
  """A convolutional LSTM's step, and the memory that it begins with: learned, alike everywhere."""

  hidden: int
  side: int

  def setup(self) -> None:
    self.cell = nn.ConvLSTMCell(self.hidden, (_WINDOW, _WINDOW))
    self.start = self.param("start", nn.initializers.zeros, (2, self.hidden), jnp.float32)

  def __call__(self, memory: Memory, inputs: jax.Array) -> Memory:
    """One step."""
    return self.cell(memory, inputs)[0]

  def first(self, num: int) -> Memory:
    """The memory of so many images before the first step."""
    shape = (num, self.side, self.side, self.hidden)
    cell, state = (jnp.broadcast_to(row, shape) for row in self.start)
    return cell, state


class _Encoder(nn.Module):
  """Sees an image and what the canvas lacks of it, halved; says where the next latent lies."""

  image_shape: tuple[int, int, int]
  width: int
  hidden: int
  latent: int

  def setup(self) -> None:
    *larger, side = _sides(self.image_shape)
    self.halvings = [
      networks.halving(self.width << layer, side, kernel_init=networks.HE)
      for layer, side in enumerate(larger)
    ]
    self.lstm = _LSTM(self.hidden, side)
    self.mean = nn.Dense(self.latent)
    self.log_scale = nn.Dense(self.latent)

  def first(self, num: int) -> Memory:
    """The memory before the first step."""
    return self.lstm.first(num)

  def __call__(
    self, memory: Memory, images: jax.Array, canvas: jax.Array, decoded: jax.Array
  ) -> tuple[Memory, Posterior]:
    """A step, of images in [0, 1] and a canvas of logits."""
    x = jnp.concatenate([images, images - nn.sigmoid(canvas)], axis=-1)
    for halving in self.halvings:
      x = nn.relu(halving(x))
    memory = self.lstm(memory, jnp.concatenate([x, decoded], axis=-1))
    # The same at each position of the map; a row an image.
    mean, log_scale = (
      layer(memory[1]).reshape(len(x), -1) for layer in (self.mean, self.log_scale)
    )
    return memory, Posterior(mean, 2 * log_scale)


class _Decoder(nn.Module):
  """Takes a latent and writes on all of the canvas."""

  image_shape: tuple[int, int, int]
  width: int
  hidden: int

  def setup(self) -> None:
    *larger, side = _sides(self.image_shape)
    self.side = side
    self.lstm = _LSTM(self.hidden, side)
    self.blank = self.param("blank", nn.initializers.zeros, self.image_shape, jnp.float32)
    # The way of the encoder back; the last one's weights are small: first strokes are faint.
    last, *between = larger
    self.between = [
      networks.Doubling(self.width << layer, side, use_bias=True, kernel_init=networks.HE_DOUBLED)
      for layer, side in reversed(list(enumerate(between)))
    ]
    self.stroke = networks.Doubling(self.image_shape[-1], last, use_bias=True)

  def first(self, num: int) -> tuple[Memory, jax.Array]:
    """The memory and the canvas before the first step."""
    return self.lstm.first(num), jnp.broadcast_to(self.blank, (num, *self.image_shape))

  def __call__(
    self, memory: Memory, canvas: jax.Array, latent: jax.Array
  ) -> tuple[Memory, jax.Array]:
    """A step."""
    memory = self.lstm(memory, latent.reshape(len(latent), self.side, self.side, -1))
    x = memory[1]
    for doubling in self.between:
      x = nn.relu(doubling(x))
    return memory, canvas + self.stroke(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvDRAW(Drawing):
  """DRAW's encoder and decoder as convolutions: maps instead of vectors, no windows.

  Images are halved twice before a convolutional LSTM sees them, and the other one's hidden map is
  doubled twice to a stroke; the latent is a map, too. So what a stroke is does not depend on where,
  which windows that move do for the dense networks.

  We depart from the paper: its prior of a step's latent is learned from the strokes before, as its
  pixels are uncertain ones; here it is the standard normal, and pixels are binarised, as
  DRAW has them, so that the networks alone differ. A stroke comes from the hidden map by two
  layers, where the paper's LSTMs lie at the image's own scale.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    num_steps: strokes, T.
    width: channels of the first halved map, doubled in the next.
    hidden: channels of each LSTM.
    latent: values of a step's latent, at each position of the LSTMs' maps.
    num_importance: draws of an image and step; 1 trains the evidence lower bound.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "DRAW, convolutional"
  default_epochs: ClassVar[int] = 4
  width_field: ClassVar[str | None] = "hidden"

  num_steps: int = 16
  width: int = 16
  hidden: int = 32
  latent: int = 4

  def __post_init__(self) -> None:
    super().__post_init__()
    networks.map_sides(self.image_shape)
    for name in ("width", "hidden", "latent"):
      checks.integer(name, getattr(self, name), 1)

  @property
  def _encoder(self) -> _Encoder:
    return _Encoder(self.image_shape, self.width, self.hidden, self.latent)

  @property
  def _decoder(self) -> _Decoder:
    return _Decoder(self.image_shape, self.width, self.hidden)

  @property
  def _latent_size(self) -> int:
    return math.prod(self._memory_shape[:2]) * self.latent

  @property
  def _memory_shape(self) -> tuple[int, ...]:
    side = _sides(self.image_shape)[-1]
    return side, side, self.hidden
