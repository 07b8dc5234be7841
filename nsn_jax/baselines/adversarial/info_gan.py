"""InfoGAN (Chen et al. 2016, arXiv:1606.03657)."""

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.adversarial.adversarial_model import GANState, Key
from nsn_jax.baselines.adversarial.dcgan import DCGAN
from nsn_jax.baselines.baseline import Metrics

__all__ = ["Codes", "InfoGAN"]

#: Units between the critic's map and what is said of codes.
_HIDDEN = 128
#: Least deviation of a continuous code, whose range is 2: without it a code that is told exactly
#: had a density without bound.
_LEAST_DEVIATION = 0.05


class Codes(NamedTuple):
  """What Q(c|x) says of the codes of images.

  Attributes:
    category_logs: log-probabilities of the category, float32 [N, categories].
    mean: of each continuous code, float32 [N, continuous].
    deviation: its standard deviation, float32 [N, continuous].
  """

  category_logs: jax.Array
  mean: jax.Array
  deviation: jax.Array


class _Critic(nn.Module):
  """Images [N, H, W, C] to scores [N] and their codes, both from the same map."""

  image_shape: tuple[int, int, int]
  width: int
  categories: int
  continuous: int

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, Codes]:
    x = networks.criticised(images, self.image_shape, self.width)
    scores = nn.Dense(1, kernel_init=networks.INIT)(x)[:, 0]
    x = nn.Dense(_HIDDEN, use_bias=False, kernel_init=networks.INIT)(x)
    x = nn.leaky_relu(networks.batch_norm(use_running_average=False)(x), networks.SLOPE)
    x = nn.Dense(self.categories + 2 * self.continuous, kernel_init=networks.INIT)(x)
    logits, mean, deviation = jnp.split(
      x, (self.categories, self.categories + self.continuous), axis=1
    )
    deviation = _LEAST_DEVIATION + nn.softplus(deviation)
    return scores, Codes(nn.log_softmax(logits), mean, deviation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InfoGAN(DCGAN):
  """A GAN whose images tell the codes that they are made of.

  Beside noise the generator G is given codes c: a category, uniform, and continuous ones, uniform
  in [-1, 1]. A second head of the critic, Q(c|x), tells them from the image, and both networks
  raise the bound of their mutual information (Eq 4 and 5 of the paper),
    L_I = E[log Q(c|x)] + H(c), x = G(z, c),
  so that Eq 6 is min over G, Q and max over D of V(D, G) - lambda L_I. With V as DCGAN has it, the
  critic with Q minimises -log D(x) - log(1 - D(G)) - lambda L_I, and the generator
  -log D(G) - lambda L_I. Q is a product of a categorical and normal distributions. The recipe is
  the paper's for MNIST: 62 values of noise, a category of ten and two continuous codes; Adam of
  beta1 0.5 and rates 2e-4 of the critic and 1e-3 of the generator; lambda is 1 for the category and
  smaller for continuous codes, whose bound is of densities.

  We depart from the paper: maps are DCGAN's here, down to 4x4, and no layer of 1024 units follows
  them. From the authors' code for MNIST: there Q's deviations are 1 and lambda is 1 for all codes;
  here Q gives deviations, at least 0.05, as the bound is tighter then, and lambda is 0.1.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the critic's first layer, doubled in each further one; the generator's are
      the same in reverse.
    latent: values of noise an image, beside the codes.
    categories: that the first code is one of, at least 2.
    continuous: continuous codes.
    batch_size: images a step.
    learning_rate: of the critic, Q with it.
    generator_rate: of the generator.
    category_weight: lambda of the category.
    continuous_weight: lambda of the continuous codes.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "InfoGAN"
  default_epochs: ClassVar[int] = 16

  latent: int = 62
  categories: int = 10
  continuous: int = 2
  generator_rate: float = 1e-3
  category_weight: float = 1.0
  continuous_weight: float = 0.1

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("categories", self.categories, 2)
    checks.integer("continuous", self.continuous, 0)
    checks.number("generator_rate", self.generator_rate, 0.0, above=True)
    for name in ("category_weight", "continuous_weight"):
      checks.number(name, getattr(self, name), 0.0)

  @property
  def noise_size(self) -> int:
    """Noise, then the category as ten values of which one is 1, then the continuous codes."""
    return self.latent + self.categories + self.continuous

  @property
  def _critic(self) -> nn.Module:
    return _Critic(self.image_shape, self.width, self.categories, self.continuous)

  def generator_optimizer(self) -> optax.GradientTransformation:
    """Adam with little momentum, of the generator's rate."""
    return optax.adam(self.generator_rate, b1=0.5)

  def noise(self, key: jax.Array, num_samples: int) -> jax.Array:
    """Uniform in [-1, 1], but a category of 0 and 1: [num_samples, noise_size]."""
    rest_key, category_key, continuous_key = jax.random.split(key, 3)
    rest = super().noise(rest_key, num_samples)
    category = jax.random.randint(category_key, (num_samples,), 0, self.categories, jnp.int32)
    shape = (num_samples, self.continuous)
    continuous = jax.random.uniform(continuous_key, shape, jnp.float32, minval=-1.0)
    return self._joined(rest, category, continuous)

  def _joined(self, rest: jax.Array, category: jax.Array, continuous: jax.Array) -> jax.Array:
    one_hot = jax.nn.one_hot(category, self.categories, dtype=jnp.float32)
    return jnp.concatenate([rest, one_hot, continuous], axis=1)

  def information(self, noise: jax.Array, said: Codes) -> tuple[jax.Array, jax.Array]:
    """The bound L_I in nats, of the category and of the continuous codes (Eq 5 of the paper).

    Args:
      noise: that images are made of, float32 [N, noise_size].
      said: of these images, of N rows.
    """
    category, continuous = jnp.split(noise[:, self.latent :], (self.categories,), axis=1)
    of_category = (category * said.category_logs).sum(axis=1).mean() + math.log(self.categories)
    distances = (continuous - said.mean) / said.deviation
    logs = -(distances**2) / 2 - jnp.log(said.deviation) - math.log(2 * math.pi) / 2
    # A uniform code of [-1, 1] has entropy log 2.
    of_continuous = logs.sum(axis=1).mean() + self.continuous * math.log(2)
    return of_category, of_continuous

  def _weighed(self, of_category: jax.Array, of_continuous: jax.Array) -> jax.Array:
    return self.category_weight * of_category + self.continuous_weight * of_continuous

  def critic_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> jax.Array:
    """Cross-entropy of real and generated, less the information weighed."""
    (real_scores, _), (fake_scores, said) = (self._judge(key, critic, x) for x in (images, fake))
    loss = self.critic_loss(real_scores, fake_scores, images, fake)
    return loss - self._weighed(*self.information(noise, said))

  def generator_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, Metrics]:
    """Cross-entropy of generated taken for real, less the information weighed; and that in nats."""
    del images
    scores, said = self._judge(key, critic, fake)
    of_category, of_continuous = self.information(noise, said)
    told = {"category_information": of_category, "continuous_information": of_continuous}
    return self.generator_loss(scores) - self._weighed(of_category, of_continuous), told

  def codes(self, state: GANState, images: jax.Array) -> Codes:
    """What the critic says of images' codes. Pure.

    As in training a batch is normalised by its own moments: give hundreds at a time, mixed as the
    data are, and as many each time.

    Args:
      state: trained.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      Of N rows.

    Raises:
      ValueError: for images of another shape.
    """
    self.check_images(images)
    said: Codes = self._judge(None, state.critic, images)[1]
    return said

  def generate_with(
    self, state: GANState, rest: jax.Array, category: jax.Array, continuous: jax.Array
  ) -> jax.Array:
    """Images of these codes; equal rows of noise show what the codes change. Pure.

    Args:
      state: trained.
      rest: the noise, float32 [N, latent]; in training it was uniform in [-1, 1].
      category: integers [N] from 0 to below `categories`; all values are 0 for others.
      continuous: float32 [N, continuous]; in training they were uniform in [-1, 1].

    Returns:
      float32 [N, H, W, C] in [-1, 1].

    Raises:
      ValueError: for arrays that are not as above.
    """
    checks.floats("rest", rest, "N, latent")
    checks.floats("continuous", continuous, "N, codes")
    num_samples = len(rest)
    for name, value, shape in (
      ("rest", rest, (num_samples, self.latent)),
      ("category", category, (num_samples,)),
      ("continuous", continuous, (num_samples, self.continuous)),
    ):
      if value.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(value.shape)}")
    if not jnp.issubdtype(category.dtype, jnp.integer):
      raise ValueError(f"category: expected integers, got dtype {category.dtype}")
    return self._sample(state, self._joined(rest, category, continuous))
