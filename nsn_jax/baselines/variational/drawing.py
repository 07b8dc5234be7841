"""What models share that draw an image stroke by stroke (Gregor et al. 2015, arXiv:1502.04623)."""

import abc
import dataclasses
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines import binary_pixels
from nsn_jax.baselines.variational import normal_latent
from nsn_jax.baselines.variational.variational_model import VAEState, Variational

__all__ = ["Drawing", "Memory"]

#: Cell and hidden state of an LSTM, [N, ...] each.
Memory = tuple[jax.Array, jax.Array]


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
class Drawing(Variational):
  """A recurrent network looks at an image and the canvas, another one writes; not what they are.

  A normal latent lies between them, at each step. Pixels are binarised: a step of training draws
  them anew, black or white with their brightness as the probability of white; the paper's are drawn
  once. A sample is the last canvas as probabilities of white, as the paper shows it.

  Attributes:
    image_shape: [H, W, C].
    num_steps: strokes, T.
    num_importance: draws of an image and step; 1 trains the evidence lower bound.
    batch_size: images a step.
    learning_rate: of Adam; gradients longer than 5 are cut to 5.

  Raises:
    ValueError: for values that are not as above.
  """

  of: ClassVar[str] = "binarised pixels"

  num_steps: int = 64

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("num_steps", self.num_steps, 1)

  # What a subclass gives.

  @property
  @abc.abstractmethod
  def _encoder(self) -> nn.Module:
    """Takes a memory, images in [0, 1], a canvas of logits and the decoder's hidden state.

    Returns its memory and the posterior of the step's latent; `first(num)` is its first memory.
    """

  @property
  @abc.abstractmethod
  def _decoder(self) -> nn.Module:
    """Takes a memory, a canvas and a latent; returns the memory and the canvas after the stroke.

    `first(num)` is the first memory, and the canvas before the first stroke.
    """

  @property
  @abc.abstractmethod
  def _latent_size(self) -> int:
    """Values of a step's latent."""

  @property
  @abc.abstractmethod
  def _memory_shape(self) -> tuple[int, ...]:
    """Of an image's hidden state, in either network."""

  # What all share.

  @property
  def sequential_steps(self) -> int:
    """A stroke waits for those before it."""
    return self.num_steps

  def optimizer(self) -> optax.GradientTransformation:
    """Adam, gradients cut."""
    return optax.chain(optax.clip_by_global_norm(5.0), optax.adam(self.learning_rate))

  def first(self, key: jax.Array) -> tuple[Any, Any]:
    """Parameters of the encoder and the decoder that training begins with."""
    encoder_key, decoder_key = jax.random.split(key)
    image = jnp.zeros((1, *self.image_shape), jnp.float32)
    state = jnp.zeros((1, *self._memory_shape), jnp.float32)
    latent = jnp.zeros((1, self._latent_size), jnp.float32)
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

  def _first_canvas(self, decoder: Any, num: int) -> tuple[Memory, jax.Array]:
    """The decoder's memory, and logits [num, H, W, C]."""
    found: Any = self._decoder.apply(decoder, num, method="first")
    return found

  def _draw(
    self, key: jax.Array, state: VAEState, num_samples: int, *, keep: bool
  ) -> tuple[jax.Array, jax.Array | None]:
    """The last canvas of each sample, and where they are kept those after each step."""

    def one(at: Any, key: jax.Array) -> tuple[Any, jax.Array | None]:
      latent = jax.random.normal(key, (num_samples, self._latent_size), jnp.float32)
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
