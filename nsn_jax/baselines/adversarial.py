"""What all GANs share: two networks, and a step that trains each against the other."""

import abc
import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.baseline import Baseline, Family, Metrics

__all__ = ["GAN", "GANState"]


class GANState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    generator: its parameters.
    moments: running means and variances of the generator's normalisations, for sampling.
    critic: its parameters.
    generator_optimizer: the optimizer's state for the generator.
    critic_optimizer: that for the critic.
    step: number of steps so far, int32.
  """

  generator: Any
  moments: Any
  critic: Any
  generator_optimizer: Any
  critic_optimizer: Any
  step: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class GAN(Baseline):
  """A GAN without its losses, which a subclass gives.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the critic's first layer, doubled in each further one; the generator's are
      the same in reverse.
    latent: values of noise an image.
    batch_size: images a step.
    learning_rate: of both networks.

  Raises:
    ValueError: for values that are not as above.
  """

  num_networks: ClassVar[int] = 2
  family: ClassVar[Family] = Family.ADVERSARIAL
  width_field: ClassVar[str | None] = "width"

  width: int = 64
  latent: int = 100
  batch_size: int = 128
  learning_rate: float = 2e-4

  def __post_init__(self) -> None:
    super().__post_init__()
    networks.map_sides(self.image_shape)
    for name in ("width", "latent"):
      checks.integer(name, getattr(self, name), 1)

  # What a subclass gives.

  @abc.abstractmethod
  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """What the critic minimises, of scores [N] and images [N, H, W, C]."""

  @abc.abstractmethod
  def generator_loss(self, fake_scores: jax.Array) -> jax.Array:
    """What the generator minimises."""

  @abc.abstractmethod
  def optimizer(self) -> optax.GradientTransformation:
    """Of either network."""

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """What images are made of: uniform in [-1, 1], [num_samples, latent]."""
    return jax.random.uniform(key, (num_samples, self.latent), jnp.float32, minval=-1.0)

  def constrain(self, critic: Any) -> Any:
    """The critic's parameters after a step, brought back to where they are allowed."""
    return critic

  def trains_generator(self, step: jax.Array) -> jax.Array:
    """Whether the generator is trained in this step, bool; the critic always is."""
    return jnp.ones_like(step, bool)

  # What all share.

  @property
  def _generator(self) -> networks.Generator:
    return networks.Generator(self.image_shape, self.width)

  @property
  def _critic(self) -> networks.Critic:
    return networks.Critic(self.image_shape, self.width)

  def init(self, key: jax.Array) -> GANState:
    """The state that training begins with."""
    generator_key, critic_key = jax.random.split(key)
    # Two rows, as one has no variance to normalise by.
    noise = jnp.zeros((2, self.latent), jnp.float32)
    images = jnp.zeros((2, *self.image_shape), jnp.float32)
    made = self._generator.init(generator_key, noise, is_training=True)
    critic = self._critic.init(critic_key, images)["params"]
    optimizer = self.optimizer()
    return GANState(
      generator=made["params"],
      moments=made["batch_stats"],
      critic=critic,
      generator_optimizer=optimizer.init(made["params"]),
      critic_optimizer=optimizer.init(critic),
      step=jnp.zeros((), jnp.int32),
    )

  def _scores(self, critic: Any, images: jax.Array) -> jax.Array:
    scores, _ = self._critic.apply({"params": critic}, images, mutable=["batch_stats"])
    return scores

  def _generate(self, generator: Any, moments: Any, noise: jax.Array) -> tuple[jax.Array, Any]:
    images, changed = self._generator.apply(
      {"params": generator, "batch_stats": moments},
      noise,
      is_training=True,
      mutable=["batch_stats"],
    )
    return images, changed["batch_stats"]

  def step(self, key: jax.Array, state: GANState, images: jax.Array) -> tuple[GANState, Metrics]:
    """One step of the critic, then one of the generator on the same noise where it is its turn.

    Args:
      key: PRNG key of the noise.
      state: before the step.
      images: real ones, float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it, and `critic_loss`, `generator_loss`, both before it.
    """
    noise = self.noise(key, len(images))
    make = functools.partial(self._generate, moments=state.moments, noise=noise)
    fake, back, moments = jax.vjp(make, state.generator, has_aux=True)

    def critic_loss(critic: Any) -> jax.Array:
      # Apart, so that neither batch normalises the other.
      scores = self._scores(critic, images), self._scores(critic, fake)
      return self.critic_loss(*scores, images, fake)

    optimizer = self.optimizer()
    loss, gradient = jax.value_and_grad(critic_loss)(state.critic)
    updates, critic_optimizer = optimizer.update(gradient, state.critic_optimizer, state.critic)
    critic = self.constrain(optax.apply_updates(state.critic, updates))

    def train_generator() -> tuple[Any, Any, jax.Array]:
      loss, slope = jax.value_and_grad(lambda x: self.generator_loss(self._scores(critic, x)))(fake)
      updates, changed = optimizer.update(back(slope)[0], state.generator_optimizer)
      return optax.apply_updates(state.generator, updates), changed, loss

    def leave_generator() -> tuple[Any, Any, jax.Array]:
      loss = self.generator_loss(self._scores(critic, fake))
      return state.generator, state.generator_optimizer, loss

    # The moments run along where the generator waits, too: samples are normalised by them.
    generator, generator_optimizer, generator_loss = jax.lax.cond(
      self.trains_generator(state.step), train_generator, leave_generator
    )
    changed = GANState(
      generator, moments, critic, generator_optimizer, critic_optimizer, state.step + 1
    )
    return changed, {"critic_loss": loss, "generator_loss": generator_loss}

  def generate(self, key: jax.Array, state: GANState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in (-1, 1)."""
    variables = {"params": state.generator, "batch_stats": state.moments}
    noise = self.noise(key, num_samples)
    images: Any = self._generator.apply(variables, noise, is_training=False)
    return images

  def generating(self, state: GANState) -> Any:
    """The generator's parameters."""
    return state.generator
