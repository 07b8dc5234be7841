"""The network: a stream of dense layers for each kind of factor, then deconvolutions."""

import dataclasses
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines import encoder_decoder, networks, teaching
from nsn_jax.data import Factors
from nsn_jax.pixel_range import to_signed

__all__ = ["FactorNetwork", "FactorState", "Inputs"]


class Inputs(NamedTuple):
  """Factors as the streams take them; between two rows there are others, of no factors.

  Attributes:
    identity: 1 at the prototype's position, float32 [N, P].
    view: sine and cosine of the angle, float32 [N, 2].
    transform: width and thickness, in deviations from the training images' means, float32 [N, 2].
  """

  identity: jax.Array
  view: jax.Array
  transform: jax.Array


class FactorState(NamedTuple):
  """What a network knows: a pytree.

  Attributes:
    params: flax parameters.
    optimizer: the optimizer's state.
    means: of widths and thicknesses over the training images, float32 [2].
    deviations: of the same; 1 where they are all alike.
    base: what the mean training image is the tanh of, float32 [H, W, C].
  """

  params: Any
  optimizer: optax.OptState
  means: jax.Array
  deviations: jax.Array
  base: jax.Array


class _Streams(nn.Module):
  """Inputs to what images [N, H, W, C] are the tanh of, near 0 at first."""

  image_shape: tuple[int, int, int]
  hidden: int
  width: int

  @nn.compact
  def __call__(self, inputs: Inputs) -> jax.Array:
    def dense(x: jax.Array, size: int) -> jax.Array:
      return nn.leaky_relu(nn.Dense(size, kernel_init=networks.HE)(x), networks.SLOPE)

    streams = [dense(dense(x, self.hidden), self.hidden) for x in inputs]
    x = jnp.concatenate(streams, axis=-1)
    for _ in range(2):
      x = dense(x, 2 * self.hidden)
    return encoder_decoder.decoded(x, self.image_shape, self.width)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FactorNetwork:
  """A generator of factors, its hyper-parameters: all functions are pure, over a `FactorState`.

  Identity, view and transform have two dense layers each; what these give is put together and goes
  through two more, to a map of 4x4 that is doubled up to the image (Dosovitskiy et al., Fig 2). It
  is trained by the squared error of the pixels.

  Here it is smaller, to take minutes on a core, and begins at the mean image. A doubling is one
  transposed convolution of 4x4 and stride 2, which is an unpooling and a convolution of 4x4 in one;
  the paper has both apart, of 5x5. There is no second output: the paper's is a mask that cuts
  chairs out of a white ground, and on black the image is its own mask.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    num_identities: prototypes, P >= 1.
    hidden: units of a stream's layers; the layers above have twice as many.
    width: channels of the last map but the image, doubled in each one before.
    batch_size: images a step.
    num_steps: in all: the learning rate falls to 0 over them, by a cosine.
    learning_rate: of Adam, > 0.

  Raises:
    ValueError: for values that are not as above.
  """

  image_shape: tuple[int, int, int]
  num_identities: int
  hidden: int = 128
  width: int = 16
  batch_size: int = 64
  num_steps: int = 4_000
  learning_rate: float = 2e-3

  def __post_init__(self) -> None:
    checks.image_shape("image_shape", self.image_shape)
    networks.map_sides(self.image_shape)
    for name in ("num_identities", "hidden", "width", "batch_size", "num_steps"):
      checks.integer(name, getattr(self, name), 1)
    checks.number("learning_rate", self.learning_rate, 0.0, above=True)

  @property
  def _streams(self) -> _Streams:
    return _Streams(self.image_shape, self.hidden, self.width)

  @property
  def _optimizer(self) -> optax.GradientTransformation:
    return teaching.adam(self.learning_rate, self.num_steps)

  def init(self, key: jax.Array, factors: Factors, images: jax.Array) -> FactorState:
    """A state that has not learnt: it makes the mean image of any factors.

    Args:
      key: PRNG key of the first weights.
      factors: of the training images.
      images: these, uint8 [N, H, W, C], N >= 1.
    """
    scales = jnp.stack([factors.widths, factors.thicknesses], axis=1)
    deviations = scales.std(axis=0)
    sizes = Inputs(*(jnp.zeros((1, size)) for size in (self.num_identities, 2, 2)))
    params = self._streams.init(key, sizes)
    return FactorState(
      params,
      self._optimizer.init(params),
      scales.mean(axis=0),
      # All alike up to the rounding of their mean.
      jnp.where(deviations > 1e-5, deviations, 1.0),
      teaching.begun_at_mean(images),
    )

  def inputs(self, state: FactorState, factors: Factors) -> Inputs:
    """What the network is given of N images' factors."""
    radians = jnp.deg2rad(jnp.asarray(factors.angles, jnp.float32))
    scales = jnp.stack([factors.widths, factors.thicknesses], axis=1)
    return Inputs(
      jax.nn.one_hot(factors.identities, self.num_identities),
      jnp.stack([jnp.sin(radians), jnp.cos(radians)], axis=1),
      (scales - state.means) / state.deviations,
    )

  def generate(self, state: FactorState, inputs: Inputs) -> jax.Array:
    """Images of inputs, float32 [N, H, W, C] in (-1, 1)."""
    return self._images(state.params, state.base, inputs)

  def step(
    self, state: FactorState, factors: Factors, images: jax.Array
  ) -> tuple[FactorState, jax.Array]:
    """One step of Adam on N images uint8 [N, H, W, C]; also the loss before it.

    The loss is the mean square of the error of values in [-1, 1].
    """
    inputs, real = self.inputs(state, factors), to_signed(images)

    def loss(params: Any) -> jax.Array:
      return ((self._images(params, state.base, inputs) - real) ** 2).mean()

    value, gradient = jax.value_and_grad(loss)(state.params)
    updates, optimizer = self._optimizer.update(gradient, state.optimizer)
    params = optax.apply_updates(state.params, updates)
    return state._replace(params=params, optimizer=optimizer), value

  def _images(self, params: Any, base: jax.Array, inputs: Inputs) -> jax.Array:
    return jnp.tanh(base + cast(jax.Array, self._streams.apply(params, inputs)))
