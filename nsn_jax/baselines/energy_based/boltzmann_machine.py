"""What Boltzmann machines share: descent, samples by Gibbs steps, density by annealing."""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines.baseline import Baseline, Density, Family, State
from nsn_jax.baselines.energy_based import annealed_importance, boltzmann
from nsn_jax.baselines.energy_based.annealed_importance import Base, LogPartition
from nsn_jax.baselines.energy_based.boltzmann import Parameters, Units

__all__ = ["BoltzmannMachine", "log_odds"]

#: Images whose density is taken at a time.
_AT_ONCE = 500
#: No pixel is surer than this: else one that a few images never lit would be dark forever.
_FLOOR = 0.01


def log_odds(probability: jax.Array) -> jax.Array:
  """Of probabilities in [0, 1], which are drawn a little towards 1/2."""
  probability = _FLOOR + (1 - 2 * _FLOOR) * probability
  return jnp.log(probability) - jnp.log1p(-probability)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoltzmannMachine(Baseline):
  """A machine whose units form two sides, the pixels first on the visible one.

  Attributes:
    momentum: share of a step that goes into the next.
    weight_decay: of the weights, not the biases, a unit of rate (Hinton's guide 2010, section 10).
    decay_steps: after which the rate is half, and a third after twice as many: chains that persist
      keep up with a model that moves less and less, however long it is trained.
    num_gibbs: Gibbs steps of the chains for one of the parameters.
    sampling_steps: Gibbs steps of a sample.
    num_temperatures: steps of annealed importance sampling.
    num_chains: of annealed importance sampling.
  """

  family: ClassVar[Family] = Family.ENERGY_BASED

  batch_size: int = 100
  learning_rate: float = 0.05
  momentum: float = 0.5
  weight_decay: float = 1e-4
  decay_steps: int = 3_000
  num_gibbs: int = 1
  sampling_steps: int = 200
  num_temperatures: int = 14_500
  num_chains: int = 100

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("decay_steps", "num_gibbs", "sampling_steps", "num_temperatures"):
      checks.integer(name, getattr(self, name), 1)
    checks.integer("num_chains", self.num_chains, 2)
    checks.number("weight_decay", self.weight_decay, 0.0)
    if checks.number("momentum", self.momentum, 0.0) >= 1:
      raise ValueError(f"momentum: expected a number from 0 to below 1, got {self.momentum!r}")

  @property
  def sequential_steps(self) -> int:
    """A Gibbs step waits for the one before it."""
    return self.sampling_steps

  @property
  def num_pixels(self) -> int:
    """V, values of an image."""
    return math.prod(self.image_shape)

  @property
  def units(self) -> Units:
    """Kind of the visible units."""
    return boltzmann.BINARY

  @abc.abstractmethod
  def machine(self, state: State) -> Parameters:
    """The parameters as those of one machine of two sides, the pixels first on the visible one."""

  @abc.abstractmethod
  def base(self, state: State) -> Base:
    """Independent units that are about as the data's, on the sides of `machine`."""

  @abc.abstractmethod
  def log_density(self, state: State, visible: jax.Array) -> jax.Array:
    """Log-density of pixels, or a bound of it, up to log Z: float32 [N] of [N, V]. Pure."""

  @abc.abstractmethod
  def draw_visible(self, key: jax.Array, state: State, images: npt.NDArray[np.uint8]) -> jax.Array:
    """Visible units, float32 [N, V], of held-out 8-bit images."""

  def particles(self, state: State) -> jax.Array | None:
    """Visible units of the chains that persist, float32 [M, V + ...]; None where none do."""
    del state
    return None

  def to_signed(self, state: State, visible: jax.Array) -> jax.Array:
    """Means of pixels' units, [N, V], as images in [-1, 1]."""
    del state
    return 2.0 * visible.reshape(-1, *self.image_shape) - 1.0

  def log_partition(self, key: jax.Array, state: State) -> LogPartition:
    """Log Z by annealed importance sampling; see `annealed_importance.log_partition`."""
    return annealed_importance.log_partition(
      key,
      self.units,
      self.machine(state),
      self.base(state),
      num_temperatures=self.num_temperatures,
      num_chains=self.num_chains,
    )

  def log_likelihoods(
    self, key: jax.Array, state: State, images: npt.NDArray[np.uint8]
  ) -> tuple[npt.NDArray[np.float64], LogPartition]:
    """The log-density of images, or a bound of it.

    Args:
      key: PRNG key, of the chains, and of the noise of pixels that are not binary.
      state: trained.
      images: uint8 [N, H, W, C].

    Returns:
      float64 [N], in nats an image, of the visible units; and log Z, which is subtracted already.
      Its estimate is below the truth on average, so that the densities are above theirs.

    Raises:
      ValueError: for images that are not as above.
    """
    images = checks.images("images", images)
    if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
      raise ValueError(
        f"images: expected uint8 [N, {', '.join(map(str, self.image_shape))}], "
        f"got {images.dtype} {images.shape}"
      )
    draw_key, chain_key = jax.random.split(key)
    of_batch = jax.jit(self.log_density)
    visible = self.draw_visible(draw_key, state, images)
    found = [
      np.asarray(of_batch(state, visible[start : start + _AT_ONCE]), np.float64)
      for start in range(0, len(images), _AT_ONCE)
    ]
    partition = self.log_partition(chain_key, state)
    return np.concatenate(found) - partition.value, partition

  def held_out_density(
    self, key: jax.Array, state: State, images: npt.NDArray[np.uint8]
  ) -> Density:
    """Minus the mean of `log_likelihoods`, in bits a value."""
    found, _ = self.log_likelihoods(key, state, images)
    return Density(self.density_kind, float(-found.mean() / (self.num_pixels * math.log(2))))

  @property
  @abc.abstractmethod
  def density_kind(self) -> str:
    """What `held_out_density` is."""

  def generate(self, key: jax.Array, state: State, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1]: the means of the chains' last pixels.

    Each sample is the end of a chain of its own. Chains begin with the persisting ones, which have
    never seen an image, each drawn with replacement. Where none persist they begin with independent
    pixels of the data's means; over their first half the machine between these and the model's
    comes to be the model's, as in annealed importance sampling. None begins with data.
    """
    begin_key, chain_key, end_key = jax.random.split(key, 3)
    machine, base, particles = self.machine(state), self.base(state), self.particles(state)
    if particles is None:
      visible = annealed_importance.draw_base(begin_key, self.units, base, num_samples)
      steps = np.minimum(np.linspace(0.0, 2.0, self.sampling_steps + 1), 1.0)
    else:
      shape = (num_samples,)
      visible = particles[jax.random.randint(begin_key, shape, 0, len(particles), jnp.int32)]
      steps = np.ones(self.sampling_steps + 1)
    visible, _ = annealed_importance.anneal(
      chain_key, self.units, machine, base, jnp.asarray(steps, jnp.float32), visible
    )
    hidden = boltzmann.draw_binary(end_key, boltzmann.hidden_logits(machine, visible))
    logits = boltzmann.visible_logits(machine, hidden)[:, : self.num_pixels]
    return self.to_signed(state, self.units.mean(logits))

  def generating(self, state: State) -> Any:
    """The machine's parameters."""
    return self.machine(state)

  def rate(self, step: jax.Array) -> jax.Array:
    """The learning rate at a step, from 0."""
    return self.learning_rate / (1.0 + step.astype(jnp.float32) / self.decay_steps)

  def optimizer(self) -> optax.GradientTransformation:
    """Weight decay and momentum, without the rate."""

    def decayed(parameters: Parameters) -> Any:
      return jax.tree.map(lambda x: x is parameters.weights, parameters)

    return optax.chain(
      optax.add_decayed_weights(self.weight_decay, decayed), optax.trace(self.momentum)
    )

  def descend(
    self, parameters: Parameters, gradient: Parameters, optimizer: Any, rate: jax.Array | float
  ) -> tuple[Parameters, Any]:
    """The parameters and the optimizer's state after a step."""
    updates, optimizer = self.optimizer().update(gradient, optimizer, parameters)
    return jax.tree.map(lambda p, u: p - rate * u, parameters, updates), optimizer
