"""What a baseline is: a model with a state, a training step and a sampler."""

import abc
import dataclasses
import enum
import functools
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, pixel_range

__all__ = ["Baseline", "Density", "Family", "Metrics", "State", "num_parameters", "sample"]

#: Parameters and whatever else a step changes: a pytree.
State = Any
#: Scalars of a step, by name.
Metrics = Mapping[str, jax.Array]


class Family(enum.StrEnum):
  """What models are grouped by in tables: how the density of images comes in."""

  #: Two networks play against each other; no density. Samples may collapse.
  ADVERSARIAL = "adversarial"
  #: A bound of it, by an approximate posterior of a latent.
  VARIATIONAL = "variational"
  #: A product over pixels, each given those before it.
  AUTOREGRESSIVE = "autoregressive"
  #: exp(-energy), up to a constant.
  ENERGY_BASED = "energy-based"
  #: None of these.
  OTHER = "other"


class Density(NamedTuple):
  """The density that a model gives images, where it has one.

  Attributes:
    kind: what the number is, as "exact, bits a value": numbers of two kinds are not comparable.
    bits: the number.
  """

  kind: str
  bits: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline(abc.ABC):
  """A model: pure functions over a state. Hashable, so that it can be a static argument.

  A new one is a subclass in a file of its own and an entry in `registry.MODELS`.

  Attributes:
    title: what tables call it.
    default_epochs: that it is trained for where nobody says; on two CPU cores 60,000 grey images
      of 28x28 take about an hour then, a VAE two minutes.
    num_networks: that are trained.
    family: what tables group it with.
    width_field: the field that makes it larger or smaller; None where there is none.
    image_shape: [H, W, C].
    batch_size: images a step.
    learning_rate: of the optimizer.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str]
  default_epochs: ClassVar[int] = 10
  num_networks: ClassVar[int] = 1
  family: ClassVar[Family] = Family.OTHER
  width_field: ClassVar[str | None] = None

  image_shape: tuple[int, int, int]
  batch_size: int = 64
  learning_rate: float = 1e-3

  def __post_init__(self) -> None:
    checks.image_shape("image_shape", self.image_shape)
    checks.integer("batch_size", self.batch_size, 1)
    checks.number("learning_rate", self.learning_rate, 0.0, above=True)

  @property
  def sequential_steps(self) -> int:
    """Steps of a sample that wait for each other; 1 where all pixels come together."""
    return 1

  @property
  def uses_labels(self) -> bool:
    """Whether it is trained by the images' classes: by `step_with_labels`, and not by `step`."""
    return False

  def check_labels(self, labels: npt.NDArray[np.integer]) -> None:
    """Raises ValueError where the model uses labels and cannot be trained by these, on the host.

    Args:
      labels: integers [N] of at least -1, which is an unknown class; all of them are where a data
        set has no labels.
    """
    del labels

  def check_images(self, images: Any) -> Any:
    """The images, in native byte order; of tracers, too.

    Args:
      images: float32 [N, H, W, C] in [-1, 1].

    Raises:
      ValueError: for what is no float array of that layout, or of another shape than the model's.
    """
    images = checks.floats("images", images, "N, H, W, C")
    if images.shape[1:] != self.image_shape:
      raise ValueError(
        f"images: expected [N, {', '.join(map(str, self.image_shape))}], "
        f"got shape {tuple(images.shape)}"
      )
    return images

  @abc.abstractmethod
  def init(self, key: jax.Array) -> State:
    """The state that training begins with."""

  def informed(self, state: State, images: npt.NDArray[np.uint8]) -> State:
    """The first state, told of what it will be trained on; here as it is. On the host, once.

    Args:
      state: of `init`.
      images: all training images, uint8 [N, H, W, C].
    """
    del images
    return state

  @abc.abstractmethod
  def step(self, key: jax.Array, state: State, images: jax.Array) -> tuple[State, Metrics]:
    """One step on a batch, float32 [batch_size, H, W, C] in [-1, 1]. Pure."""

  def step_with_labels(
    self, key: jax.Array, state: State, images: jax.Array, labels: jax.Array
  ) -> tuple[State, Metrics]:
    """`step`, by the images' classes, int32 [batch_size], -1 where unknown; here without. Pure."""
    del labels
    return self.step(key, state, images)

  @abc.abstractmethod
  def generate(self, key: jax.Array, state: State, num_samples: int) -> jax.Array:
    """Images, float32 [num_samples, H, W, C] in [-1, 1]. Pure."""

  @abc.abstractmethod
  def generating(self, state: State) -> Any:
    """The parameters that sampling needs."""

  def held_out_density(
    self, key: jax.Array, state: State, images: npt.NDArray[np.uint8]
  ) -> Density | None:
    """The mean density of images, uint8 [N, H, W, C]; None where the model has no density."""
    del key, state, images
    return None


def sample(
  key: jax.Array, model: Baseline, state: State, num_samples: int, *, batch_size: int = 500
) -> npt.NDArray[np.uint8]:
  """Draws samples, batch by batch.

  Args:
    key: PRNG key.
    model: whose samples.
    state: trained.
    num_samples: N, at least 1.
    batch_size: samples drawn at a time, at least 1; a change of it draws others.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  checks.integer("num_samples", num_samples, 1)
  checks.integer("batch_size", batch_size, 1)
  batch_size = min(batch_size, num_samples)
  parts = [
    np.asarray(_generate(model, jax.random.fold_in(key, batch), state, batch_size))
    for batch in range(-(-num_samples // batch_size))
  ]
  return np.concatenate(parts)[:num_samples]


@functools.partial(jax.jit, static_argnums=(0, 3))
def _generate(model: Baseline, key: jax.Array, state: State, num_samples: int) -> jax.Array:
  return pixel_range.from_signed(model.generate(key, state, num_samples))


def num_parameters(tree: Any) -> int:
  """Number of values in a pytree of arrays."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
