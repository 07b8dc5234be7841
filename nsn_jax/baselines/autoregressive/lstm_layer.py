"""What the layers of a PixelRNN share: an LSTM over a map, row by row, around which a map passes.

Each layer is there twice: as a pass over a whole map, for training, and as the same pass pixel by
pixel, for drawing, where it keeps what later pixels need of earlier ones.
"""

import abc
import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.baselines.autoregressive import masks

__all__ = ["LSTMLayer", "Memory", "begin_bias", "begin_kernel", "next_memory"]


class Memory(NamedTuple):
  """Of an LSTM of h units, [..., h] each.

  Attributes:
    hidden: its state, which it puts out.
    cell: what it keeps.
  """

  hidden: jax.Array
  cell: jax.Array


def next_memory(gates: jax.Array, cell: jax.Array) -> Memory:
  """Eq 3 of the paper, of the sum of both maps, [..., 4h]: output, forget, input and content."""
  output, forget, entry, content = jnp.split(gates, 4, axis=-1)
  cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(entry) * jnp.tanh(content)
  return Memory(jax.nn.sigmoid(output) * jnp.tanh(cell), cell)


def begin_kernel(key: jax.Array, mask: npt.NDArray[np.float32]) -> jax.Array:
  """LeCun's normal weights of the mask's shape [..., in, out], for the inputs it leaves on average.

  What it hides is drawn, too, and has no part in anything.
  """
  fan_in = max(float(mask.sum()) / mask.shape[-1], 1.0)
  return jax.random.normal(key, mask.shape, jnp.float32) / math.sqrt(fan_in)


def begin_bias(hidden: int) -> jax.Array:
  """Of gates, [4h]: 0, and 1 of the forget gate, so that what is far is not forgotten at first."""
  return jnp.zeros(4 * hidden, jnp.float32).at[hidden : 2 * hidden].set(1.0)


@dataclasses.dataclass(frozen=True)
class LSTMLayer(abc.ABC):
  """A layer: static, its weights apart. A map of 2h features comes in and goes out.

  Attributes:
    hidden: h, units of an LSTM; with more than one colour they are dealt out to the colours.
    num_colours: C.
  """

  hidden: int
  num_colours: int

  @property
  def features(self) -> int:
    """Of the maps before and after: 2h."""
    return 2 * self.hidden

  @property
  def _features(self) -> masks.Colours:
    """The colours of the maps' features."""
    return masks.colours(self.features, self.num_colours)

  @property
  def _units(self) -> masks.Colours:
    """The colours of the LSTM's units."""
    return masks.colours(self.hidden, self.num_colours)

  @property
  def _gates(self) -> masks.Colours:
    """The colours of the four gates."""
    return np.tile(self._units, 4)

  @property
  def _out_mask(self) -> npt.NDArray[np.float32]:
    """Of the way from units back to features."""
    return masks.own_pixel("B", self._units, self._features)

  @property
  @abc.abstractmethod
  def num_gates(self) -> int:
    """Values a pixel of the input-to-state map."""

  @abc.abstractmethod
  def init(self, key: jax.Array) -> Any:
    """Weights that training begins with."""

  @abc.abstractmethod
  def whole(
    self, weights: Any, x: jax.Array, images: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """The map after the layer.

    Args:
      weights: the layer's.
      x: the map before it, float32 [N, H, W, 2h].
      images: that the map is of, float32 [N, H, W, C].
      extra: added to the input-to-state map, float32 [N, H, W, num_gates]; None for nothing.

    Returns:
      float32 [N, H, W, 2h].
    """

  # The same pixel by pixel.

  @abc.abstractmethod
  def begin(self, num: int, width: int) -> Any:
    """What is kept of rows, before the first row of so many images."""

  @abc.abstractmethod
  def above(self, weights: Any, kept: Any) -> Any:
    """What the rows above say to the next one: arrays [N, W, ...]."""

  @abc.abstractmethod
  def begin_row(self, num: int) -> Any:
    """What is kept of pixels, before the first of a row."""

  @abc.abstractmethod
  def pixel(
    self, weights: Any, before: Any, above: Any, x: jax.Array, extra: jax.Array | None
  ) -> tuple[Any, jax.Array, Any]:
    """The next pixel of a row.

    Args:
      weights: the layer's.
      before: what is kept of the row's pixels so far.
      above: what the rows above say to the pixel, arrays [N, ...].
      x: the pixel of the map before the layer, [N, 2h].
      extra: as of `whole`, [N, num_gates] or None.

    Returns:
      What is kept after the pixel; the pixel of the map after the layer, [N, 2h]; and what
      `after_row` is to know of the pixel.
    """

  @abc.abstractmethod
  def after_row(
    self,
    weights: Any,
    kept: Any,
    pixels: Any,
    x: jax.Array,
    images: jax.Array,
    extra: jax.Array | None,
  ) -> Any:
    """What is kept of rows after one more.

    Args:
      weights: the layer's.
      kept: of the rows before.
      pixels: what `pixel` told of each, arrays [N, W, ...].
      x: the row of the map before the layer, [N, W, 2h].
      images: the row of the images, [N, W, C].
      extra: as of `whole`, [N, W, num_gates] or None.
    """
