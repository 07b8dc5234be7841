"""What all models share that are trained by a bound of the density, through a posterior."""

import abc
import dataclasses
import math
from typing import Any, ClassVar, NamedTuple, cast

import jax
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines.baseline import Baseline, Density, Family, Metrics
from nsn_jax.baselines.variational import importance

__all__ = ["VAEState", "Variational"]

#: Held-out images whose density is taken at a time.
_IMAGES_AT_ONCE = 100
#: Pixel values that are decoded at a time, of the draws of a bound.
_VALUES_AT_ONCE = 2**22


class VAEState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    encoder: parameters.
    decoder: parameters.
    optimizer: the optimizer's state.
  """

  encoder: Any
  decoder: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variational(Baseline):
  """An encoder and a decoder, without what they are and what lies between them.

  Attributes:
    of: the pixels that the bound is of.
    image_shape: [H, W, C].
    num_importance: draws of an image and step. 1 trains the evidence lower bound, whose divergence
      is exact; more the importance-weighted bound of Burda et al. 2016 (arXiv:1509.00519).
    batch_size: images a step.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  num_networks: ClassVar[int] = 2
  family: ClassVar[Family] = Family.VARIATIONAL
  of: ClassVar[str]

  num_importance: int = 1
  batch_size: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("num_importance", self.num_importance, 1)

  # What a subclass gives.

  @abc.abstractmethod
  def first(self, key: jax.Array) -> tuple[Any, Any]:
    """Parameters of the encoder and the decoder that training begins with."""

  @abc.abstractmethod
  def losses(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Reconstruction loss of one draw and divergence of each image, in nats: [N] each."""

  @abc.abstractmethod
  def log_weights(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array, num_draws: int
  ) -> jax.Array:
    """Of draws of z from q, log p(x, z) - log q(z | x).

    Args:
      key: PRNG key of the draws.
      encoder: parameters.
      decoder: parameters.
      images: float32 [N, H, W, C] in [-1, 1].
      num_draws: k, of each image.

    Returns:
      float32 [k, N], in nats. Pure.
    """

  @abc.abstractmethod
  def observed(self, images: npt.NDArray[np.uint8]) -> jax.Array:
    """Held-out images as the bound takes them, float32 in [-1, 1]; always the same."""

  def seen(self, key: jax.Array, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Images of a batch as a step sees them, and the key that the step has left."""
    return images, key

  def optimizer(self) -> optax.GradientTransformation:
    """Of both networks."""
    return optax.adam(self.learning_rate)

  # What all share.

  def init(self, key: jax.Array) -> VAEState:
    """The state that training begins with."""
    both = self.first(key)
    return VAEState(*both, self.optimizer().init(both))

  def negative_elbo(
    self, key: jax.Array, encoder: Any, decoder: Any, images: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Minus the evidence lower bound (Eq 10 of Kingma & Welling 2014, one draw), in two parts.

    Args:
      key: PRNG key of the draw.
      encoder: parameters.
      decoder: parameters.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      Mean reconstruction loss and mean divergence from the prior, in nats an image.
    """
    reconstruction, divergence = self.losses(key, encoder, decoder, images)
    return reconstruction.mean(), divergence.mean()

  def bits(self, key: jax.Array, state: VAEState, images: jax.Array) -> jax.Array:
    """Minus the evidence lower bound of each image, one draw each, in bits a value. Pure.

    Args:
      key: PRNG key of the draws.
      state: trained.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [N].
    """
    reconstruction, divergence = self.losses(key, state.encoder, state.decoder, images)
    return (reconstruction + divergence) / self._nats_a_bit

  @property
  def _nats_a_bit(self) -> float:
    """Nats of an image for one bit a value."""
    return math.prod(self.image_shape) * math.log(2)

  def step(self, key: jax.Array, state: VAEState, images: jax.Array) -> tuple[VAEState, Metrics]:
    """One step of the optimizer.

    Args:
      key: PRNG key.
      state: before it.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it, and the loss before it in nats an image: `reconstruction` and
      `divergence`, or, of several draws, `negative_bound`.
    """
    images, key = self.seen(key, images)

    def loss(both: tuple[Any, Any]) -> tuple[jax.Array, dict[str, jax.Array]]:
      if self.num_importance > 1:
        log_weights = self.log_weights(key, *both, images, self.num_importance)
        negative_bound = -importance.bound(log_weights).mean()
        return negative_bound, {"negative_bound": negative_bound}
      reconstruction, divergence = self.negative_elbo(key, *both, images)
      parts = {"reconstruction": reconstruction, "divergence": divergence}
      return reconstruction + divergence, parts

    both = (state.encoder, state.decoder)
    (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(both)
    updates, optimizer = self.optimizer().update(gradient, state.optimizer)
    encoder, decoder = cast(tuple[Any, Any], optax.apply_updates(both, updates))
    return VAEState(encoder, decoder, optimizer), metrics

  def generating(self, state: VAEState) -> Any:
    """The decoder's parameters."""
    return state.decoder

  def held_out_density(
    self, key: jax.Array, state: VAEState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The evidence lower bound, one draw an image."""
    bits = self._batched(key, jax.jit(self.bits), state, images)
    return Density(f"bound, bits a value, of {self.of}", bits)

  def importance_density(
    self,
    key: jax.Array,
    state: VAEState,
    images: npt.NDArray[np.uint8],
    *,
    num_draws: int = 5_000,
  ) -> Density:
    """The importance-weighted bound (Burda et al. 2016, Eq 8), near the density for many draws.

    Args:
      key: PRNG key of the draws.
      state: trained.
      images: uint8 [N, H, W, C].
      num_draws: k, of each image; 5,000 is the paper's.

    Returns:
      Its mean over the images; the kind says k and of which pixels.

    Raises:
      ValueError: where there is no draw.
    """
    checks.integer("num_draws", num_draws, 1)

    @jax.jit
    def bits(key: jax.Array, state: VAEState, batch: jax.Array) -> jax.Array:
      def draw(key: jax.Array, num: int) -> jax.Array:
        return self.log_weights(key, state.encoder, state.decoder, batch, num)

      at_once = max(1, _VALUES_AT_ONCE // batch.size)
      return -importance.bound_of_many(key, draw, num_draws, at_once) / self._nats_a_bit

    kind = f"k={num_draws} importance-weighted bound, bits a value, of {self.of}"
    return Density(kind, self._batched(key, bits, state, images))

  def _batched(
    self, key: jax.Array, bits: Any, state: VAEState, images: npt.NDArray[np.uint8]
  ) -> float:
    """The mean over held-out images of what a function says of a batch of them."""
    observed = self.observed(images)
    found = [
      np.asarray(bits(jax.random.fold_in(key, i), state, observed[i : i + _IMAGES_AT_ONCE]))
      for i in range(0, len(observed), _IMAGES_AT_ONCE)
    ]
    return float(np.concatenate(found).mean(dtype=np.float64))
