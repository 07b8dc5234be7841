"""What all GANs share: two networks, and a step that trains each against the other."""

import abc
import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines.baseline import Baseline, Family, Metrics

__all__ = ["AdversarialModel", "GANState"]

#: A PRNG key, or None where nothing is drawn.
Key = jax.Array | None


class GANState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    generator: its parameters.
    moments: what the generator's normalisations keep for sampling, as running means and variances;
      {} where it has none.
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
class AdversarialModel(Baseline):
  """A GAN without its networks and losses, which a subclass gives.

  Losses of scores alone are `critic_loss` and `generator_loss`; a model whose losses ask for more
  of the critic overrides `critic_objective` and `generator_objective`, too.

  Attributes:
    image_shape: [H, W, C].
    latent: values of noise an image.
    batch_size: images a step.
    learning_rate: of both networks.

  Raises:
    ValueError: for values that are not as above.
  """

  num_networks: ClassVar[int] = 2
  family: ClassVar[Family] = Family.ADVERSARIAL
  #: Whether the critic draws, as for dropout: it is then given a key each time.
  critic_draws: ClassVar[bool] = False
  #: Whether both networks step at once: the generator then meets the critic before its step, and
  #: by what it drew; else after it.
  at_once: ClassVar[bool] = False

  latent: int = 100
  batch_size: int = 128
  learning_rate: float = 2e-4

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("latent", self.latent, 1)

  # What a subclass gives.

  @property
  @abc.abstractmethod
  def _generator(self) -> nn.Module:
    """Noise [N, noise_size] to images [N, H, W, C] in [-1, 1]; is told whether `is_training`."""

  @property
  @abc.abstractmethod
  def _critic(self) -> nn.Module:
    """Images [N, H, W, C] to scores [N]."""

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

  # What a subclass may change.

  @property
  def noise_size(self) -> int:
    """Values that an image is made of."""
    return self.latent

  def generator_optimizer(self) -> optax.GradientTransformation:
    """The generator's, where it is another one."""
    return self.optimizer()

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """What images are made of: uniform in [-1, 1], [num_samples, noise_size]."""
    return jax.random.uniform(key, (num_samples, self.latent), jnp.float32, minval=-1.0)

  def given(self, key: jax.Array, images: jax.Array) -> jax.Array:
    """What a step's images are made of, as many as the real ones: noise, here of these alone."""
    return self.noise(key, len(images))

  def constrain(self, critic: Any) -> Any:
    """The critic's parameters after a step, brought back to where they are allowed."""
    return critic

  def trains_generator(self, step: jax.Array) -> jax.Array:
    """Whether the generator is trained in this step, bool; the critic always is."""
    return jnp.ones_like(step, bool)

  def critic_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> jax.Array:
    """What the critic minimises, of its parameters.

    Args:
      key: what the critic draws by; None where it draws nothing.
      critic: its parameters.
      images: real ones, [N, H, W, C].
      fake: generated ones, [N, H, W, C].
      noise: that they are made of, [N, noise_size].
    """
    del noise
    real_key, fake_key = _split(key)
    # Apart, so that neither batch normalises the other.
    scores = self._judge(real_key, critic, images), self._judge(fake_key, critic, fake)
    return self.critic_loss(*scores, images, fake)

  def generator_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, Metrics]:
    """What the generator minimises, of the images that it made, and what else there is to tell.

    Args:
      key: what the critic draws by; None where it draws nothing.
      critic: its parameters.
      images: real ones, [N, H, W, C].
      fake: generated ones, [N, H, W, C].
      noise: that they are made of, [N, noise_size].
    """
    del images, noise
    return self.generator_loss(self._judge(key, critic, fake)), {}

  # What all share.

  def init(self, key: jax.Array) -> GANState:
    """The state that training begins with."""
    generator_key, critic_key = jax.random.split(key)
    # Two rows, as one has no variance to normalise by.
    noise = jnp.zeros((2, self.noise_size), jnp.float32)
    images = jnp.zeros((2, *self.image_shape), jnp.float32)
    made = self._generator.init(generator_key, noise, is_training=True)
    critic = self._critic.init(critic_key, images)["params"]
    return GANState(
      generator=made["params"],
      moments=made.get("batch_stats", {}),
      critic=critic,
      generator_optimizer=self.generator_optimizer().init(made["params"]),
      critic_optimizer=self.optimizer().init(critic),
      step=jnp.zeros((), jnp.int32),
    )

  def _judge(self, key: Key, critic: Any, images: jax.Array) -> Any:
    """What the critic says of images."""
    rngs = None if key is None else {"dropout": key}
    said, _ = self._critic.apply({"params": critic}, images, mutable=["batch_stats"], rngs=rngs)
    return said

  def _generate(self, generator: Any, moments: Any, noise: jax.Array) -> tuple[jax.Array, Any]:
    images, changed = self._generator.apply(
      {"params": generator, "batch_stats": moments},
      noise,
      is_training=True,
      mutable=["batch_stats"],
    )
    return images, changed.get("batch_stats", {})

  def step(self, key: jax.Array, state: GANState, images: jax.Array) -> tuple[GANState, Metrics]:
    """One step of the critic, and one of the generator on the same noise where it is its turn.

    Args:
      key: PRNG key of the noise, and of what the critic draws.
      state: before the step.
      images: real ones, float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it, and `critic_loss`, `generator_loss`, both before it, and what else the
      generator's objective tells.
    """
    keys = jax.random.split(key, 3) if self.critic_draws else (key, None, None)
    noise_key, critic_key, generator_key = keys
    noise = self.given(noise_key, images)
    make = functools.partial(self._generate, moments=state.moments, noise=noise)
    fake, back, moments = jax.vjp(make, state.generator, has_aux=True)

    optimizer = self.optimizer()
    loss, gradient = jax.value_and_grad(
      lambda critic: self.critic_objective(critic_key, critic, images, fake, noise)
    )(state.critic)
    updates, critic_optimizer = optimizer.update(gradient, state.critic_optimizer, state.critic)
    critic = self.constrain(optax.apply_updates(state.critic, updates))
    met = critic
    if self.at_once:
      met, generator_key = state.critic, _split(critic_key)[1]

    def objective(fake: jax.Array) -> tuple[jax.Array, Metrics]:
      return self.generator_objective(generator_key, met, images, fake, noise)

    def train_generator() -> tuple[Any, Any, tuple[jax.Array, Metrics]]:
      told, slope = jax.value_and_grad(objective, has_aux=True)(fake)
      updates, changed = self.generator_optimizer().update(
        back(slope)[0], state.generator_optimizer, state.generator
      )
      return optax.apply_updates(state.generator, updates), changed, told

    def leave_generator() -> tuple[Any, Any, tuple[jax.Array, Metrics]]:
      return state.generator, state.generator_optimizer, objective(fake)

    # The moments run along where the generator waits, too: samples are normalised by them.
    generator, generator_optimizer, (generator_loss, others) = jax.lax.cond(
      self.trains_generator(state.step), train_generator, leave_generator
    )
    changed = GANState(
      generator, moments, critic, generator_optimizer, critic_optimizer, state.step + 1
    )
    return changed, {"critic_loss": loss, "generator_loss": generator_loss, **others}

  def generate(self, key: jax.Array, state: GANState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1]."""
    return self._sample(state, self.noise(key, num_samples))

  def _sample(self, state: GANState, noise: jax.Array) -> jax.Array:
    """The images of this noise, none of which depends on the others."""
    variables = {"params": state.generator, "batch_stats": state.moments}
    images: Any = self._generator.apply(variables, noise, is_training=False)
    return images

  def generating(self, state: GANState) -> Any:
    """The generator's parameters."""
    return state.generator


def _split(key: Key) -> tuple[Key, Key]:
  """Two keys of one; none of none."""
  if key is None:
    return None, None
  first, second = jax.random.split(key)
  return first, second
