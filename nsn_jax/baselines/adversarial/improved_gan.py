"""Improved GAN (Salimans et al. 2016, arXiv:1606.03498): DCGAN, and what makes it converge."""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from nsn_jax import checks
from nsn_jax.baselines import networks
from nsn_jax.baselines.adversarial.adversarial_model import Key
from nsn_jax.baselines.adversarial.dcgan import DCGAN
from nsn_jax.baselines.adversarial.historical_averaging import historical_averaging
from nsn_jax.baselines.adversarial.minibatch_discrimination import MinibatchDiscrimination
from nsn_jax.baselines.adversarial.virtual_batch_norm import VirtualGenerator
from nsn_jax.baselines.baseline import Metrics

__all__ = ["ImprovedGAN"]

_SWITCHES = (
  "feature_matching",
  "minibatch_discrimination",
  "historical_averaging",
  "label_smoothing",
  "virtual_normalisation",
)


class _Critic(nn.Module):
  """Images [N, H, W, C] to scores [N] and features [N, F]."""

  image_shape: tuple[int, int, int]
  width: int
  kernels: int
  size: int

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = networks.criticised(images, self.image_shape, self.width)
    x = features
    if self.kernels:
      close = MinibatchDiscrimination(self.kernels, self.size, networks.INIT)(features)
      x = jnp.concatenate([features, close], axis=1)
    return nn.Dense(1, kernel_init=networks.INIT)(x)[:, 0], features


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImprovedGAN(DCGAN):
  """DCGAN's networks, losses and recipe with five techniques, each of which can be left out.

  Those on by default are the paper's best without labels ("-L+HA" of its Table 3). Feature
  matching is not among them: by the paper it helps a classifier, and samples are worse for it.

  - Feature matching (Eq of section 3.1): the generator minimises the squared distance of the mean
    features of real and generated images, |E f(x) - E f(G(z))|^2, instead of its cross-entropy. f
    is the critic's smallest map, which its last layer scores.
  - Minibatch discrimination (3.2): the critic sees how close an image is to the others of its
    batch, real and generated ones apart; 100 kernels of 5 values, as in the authors' code for
    CIFAR-10.
  - Historical averaging (3.3): both networks' losses grow with the distance from the mean of their
    past parameters. Metrics are without this term. The paper gives no weight of it.
  - One-sided label smoothing (3.4): the critic is to give real images the probability 0.9.
  - Virtual batch normalisation (3.5), of the generator alone, as in the paper: by a reference batch
    of noise that is drawn once. The critic keeps its batch normalisation.

  Classes are left out here: a critic that tells those of a few labelled images, too (section 5), is
  `SemiSupervisedGAN`.

  Attributes:
    image_shape: [H, W, C]; square, of a side of at least 5.
    width: channels of the critic's first layer, doubled in each further one; the generator's are
      the same in reverse.
    latent: values of noise an image.
    batch_size: images a step, and noise of the reference batch.
    learning_rate: of both networks.
    feature_matching: whether the generator matches features.
    minibatch_discrimination: whether the critic compares a batch's images.
    historical_averaging: whether parameters are drawn to their past.
    label_smoothing: whether the critic's target of real images is below 1.
    virtual_normalisation: whether the generator is normalised by a reference batch.
    kernels: features that minibatch discrimination adds.
    kernel_size: values that the distance of two images is taken of, for each.
    history_weight: of historical averaging.
    real_target: the smoothed label, from above 0 to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "Improved GAN"
  default_epochs: ClassVar[int] = 10

  feature_matching: bool = False
  minibatch_discrimination: bool = True
  historical_averaging: bool = True
  label_smoothing: bool = True
  virtual_normalisation: bool = True
  kernels: int = 100
  kernel_size: int = 5
  history_weight: float = 1e-3
  real_target: float = 0.9

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("kernels", "kernel_size"):
      checks.integer(name, getattr(self, name), 1)
    checks.number("history_weight", self.history_weight, 0.0)
    if checks.number("real_target", self.real_target, 0.0, above=True) > 1.0:
      raise ValueError(f"real_target: expected a number up to 1, got {self.real_target}")
    for name in _SWITCHES:
      checks.instance(name, getattr(self, name), bool)

  @property
  def _generator(self) -> nn.Module:
    if not self.virtual_normalisation:
      return super()._generator
    return VirtualGenerator(self.image_shape, self.width, self.batch_size)

  @property
  def _critic(self) -> nn.Module:
    kernels = self.kernels if self.minibatch_discrimination else 0
    return _Critic(self.image_shape, self.width, kernels, self.kernel_size)

  def critic_loss(
    self, real_scores: jax.Array, fake_scores: jax.Array, real: jax.Array, fake: jax.Array
  ) -> jax.Array:
    """Cross-entropy of real and generated, of smoothed labels for real ones."""
    loss = super().critic_loss(real_scores, fake_scores, real, fake)
    if not self.label_smoothing:
      return loss
    # -t log D - (1 - t) log(1 - D) is -log D and (1 - t) times the score, log D - log(1 - D).
    return loss + (1 - self.real_target) * real_scores.mean()

  def matching_loss(self, real_features: jax.Array, fake_features: jax.Array) -> jax.Array:
    """Squared distance of the means of features [N, F]."""
    return ((real_features.mean(axis=0) - fake_features.mean(axis=0)) ** 2).sum()

  def optimizer(self) -> optax.GradientTransformation:
    """Adam with little momentum, of losses that look back where they are to."""
    adam = super().optimizer()
    if not self.historical_averaging:
      return adam
    return optax.chain(historical_averaging(self.history_weight), adam)

  def critic_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> jax.Array:
    """Cross-entropy of real and generated."""
    del noise
    (real_scores, _), (fake_scores, _) = (self._judge(key, critic, x) for x in (images, fake))
    return self.critic_loss(real_scores, fake_scores, images, fake)

  def generator_objective(
    self, key: Key, critic: Any, images: jax.Array, fake: jax.Array, noise: jax.Array
  ) -> tuple[jax.Array, Metrics]:
    """Cross-entropy of generated taken for real, or the distance of features."""
    del noise
    scores, features = self._judge(key, critic, fake)
    if self.feature_matching:
      return self.matching_loss(self._judge(key, critic, images)[1], features), {}
    return self.generator_loss(scores), {}
