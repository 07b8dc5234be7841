"""DRAW (Gregor et al. 2015, arXiv:1502.04623): an image is drawn stroke by stroke."""

import dataclasses
import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines.variational import attention
from nsn_jax.baselines.variational.drawing import Drawing, Memory
from nsn_jax.baselines.variational.normal_latent import Posterior

__all__ = ["DRAW"]


class _LSTM(nn.Module):
  """An LSTM's step, and the memory that it begins with, which is learned."""

  hidden: int

  def setup(self) -> None:
    self.cell = nn.OptimizedLSTMCell(self.hidden)
    self.start = self.param("start", nn.initializers.zeros, (2, self.hidden), jnp.float32)

  def __call__(self, memory: Memory, inputs: jax.Array) -> Memory:
    """One step."""
    return self.cell(memory, inputs)[0]

  def first(self, num: int) -> Memory:
    """The memory of so many images before the first step."""
    cell, state = (jnp.broadcast_to(row, (num, self.hidden)) for row in self.start)
    return cell, state


class _Encoder(nn.Module):
  """Reads an image and what the canvas lacks of it; says where the next latent lies."""

  image_shape: tuple[int, int, int]
  hidden: int
  latent: int
  size: int | None

  def setup(self) -> None:
    self.lstm = _LSTM(self.hidden)
    self.mean = nn.Dense(self.latent)
    self.log_scale = nn.Dense(self.latent)
    if self.size is not None:
      self.where = nn.Dense(attention.NUM_PARAMETERS)

  def first(self, num: int) -> Memory:
    """The memory before the first step."""
    return self.lstm.first(num)

  def __call__(
    self, memory: Memory, images: jax.Array, canvas: jax.Array, decoded: jax.Array
  ) -> tuple[Memory, Posterior]:
    """A step (Eq 3 to 5, and 1 and 2), of images in [0, 1] and a canvas of logits."""
    error = images - nn.sigmoid(canvas)
    seen = jnp.concatenate([images, error], axis=-1)
    if self.size is not None:
      height, width, _ = self.image_shape
      where = attention.window(self.where(decoded), height, width, self.size)
      seen = attention.read(seen, where, self.size)
    memory = self.lstm(memory, jnp.concatenate([seen.reshape(len(seen), -1), decoded], axis=1))
    return memory, Posterior(self.mean(memory[1]), 2 * self.log_scale(memory[1]))


class _Decoder(nn.Module):
  """Takes a latent and writes on the canvas."""

  image_shape: tuple[int, int, int]
  hidden: int
  size: int | None

  def setup(self) -> None:
    self.lstm = _LSTM(self.hidden)
    self.blank = self.param("blank", nn.initializers.zeros, self.image_shape, jnp.float32)
    height, width, channels = self.image_shape
    sides = (height, width) if self.size is None else (self.size, self.size)
    self.stroke = nn.Dense(math.prod(sides) * channels)
    if self.size is not None:
      self.where = nn.Dense(attention.NUM_PARAMETERS)

  def first(self, num: int) -> tuple[Memory, jax.Array]:
    """The memory and the canvas before the first step."""
    return self.lstm.first(num), jnp.broadcast_to(self.blank, (num, *self.image_shape))

  def __call__(
    self, memory: Memory, canvas: jax.Array, latent: jax.Array
  ) -> tuple[Memory, jax.Array]:
    """A step (Eq 7 and 8)."""
    memory = self.lstm(memory, latent)
    stroke = self.stroke(memory[1])
    if self.size is None:
      return memory, canvas + stroke.reshape(canvas.shape)
    height, width, channels = self.image_shape
    where = attention.window(self.where(memory[1]), height, width, self.size)
    patches = stroke.reshape(-1, self.size, self.size, channels)
    return memory, canvas + attention.write(patches, where, height, width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DRAW(Drawing):
  """Two LSTMs: one looks at an image and the canvas, one writes; a normal latent between them.

  The paper's recipe for MNIST: 64 steps, 256 hidden units, 100 latents a step, windows of 2x2 to
  read and 5x5 to write, binarised pixels, Adam. Pixels are drawn anew each step of training; the
  paper's are drawn once.

  We fill in what the paper leaves open: rate 1e-3, batches of 100, gradients longer than 5 are cut
  to 5.

  Attributes:
    image_shape: [H, W, C].
    num_steps: strokes, T.
    hidden: units of each LSTM.
    latent: values of a step's latent.
    attention: whether windows read and write; else all of the image, at each step.
    read_size: filters along a side of the window that reads.
    write_size: of the one that writes.
    num_importance: draws of an image and step; 1 trains the evidence lower bound.
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "DRAW"
  default_epochs: ClassVar[int] = 5
  width_field: ClassVar[str | None] = "hidden"

  hidden: int = 256
  latent: int = 100
  attention: bool = True
  read_size: int = 2
  write_size: int = 5

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("hidden", "latent", "read_size", "write_size"):
      checks.integer(name, getattr(self, name), 1)
    checks.instance("attention", self.attention, bool)

  @property
  def _encoder(self) -> _Encoder:
    size = self.read_size if self.attention else None
    return _Encoder(self.image_shape, self.hidden, self.latent, size)

  @property
  def _decoder(self) -> _Decoder:
    size = self.write_size if self.attention else None
    return _Decoder(self.image_shape, self.hidden, size)

  @property
  def _latent_size(self) -> int:
    return self.latent

  @property
  def _memory_shape(self) -> tuple[int, ...]:
    return (self.hidden,)
