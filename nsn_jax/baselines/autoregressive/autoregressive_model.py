"""What models share whose density is a product over values, each given those before it."""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import optax

from nsn_jax.baselines.baseline import Baseline, Family, Metrics

__all__ = ["AutoregressiveModel", "AutoregressiveState"]


class AutoregressiveState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    params: of the network, or of all of them.
    optimizer: the optimizer's state.
  """

  params: Any
  optimizer: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoregressiveModel(Baseline):
  """A product over values, without the networks and what they are given beside the pixels.

  Attributes:
    image_shape: [H, W, C].
    batch_size: images a step.
    learning_rate: of RMSProp; gradients longer than 1 are cut to 1.

  Raises:
    ValueError: for values that are not as above.
  """

  family: ClassVar[Family] = Family.AUTOREGRESSIVE

  batch_size: int = 16

  @abc.abstractmethod
  def first(self, key: jax.Array) -> Any:
    """Parameters that training begins with."""

  def rule(self) -> optax.GradientTransformation:
    """What turns a gradient into a step, once it is cut."""
    return optax.rmsprop(self.learning_rate)

  @property
  def sequential_steps(self) -> int:
    """A value waits for those before it."""
    return math.prod(self.image_shape)

  def _optimizer(self) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(1.0), self.rule())

  def init(self, key: jax.Array) -> AutoregressiveState:
    """The state that training begins with."""
    params = self.first(key)
    return AutoregressiveState(params, self._optimizer().init(params))

  def descend(
    self, state: AutoregressiveState, bits: Callable[[Any], jax.Array]
  ) -> tuple[AutoregressiveState, Metrics]:
    """One step down the mean of what parameters give images; `bits` is that before it."""
    loss, gradient = jax.value_and_grad(lambda p: bits(p).mean())(state.params)
    updates, optimizer = self._optimizer().update(gradient, state.optimizer)
    params: Any = optax.apply_updates(state.params, updates)
    return AutoregressiveState(params, optimizer), {"bits": loss}

  def generating(self, state: AutoregressiveState) -> Any:
    """The parameters."""
    return state.params
