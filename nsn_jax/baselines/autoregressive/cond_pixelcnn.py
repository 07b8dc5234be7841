"""The conditional gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328), given a class."""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.autoregressive.autoregressive_model import AutoregressiveState
from nsn_jax.baselines.autoregressive.gated_model import GatedModel
from nsn_jax.baselines.autoregressive.gated_stack import Condition
from nsn_jax.baselines.baseline import Density, Metrics

__all__ = ["CondPixelCNN"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CondPixelCNN(GatedModel):
  """A PixelCNN of p(x | y), y the image's class, which all gates of all layers are given.

  With h the class as a vector of which one value is 1 and the others 0, a gate is
    tanh(W_f * x + V_f^T h) sigmoid(W_g * x + V_g^T h)
  (Eq 4 of the paper), in the vertical and in the horizontal stack. Trained by labels it minimises
  -log p(x | y), in bits a value. Where classes are not known, their prior is uniform: samples are
  of classes drawn by it, and the density of an image is p(x) = mean of p(x | y) over y, exact,
  which costs a pass a class. By Bayes' rule it is a classifier, too: `class_logs`.

  The layers are those of `PixelCNN`, and depart from the paper's as they do.

  Attributes:
    image_shape: [H, W, 1].
    num_classes: that labels are of, from 0.
    width: F, channels of the layers.
    num_layers: gated layers, the first of 7x7 and the others of 3x3 windows, dilated by 1, 2, 4 and
      so on from the start.
    batch_size: images a step.
    learning_rate: of Adam; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "PixelCNN, conditional"

  num_classes: int = 10

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("num_classes", self.num_classes, 1)

  @property
  def uses_labels(self) -> bool:
    """It is trained by them."""
    return True

  def check_labels(self, labels: npt.NDArray[np.integer]) -> None:
    """Raises ValueError unless each image has a class."""
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0:
      got = "none" if high < 0 else f"{(labels < 0).mean():.1%} unknown"
      raise ValueError(f"labels: expected the class of each image, got {got}")
    if high >= self.num_classes:
      raise ValueError(
        f"labels: expected 0 to {self.num_classes - 1}, as num_classes is {self.num_classes}, "
        f"got up to {high}"
      )

  def first(self, key: jax.Array) -> Any:
    """Weights of the layers and of the condition: LeCun's normal, biases of 0."""
    stack_key, condition_key = jax.random.split(key)
    stack = self.stack
    return stack.init(stack_key), stack.init_condition(condition_key, self.num_classes)

  def _condition(self, params: Any, labels: jax.Array) -> Condition:
    one_hot = jax.nn.one_hot(labels, self.num_classes, dtype=jnp.float32)
    return Condition.everywhere(params[1], one_hot)

  def logits(self, params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Logits of every pixel's value, each from the pixels before it and the class alone.

    Args:
      params: of the network.
      images: float32 [N, H, W, 1] in [-1, 1].
      labels: int32 [N].

    Returns:
      float32 [N, H, W, 256].
    """
    return self.stack.logits(params[0], images, self._condition(params, labels))

  def bits(self, params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    """-log2 p(x | y) of each image, in bits a value: float32 [N]."""
    logits = self.logits(params, images, labels)
    return pixel_values.bits(logits, images[..., 0]).mean(axis=(1, 2))

  def joint_logs(self, params: Any, images: jax.Array) -> jax.Array:
    """Log p(x, y) = log p(x | y) p(y) of each image and class, in nats: float32 [N, num_classes].

    Args:
      params: of the network.
      images: float32 [N, H, W, 1] in [-1, 1].
    """

    def of_class(label: jax.Array) -> jax.Array:
      return self.bits(params, images, jnp.full(len(images), label))

    # A class at a time: the logits are 256 values a pixel.
    bits = jax.lax.map(of_class, jnp.arange(self.num_classes))
    return -bits.T * self._nats_a_bit - math.log(self.num_classes)

  @property
  def _nats_a_bit(self) -> float:
    """Nats of an image for one bit a value."""
    return math.prod(self.image_shape) * math.log(2)

  def class_logs(self, params: Any, images: jax.Array) -> jax.Array:
    """Log p(y | x), by Bayes' rule: float32 [N, num_classes], of images as `joint_logs` takes."""
    return jax.nn.log_softmax(self.joint_logs(params, images))

  def marginal_bits(self, params: Any, images: jax.Array) -> jax.Array:
    """-log2 p(x), in bits a value: float32 [N], of images as `joint_logs` takes them."""
    return -jax.nn.logsumexp(self.joint_logs(params, images), axis=1) / self._nats_a_bit

  def step(
    self, key: jax.Array, state: AutoregressiveState, images: jax.Array
  ) -> tuple[AutoregressiveState, Metrics]:
    """One step of Adam by p(x) alone: it has to find the classes. Nothing is drawn."""
    del key
    return self.descend(state, lambda params: self.marginal_bits(params, images))

  def step_with_labels(
    self, key: jax.Array, state: AutoregressiveState, images: jax.Array, labels: jax.Array
  ) -> tuple[AutoregressiveState, Metrics]:
    """One step of Adam; returns the loss before it, in bits a value. Nothing is drawn."""
    del key
    return self.descend(state, lambda params: self.bits(params, images, labels))

  def generate_with(
    self, key: jax.Array, state: AutoregressiveState, labels: jax.Array
  ) -> jax.Array:
    """Images of these classes, int32 [N]: float32 [N, H, W, 1] in [-1, 1], pixel by pixel."""
    condition = self._condition(state.params, labels)
    blank = pixel_values.nothing_known(len(labels), self.image_shape)
    return self.stack.draw(key, state.params[0], *blank, condition)

  def generate(self, key: jax.Array, state: AutoregressiveState, num_samples: int) -> jax.Array:
    """Images of classes drawn uniformly, float32 [num_samples, H, W, 1] in [-1, 1]."""
    label_key, pixel_key = jax.random.split(key)
    labels = jax.random.randint(label_key, (num_samples,), 0, self.num_classes, jnp.int32)
    return self.generate_with(pixel_key, state, labels)

  def held_out_density(
    self, key: jax.Array, state: AutoregressiveState, images: npt.NDArray[np.uint8]
  ) -> Density:
    """The exact negative log-likelihood of 8-bit pixels, whatever their class. Nothing is drawn."""
    del key
    return pixel_values.density(self.marginal_bits, state.params, images)
