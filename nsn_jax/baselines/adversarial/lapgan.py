"""LAPGAN, a Laplacian pyramid of GANs (Denton et al. 2015, arXiv:1506.05751)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.adversarial import dense_networks, laplacian_pyramid
from nsn_jax.baselines.adversarial.adversarial_model import GANState
from nsn_jax.baselines.adversarial.pyramid_levels import CoarsestGAN, DetailGAN
from nsn_jax.baselines.baseline import Baseline, Family, Metrics

__all__ = ["LAPGAN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LAPGAN(Baseline):
  """A small image is drawn, then made twice as large again and again, each time with new details.

  With the pyramid's d and u (see `laplacian_pyramid`), level k below the last makes of a blurred
  image l_k = u(I_k+1) and a plane of noise z_k the difference h_k = G_k(z_k, l_k), so that a sample
  is I_k = u(I_k+1) + G_k(z_k, u(I_k+1)), from I_K = G_K(z_K) up to I_0 (Eq 5). In training l_k is
  u(d(I_k)) of a real image, so that no level waits for another: all are trained side by side, each
  by the first GAN's losses (Eq 2). The critic D_k sees l_k + h_k or l_k + G_k(z_k, l_k).

  The recipe is the paper's for CIFAR-10: sides are halved to 7 or 8; there two dense layers of 1200
  rectified units make images of 100 values of uniform noise, and two of 600 with dropout tell them
  from real ones; at other levels the generator has three convolutions and the critic two, noise is
  one more plane of the generator's input; gradient descent of rate 0.02, momentum that rises from
  0.5 to 0.8 over 375 epochs, of 600 steps here. Momentum damps, as in the authors' code, whose
  Torch does so by itself: v becomes m v + (1 - m) gradient, and the step is the rate times v. That
  decides. Where v is m v + gradient, steps are 1 / (1 - m) times as long: from one state after 5
  epochs on MNIST the generator's loss of 28x28 stayed at 0.9 over two more when damped, came to 28
  in them without at m = 0.51, and at m = 0.6 grew without bound, as the generator's weights did.

  The paper does not say how it blurs; our d and u are Burt and Adelson's. We depart from it:
  convolutions are smaller, to be trained on a CPU. They have 32 maps; a generator's first one
  halves the sides and its last doubles them; windows are 4x4 there and 3x3 between. The paper's
  rate falls by a factor of 1 + 4e-5 an epoch, which comes to nothing here and is left out. Torch
  damps no first gradient; ours is, too. The last images begin at their mean, as the first GAN's do.

  Attributes:
    image_shape: [H, W, C]; square, of a side above `coarsest`.
    coarsest: largest side of the last images; sides are halved, rounding up, until they are so
      small: 28, 14, 7; 32, 16, 8; 96, 48, 24, 12, 6.
    width: maps of a convolution.
    hidden: units of the dense generator's layers; the critic's have half as many.
    latent: values of noise of the last image.
    batch_size: images a step.
    learning_rate: of all networks.
    first_momentum: of the first step, below 1.
    last_momentum: after `momentum_steps`, below 1.
    momentum_steps: that momentum changes over.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "LAPGAN"
  default_epochs: ClassVar[int] = 30
  family: ClassVar[Family] = Family.ADVERSARIAL
  width_field: ClassVar[str | None] = "width"

  coarsest: int = 8
  width: int = 32
  hidden: int = 1200
  latent: int = 100
  batch_size: int = 100
  learning_rate: float = 0.02
  first_momentum: float = 0.5
  last_momentum: float = 0.8
  momentum_steps: int = 375 * 600

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("coarsest", self.coarsest, 1)
    height, width, _ = self.image_shape
    if height != width or height <= self.coarsest:
      raise ValueError(
        f"image_shape: expected square images of at least {self.coarsest + 1} x "
        f"{self.coarsest + 1}, got {height} x {width}"
      )
    _ = self.levels  # They check the other fields.

  @property
  def sides(self) -> tuple[int, ...]:
    """Of I_0 ... I_K."""
    found = [self.image_shape[0]]
    while found[-1] > self.coarsest:
      found.append(laplacian_pyramid.halved(found[-1]))
    return tuple(found)

  @property
  def levels(self) -> tuple[tuple[DetailGAN, ...], CoarsestGAN]:
    """The models of h_0 ... h_K-1, and that of I_K."""
    recipe: dict[str, Any] = {
      "batch_size": self.batch_size,
      "learning_rate": self.learning_rate,
      "rate_decay": 0.0,
      "first_momentum": self.first_momentum,
      "last_momentum": self.last_momentum,
      "momentum_steps": self.momentum_steps,
    }
    *shapes, last = [(side, side, self.image_shape[-1]) for side in self.sides]
    details = tuple(DetailGAN(image_shape=shape, width=self.width, **recipe) for shape in shapes)
    return details, CoarsestGAN(image_shape=last, hidden=self.hidden, latent=self.latent, **recipe)

  @property
  def num_networks(self) -> int:  # type: ignore[override]  # the images' size says it here
    """Two a level."""
    return 2 * len(self.sides)

  @property
  def sequential_steps(self) -> int:
    """A level waits for that below."""
    return len(self.sides)

  def init(self, key: jax.Array) -> tuple[GANState, ...]:
    """The states of all levels, that of I_0 first."""
    details, last = self.levels
    levels = (*details, last)
    keys = jax.random.split(key, len(levels))
    return tuple(level.init(key) for level, key in zip(levels, keys, strict=True))

  def informed(
    self, state: tuple[GANState, ...], images: npt.NDArray[np.uint8]
  ) -> tuple[GANState, ...]:
    """Untrained last images become the mean of the training images'."""
    mean = jnp.asarray(images.mean(axis=0, dtype=np.float64, keepdims=True) / 255, jnp.float32)
    for _ in self.sides[1:]:
      mean = laplacian_pyramid.down(mean)  # The mean of images halved, as halving is linear.
    last = state[-1]
    generator = dense_networks.beginning_at(last.generator, np.asarray(mean[0], np.float64))
    return (*state[:-1], last._replace(generator=generator))

  def step(
    self, key: jax.Array, state: tuple[GANState, ...], images: jax.Array
  ) -> tuple[tuple[GANState, ...], Metrics]:
    """A step of each level.

    Args:
      key: PRNG key, of noise and dropout.
      state: before the step.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it, and both losses of each level, as `critic_loss_0`.
    """
    details, last = self.levels
    levels = (*details, last)
    keys = jax.random.split(key, len(levels))
    changed: list[GANState] = []
    told: dict[str, jax.Array] = {}
    for index, (level, key, before) in enumerate(zip(levels, keys, state, strict=True)):
      after, losses = level.step(key, before, images)
      changed.append(after)
      told |= {f"{name}_{index}": loss for name, loss in losses.items()}
      images = laplacian_pyramid.down(images)
    return tuple(changed), told

  def generate(self, key: jax.Array, state: tuple[GANState, ...], num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1], from the smallest up."""
    return jnp.clip(self.growing(key, state, num_samples)[0], -1.0, 1.0)

  def growing(
    self, key: jax.Array, state: tuple[GANState, ...], num_samples: int
  ) -> tuple[jax.Array, ...]:
    """How samples are drawn: I_0 ... I_K of each, not clipped. Pure.

    Args:
      key: PRNG key; the first are the images that `generate` gives for it.
      state: trained.
      num_samples: N.

    Returns:
      float32 [N, H, W, C] in about [-1, 1], of each level's size.
    """
    details, last = self.levels
    *keys, last_key = jax.random.split(key, len(state))
    images = [last.generate(last_key, state[-1], num_samples)]
    for level, key, trained in reversed(list(zip(details, keys, state[:-1], strict=True))):
      images.append(level.refined(key, trained, images[-1]))
    return tuple(reversed(images))

  def generating(self, state: tuple[GANState, ...]) -> Any:
    """The parameters of all generators."""
    return tuple(level.generator for level in state)
