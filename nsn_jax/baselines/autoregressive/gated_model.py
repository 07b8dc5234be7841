"""What all models share whose pixels are drawn by the layers of a gated PixelCNN."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import optax

from nsn_jax.baselines.autoregressive.gated_stack import GatedStack
from nsn_jax.baselines.baseline import Baseline, Family, Metrics

__all__ = ["GatedModel", "PixelCNNState"]


class PixelCNNState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    params: of the network.
    optimizer: the optimizer's state.
  """

  params: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatedModel(Baseline):
  """Gated layers, without what they are given beside the pixels.

  Attributes:
    image_shape: [H, W, 1].
    width: F, channels of the layers.
    num_layers: gated layers, the first of 7x7 and the others of 3x3 windows, dilated by 1, 2, 4 and
      so on from the start.
    batch_size: images a step.
    learning_rate: of Adam; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  default_epochs: ClassVar[int] = 5
  family: ClassVar[Family] = Family.AUTOREGRESSIVE
  width_field: ClassVar[str | None] = "width"

  width: int = 32
  num_layers: int = 7

  def __post_init__(self) -> None:
    super().__post_init__()
    GatedStack(self.image_shape, self.width, self.num_layers)  # which checks them

  @property
  def sequential_steps(self) -> int:
    """A pixel waits for those before it."""
    return self.image_shape[0] * self.image_shape[1]

  @property
  def stack(self) -> GatedStack:
    """The layers."""
    return GatedStack(self.image_shape, self.width, self.num_layers)

  @abc.abstractmethod
  def first(self, key: jax.Array) -> Any:
    """The parameters that training begins with."""

  def _optimizer(self) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(self.learning_rate))

  def init(self, key: jax.Array) -> PixelCNNState:
    """The state that training begins with."""
    params = self.first(key)
    return PixelCNNState(params, self._optimizer().init(params))

  def descend(
    self, state: PixelCNNState, bits: Callable[[Any], jax.Array]
  ) -> tuple[PixelCNNState, Metrics]:
    """One step of Adam down the mean of what parameters give images; `bits` is that before it."""
    loss, gradient = jax.value_and_grad(lambda p: bits(p).mean())(state.params)
    updates, optimizer = self._optimizer().update(gradient, state.optimizer)
    params: Any = optax.apply_updates(state.params, updates)
    return PixelCNNState(params, optimizer), {"bits": loss}

  def generating(self, state: PixelCNNState) -> Any:
    """The network's parameters."""
    return state.params
