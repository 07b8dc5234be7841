"""DRAW (Gregor et al. 2015, arXiv:1502.04623): an image is drawn stroke by stroke."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines import binary_pixels
from nsn_jax.baselines.variational import attention, normal_latent
from nsn_jax.baselines.variational.normal_latent import Posterior
from nsn_jax.baselines.variational.variational_model import VAEState, Variational

__all__ = ["DRAW"]

#: Cell and hidden state of an LSTM, [N, hidden] each.
_Memory = tuple[jax.Array, jax.Array]


class _LSTM(nn.Module):
  """An LSTM's step, and the memory that it begins with, which is learned."""

  hidden: int

  def setup(self) -> None:
    self.cell = nn.OptimizedLSTMCell(self.hidden)
    self.start = self.param("start", nn.initializers.zeros, (2, self.hidden), jnp.float32)

  def __call__(self, memory: _Memory, inputs: jax.Array) -> _Memory:
    """One step."""
    return self.cell(memory, inputs)[0]

  def first(self, num: int) -> _Memory:
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

  def first(self, num: int) -> _Memory:
    """The memory before the first step."""
    return self.lstm.first(num)

  def __call__(
    self, memory: _Memory, images: jax.Array, canvas: jax.Array, decoded: jax.Array
  ) -> tuple[_Memory, Posterior]:
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

  def first(self, num: int) -> tuple[_Memory, jax.Array]:
    """The memory and the canvas before the first step."""
    return self.lstm.first(num), jnp.broadcast_to(self.blank, (num, *self.image_shape))

  def __call__(
    self, memory: _Memory, canvas: jax.Array, latent: jax.Array
  ) -> tuple[_Memory, jax.Array]:
    """A step (Eq 7 and 8)."""
    memory = self.lstm(memory, latent)
    stroke = self.stroke(memory[1])
    if self.size is None:
      return memory, canvas + stroke.reshape(canvas.shape)
    height, width, channels = self.image_shape
    where = attention.window(self.where(memory[1]), height, width, self.size)
    patches = stroke.reshape(-1, self.size, self.size, channels)
    return memory, canvas + attention.write(patches, where, height, width)


class _Inference(NamedTuple):
  """What drawing an image anew says of it.

  Attributes:
    reconstruction: minus log p(x | z), in nats [N].
    divergence: of the posteriors from the prior, all steps', in nats [N].
    log_ratio: log p(z) - log q(z | x), all steps', in nats [N].
  """

  reconstruction: jax.Array
  divergence: jax.Array
  log_ratio: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class DRAW(Variational):
  """Two LSTMs: one looks at an image and the canvas, one writes; a normal latent between them.

  The paper's recipe for MNIST: 64 steps, 256 hidden units, 100 latents a step, windows of 2x2 to
  read and 5x5 to write, binarised pixels, Adam. A step of training draws its pixels anew, black or
  white with their brightness as the probability of white; the paper's are drawn once. A sample is
  the last canvas as probabilities of white, as the paper shows it.

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
  of: ClassVar[str] = "binarised pixels"

  num_steps: int = 64
  hidden: int = 256
  latent: int = 100
  attention: bool = True
  read_size: int = 2
  write_size: int = 5

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("num_steps", "hidden", "latent", "read_size", "write_size"):
      checks.integer(name, getattr(self, name), 1)
    checks.instance("attention", self.attention, bool)

  @property
  def sequential_steps(self) -> int:
    """A stroke waits for those before it."""
    return self.num_steps

  @property
  def _encoder(self) -> _Encoder:
    size = self.read_size if self.attention else None
    return _Encoder(self.image_shape, self.hidden, self.latent, size)

  @property
  def _decoder(self) -> _Decoder:
    size = self.write_size if self.attention else None
    return _Decoder(self.image_shape, self.hidden, size)

  def optimizer(self) -> optax.GradientTransformation:
    """Adam, gradients cut."""
    return optax.chain(optax.clip_by_global_norm(5.0), optax.adam(self.learning_rate))

  def first(self, key: jax.Array) -> tuple[Any, Any]:
    """Parameters of the encoder and the decoder that training begins with."""
    encoder_key, decoder_key = jax.random.split(key)
    image = jnp.zeros((1, *self.image_shape), jnp.float32)
    state = jnp.zeros((1, self.hidden), jnp.float32)
    latent = jnp.zeros((1, self.latent), jnp.float32)
    encoder = self._encoder.init(encoder_key, (state, state), image, image, state)
    decoder = self._decoder.init(decoder_key, (state, state), image, latent)
    return encoder, decoder

  def losses(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Reconstruction loss of one drawing (Eq 9) and divergence of its latents (Eq 10): [N] each."""
    found = self._infer(key, encoder, decoder, images)
    return found.reconstruction, found.divergence

  def log_weights(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array, num_draws: int
  ) -> jax.Array:
    """Of drawings by q, log p(x, z) - log q(z | x), all steps' latents: float32 [num_draws, N]."""
    tiled = jnp.tile(images, (num_draws, 1, 1, 1))
    found = self._infer(key, encoder, decoder, tiled)
    return (found.log_ratio - found.reconstruction).reshape(num_draws, len(images))

  def _infer(self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array) -> _Inference:
    """Draws images anew, by latents from the posterior of each step."""
    num = len(images)
    pixels = (images + 1.0) / 2.0
    writing, canvas = self._first_canvas(decoder, num)
    reading: Any = self._encoder.apply(encoder, num, method="first")
    none = jnp.zeros(num, jnp.float32)

    def one(at: Any, key: jax.Array) -> tuple[Any, None]:
      reading, writing, canvas, divergence, log_ratio = at
      found: Any = self._encoder.apply(encoder, reading, pixels, canvas, writing[1])
      reading, posterior = found
      noise = jax.random.normal(key, posterior.mean.shape, jnp.float32)
      latent = normal_latent.drawn(posterior, noise)
      found = self._decoder.apply(decoder, writing, canvas, latent)
      writing, canvas = found
      divergence += normal_latent.divergence(posterior)
      log_ratio += normal_latent.log_ratio(posterior, noise)
      return (reading, writing, canvas, divergence, log_ratio), None

    keys = jax.random.split(key, self.num_steps)
    at, _ = jax.lax.scan(one, (reading, writing, canvas, none, none), keys)
    _, _, canvas, divergence, log_ratio = at
    reconstruction = binary_pixels.cross_entropy(canvas.reshape(num, -1), images)
    return _Inference(reconstruction, divergence, log_ratio)

  def _first_canvas(self, decoder: Any, num: int) -> tuple[_Memory, jax.Array]:
    """The decoder's memory, and logits [num, H, W, C]."""
    found: Any = self._decoder.apply(decoder, num, method="first")
    return found

  def _draw(
    self, key: jax.Array, state: VAEState, num_samples: int, *, keep: bool
  ) -> tuple[jax.Array, jax.Array | None]:
    """The last canvas of each sample, and where they are kept those after each step."""

    def one(at: Any, key: jax.Array) -> tuple[Any, jax.Array | None]:
      latent = jax.random.normal(key, (num_samples, self.latent), jnp.float32)
      found: Any = self._decoder.apply(state.decoder, *at, latent)
      return found, found[1] if keep else None

    keys = jax.random.split(key, self.num_steps)
    (_, canvas), canvases = jax.lax.scan(one, self._first_canvas(state.decoder, num_samples), keys)
    return canvas, canvases

  def generate(self, key: jax.Array, state: VAEState, num_samples: int) -> jax.Array:
    """Last canvases as probabilities of white, float32 [num_samples, H, W, C] in (-1, 1)."""
    return jnp.tanh(self._draw(key, state, num_samples, keep=False)[0] / 2)  # 2 sigmoid - 1

  def canvases(self, key: jax.Array, state: VAEState, num_samples: int) -> jax.Array:
    """How the images of `generate` are drawn: the canvas after each step.

    Args:
      key: PRNG key; the last canvases are the images that `generate` gives for it.
      state: trained.
      num_samples: N.

    Returns:
      float32 [num_steps, num_samples, H, W, C] in (-1, 1). Pure.
    """
    canvases = self._draw(key, state, num_samples, keep=True)[1]
    assert canvases is not None
    return jnp.tanh(canvases / 2)

  def seen(self, key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Binarised images, drawn anew each step."""
    return binary_pixels.seen(key, images)

  def observed(self, images: npt.NDArray[np.uint8]) -> jax.Array:
    """Binarised pixels, the same for all models."""
    return binary_pixels.held_out(images)
