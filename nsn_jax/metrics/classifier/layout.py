"""What a classifier's layout is: hyper-parameters that name a network."""

import abc
import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks

__all__ = ["Layout", "check_counts", "check_share", "max_pool"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout(abc.ABC):
  """Hyper-parameters of a network. Hashable, so that it can be a static argument.

  A new one is a subclass in a file of its own and an entry in `storage.LAYOUTS`.

  Attributes:
    kind: its name in files.
    num_features: width of the layer before the logits.
  """

  kind: ClassVar[str]

  @property
  @abc.abstractmethod
  def num_features(self) -> int:
    """Width of the layer before the logits."""

  @abc.abstractmethod
  def network(self, num_classes: int) -> nn.Module:
    """The network as a flax module.

    It is called with images [N, H, W, C] in 0-255, uint8 or float, and `is_training`, and returns
    logits [N, num_classes] and features [N, num_features], all >= 0. What is random in training is
    drawn from the stream "dropout"; what is counted there is in the collection "batch_stats". Maps
    below the features, all >= 0, are sown as "maps" into "intermediates", the lowest first.
    """


def check_counts(name: str, values: Any) -> None:
  """Raises ValueError unless `values` is a tuple of integers of at least 1."""
  if not isinstance(values, tuple):
    raise ValueError(f"{name}: expected a tuple, as it is hashed, got {values!r}")
  for value in values:
    checks.integer(name, value, 1)


def check_share(name: str, value: Any) -> None:
  """Raises ValueError unless `value` is a number in [0, 1)."""
  if not 0 <= value < 1:
    raise ValueError(f"{name}: expected a number in [0, 1), got {value}")


def max_pool(x: jax.Array) -> jax.Array:
  """Maximum of each 2x2 window of [N, h, w, C]; an odd border row or column is its own maximum.

  By slices, because the gradient of XLA's pooling is slow on CPU.
  """
  x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)), mode="edge")
  rows = jnp.maximum(x[:, ::2], x[:, 1::2])
  return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])
