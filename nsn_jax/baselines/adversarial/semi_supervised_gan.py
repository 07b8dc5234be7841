"""The semi-supervised GAN (Salimans et al. 2016, arXiv:1606.03498, section 5), for few labels."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from nsn_jax import checks
from nsn_jax.baselines.adversarial.semi_supervised_networks import ClassCritic, SoftplusGenerator
from nsn_jax.baselines.baseline import Baseline, Family, Metrics
from nsn_jax.baselines.class_labels import UNKNOWN

__all__ = ["SemiSupervisedGAN", "SemiSupervisedState"]

#: Share of the last step in the mean of the critic's parameters, at least; before it is as if the
#: mean were over one in so many of the steps so far.
_LAST, _EARLY = 1e-4, 10.0


class SemiSupervisedState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    generator: its parameters.
    moments: running means and variances of its batch normalisations.
    critic: its parameters.
    average: their mean over the last steps, which tells classes.
    generator_optimizer: the optimizer's state for the generator.
    critic_optimizer: that for the critic.
    step: number of steps so far, int32.
  """

  generator: Any
  moments: Any
  critic: Any
  average: Any
  generator_optimizer: Any
  critic_optimizer: Any
  step: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemiSupervisedGAN(Baseline):
  """The critic is a classifier of K classes, to which generated images are one more.

  Of K + 1 logits one is free, and that of "generated" is 0: with l of the others and
  Z = log sum_k exp(l_k), an image is real with probability D = exp(Z) / (exp(Z) + 1), of log-odds
  Z. The critic minimises the sum of
    supervised: -log p(y | x, real) = Z - l_y, of images whose class is known;
    unsupervised: -(log D(x) + log(1 - D(G(z)))) / 2, of the others and of generated ones;
  and the generator the mean over features of (E f(x) - E f(G(z)))^2, where f are the critic's last
  hidden units. The recipe is the paper's for MNIST, with what its authors' code adds: a critic of
  1000, 500, 250, 250, 250 rectified units, weights normalised, normal noise of deviation 0.3 on
  pixels and 0.5 on units; a generator of two layers of 500 softplus units, batches normalised;
  Adam of rate 3e-3 and beta1 0.5; classes are told by a running mean of the critic's parameters,
  over about 10,000 steps. That code's mean begins at 0; here it is over the last tenth of the steps
  so far until these are 100,000.

  A step sees real images in one batch, each with its class or without. The paper's step has 100
  labelled ones, drawn over and over from the few that there are, 100 others, as many generated
  ones, and 100 others again for the generator. For this the training set is arranged: half of it
  are the few, over again with their labels, the other half are all images without (`repeat_few`).
  So about half of a batch of 200 is of either kind; the generator meets the same others as the
  critic, which is where we depart from the paper. Without a labelled image in a batch the
  supervised part is 0; without another one, as where all classes are known, the labelled ones stand
  for those.

  Attributes:
    image_shape: [H, W, C].
    num_classes: K, at least 2.
    widths: units of the critic's hidden layers.
    hidden: units of the generator's two.
    latent: values of noise an image, uniform in [0, 1].
    unlabelled_weight: of the unsupervised part; 0 is a classifier of the labelled images alone.
    batch_size: images a step, at least 2, of which half as many are generated.
    learning_rate: of Adam.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "semi-supervised GAN"
  default_epochs: ClassVar[int] = 20
  num_networks: ClassVar[int] = 2
  family: ClassVar[Family] = Family.ADVERSARIAL
  width_field: ClassVar[str | None] = "hidden"

  num_classes: int = 10
  widths: tuple[int, ...] = (1000, 500, 250, 250, 250)
  hidden: int = 500
  latent: int = 100
  unlabelled_weight: float = 1.0
  batch_size: int = 200
  learning_rate: float = 3e-3

  def __post_init__(self) -> None:
    super().__post_init__()
    # A batch of one has no variance to normalise by.
    checks.integer("batch_size", self.batch_size, 2)
    checks.integer("num_classes", self.num_classes, 2)
    if not isinstance(self.widths, tuple | list) or not self.widths:
      raise ValueError(f"widths: expected a tuple of at least one integer, got {self.widths!r}")
    # A command line's list is not hashable.
    object.__setattr__(self, "widths", tuple(self.widths))
    for width in self.widths:
      checks.integer("widths", width, 1)
    for name in ("hidden", "latent"):
      checks.integer(name, getattr(self, name), 1)
    checks.number("unlabelled_weight", self.unlabelled_weight, 0.0)

  @property
  def _generator(self) -> SoftplusGenerator:
    return SoftplusGenerator(self.image_shape, self.hidden)

  @property
  def _critic(self) -> ClassCritic:
    return ClassCritic(self.image_shape, self.widths, self.num_classes)

  def optimizer(self) -> optax.GradientTransformation:
    """Adam with little momentum."""
    return optax.adam(self.learning_rate, b1=0.5)

  @property
  def uses_labels(self) -> bool:
    """Always."""
    return True

  def check_labels(self, labels: npt.NDArray[np.integer]) -> None:
    """Raises ValueError where a class is not below `num_classes`."""
    most = labels.max(initial=UNKNOWN)
    if most >= self.num_classes:
      raise ValueError(f"labels: expected classes below num_classes={self.num_classes}, got {most}")

  def init(self, key: jax.Array) -> SemiSupervisedState:
    """The state that training begins with; the first batch says scales and biases of the critic."""
    generator_key, critic_key = jax.random.split(key)
    noise = jnp.zeros((2, self.latent), jnp.float32)
    made = self._generator.init(generator_key, noise, is_training=True)
    images = jnp.zeros((2, *self.image_shape), jnp.float32)
    critic = self._critic.init(critic_key, images)["params"]
    optimizer = self.optimizer()
    return SemiSupervisedState(
      generator=made["params"],
      moments=made["batch_stats"],
      critic=critic,
      average=critic,
      generator_optimizer=optimizer.init(made["params"]),
      critic_optimizer=optimizer.init(critic),
      step=jnp.zeros((), jnp.int32),
    )

  def _fitted(self, critic: Any, images: jax.Array, noise: jax.Array) -> Any:
    """The critic of these directions whose units have mean 0 and variance 1 over the images."""
    directions = {name: {"direction": layer["direction"]} for name, layer in critic.items()}
    # What is missing begins anew; flax asks for a key, by which nothing is drawn.
    made: Any = self._critic.apply(
      {"params": directions},
      images,
      noise,
      rngs={"params": jax.random.key(0)},
      mutable=["params"],
    )
    return made[1]["params"]

  def _judge(
    self, critic: Any, images: jax.Array, noise: jax.Array | None
  ) -> tuple[jax.Array, jax.Array]:
    said: Any = self._critic.apply({"params": critic}, images, noise)
    return said[0], said[1]

  def supervised_loss(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of classes over rows of known ones; 0 where there is none.

    Args:
      logits: float32 [N, K].
      labels: int32 [N], -1 where unknown.
    """
    known = labels != UNKNOWN
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
    return jnp.where(known, losses, 0.0).sum() / jnp.maximum(known.sum(), 1)

  def unsupervised_loss(self, real: jax.Array, fake: jax.Array, labels: jax.Array) -> jax.Array:
    """Half the cross-entropy of real and generated, over rows of unknown class.

    Args:
      real: logits of real images, float32 [N, K].
      fake: of generated ones, float32 [M, K].
      labels: of real ones, int32 [N], -1 where unknown.
    """
    real_scores, fake_scores = (jax.nn.logsumexp(logits, axis=1) for logits in (real, fake))
    on_real = (_shares(labels) * jax.nn.softplus(-real_scores)).sum()
    return (on_real + jax.nn.softplus(fake_scores).mean()) / 2

  def matching_loss(self, real: jax.Array, fake: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean squared difference of the mean features, those of real ones over unknown classes.

    Args:
      real: features of real images, float32 [N, F].
      fake: of generated ones, float32 [M, F].
      labels: of real ones, int32 [N], -1 where unknown.
    """
    return ((_shares(labels) @ real - fake.mean(axis=0)) ** 2).mean()

  def step(
    self, key: jax.Array, state: SemiSupervisedState, images: jax.Array
  ) -> tuple[SemiSupervisedState, Metrics]:
    """`step_with_labels` of unknown ones."""
    labels = jnp.full(len(images), UNKNOWN, jnp.int32)
    return self.step_with_labels(key, state, images, labels)

  def step_with_labels(
    self, key: jax.Array, state: SemiSupervisedState, images: jax.Array, labels: jax.Array
  ) -> tuple[SemiSupervisedState, Metrics]:
    """One step of the critic, then one of the generator on the same noise.

    Args:
      key: PRNG key of all noise.
      state: before the step.
      images: real ones, float32 [N, H, W, C] in [-1, 1].
      labels: int32 [N], -1 where unknown.

    Returns:
      The state after it, and `supervised_loss`, `unsupervised_loss`, both of the critic before it,
      and `generator_loss`.
    """
    noise_key, critic_key, generator_key = jax.random.split(key, 3)
    num_real, num_fake = len(images), max(len(images) // 2, 1)
    noise = self.noise(noise_key, num_fake)
    critic_noise, generator_noise = (
      self._critic.noise(key, num_real + num_fake) for key in (critic_key, generator_key)
    )
    critic: Any = jax.lax.cond(
      state.step == 0,
      lambda: self._fitted(state.critic, images, critic_noise[:num_real]),
      lambda: state.critic,
    )

    def make(generator: Any) -> tuple[jax.Array, Any]:
      made: Any = self._generator.apply(
        {"params": generator, "batch_stats": state.moments},
        noise,
        is_training=True,
        mutable=["batch_stats"],
      )
      return made[0], made[1]["batch_stats"]

    fake, back, moments = jax.vjp(make, state.generator, has_aux=True)
    both = jnp.concatenate([images, fake])

    def critic_objective(critic: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
      logits, _ = self._judge(critic, both, critic_noise)
      real_logits, fake_logits = logits[:num_real], logits[num_real:]
      supervised = self.supervised_loss(real_logits, labels)
      unsupervised = self.unsupervised_loss(real_logits, fake_logits, labels)
      return supervised + self.unlabelled_weight * unsupervised, (supervised, unsupervised)

    optimizer = self.optimizer()
    gradient, losses = jax.grad(critic_objective, has_aux=True)(critic)
    updates, critic_optimizer = optimizer.update(gradient, state.critic_optimizer, critic)
    critic = optax.apply_updates(critic, updates)
    share = jnp.maximum(_LAST, _EARLY / (state.step + _EARLY))
    average = jax.tree.map(lambda a, b: (1 - share) * a + share * b, state.average, critic)

    _, real_features = self._judge(critic, images, generator_noise[:num_real])

    def generator_objective(fake: jax.Array) -> jax.Array:
      _, features = self._judge(critic, fake, generator_noise[num_real:])
      return self.matching_loss(real_features, features, labels)

    generator_loss, slope = jax.value_and_grad(generator_objective)(fake)
    updates, generator_optimizer = optimizer.update(
      back(slope)[0], state.generator_optimizer, state.generator
    )
    changed = SemiSupervisedState(
      generator=optax.apply_updates(state.generator, updates),
      moments=moments,
      critic=critic,
      average=average,
      generator_optimizer=generator_optimizer,
      critic_optimizer=critic_optimizer,
      step=state.step + 1,
    )
    names = ("supervised_loss", "unsupervised_loss", "generator_loss")
    return changed, dict(zip(names, (*losses, generator_loss), strict=True))

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """What images are made of: uniform in [0, 1], [num_samples, latent]."""
    return jax.random.uniform(key, (num_samples, self.latent), jnp.float32)

  def generate(self, key: jax.Array, state: SemiSupervisedState, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1]."""
    variables = {"params": state.generator, "batch_stats": state.moments}
    noise = self.noise(key, num_samples)
    images: Any = self._generator.apply(variables, noise, is_training=False)
    return images

  def generating(self, state: SemiSupervisedState) -> Any:
    """The generator's parameters."""
    return state.generator

  def logits(self, state: SemiSupervisedState, images: jax.Array) -> jax.Array:
    """What the critic's mean says of images' classes, without noise. Pure.

    Args:
      state: trained.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [N, num_classes]; softmax makes probabilities of them.

    Raises:
      ValueError: for images of another shape.
    """
    self.check_images(images)
    return self._judge(state.average, images, None)[0]


def _shares(labels: jax.Array) -> jax.Array:
  """Weights of rows whose class is unknown, of sum 1; of all rows where it is unknown of none."""
  unknown = labels == UNKNOWN
  counted = jnp.where(unknown.any(), unknown, True).astype(jnp.float32)
  return counted / counted.sum()
