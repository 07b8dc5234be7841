"""The Diagonal BiLSTM of PixelRNN (van den Oord et al. 2016, arXiv:1601.06759, section 3.2)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.baselines.autoregressive import masks
from nsn_jax.baselines.autoregressive.lstm_layer import (
  LSTMLayer,
  Memory,
  begin_bias,
  begin_kernel,
  next_memory,
)

__all__ = ["DiagonalLSTMLayer", "DiagonalWeights", "Direction", "skew", "unskew"]


class Direction(NamedTuple):
  """Weights of the LSTM of one direction, of h units.

  Attributes:
    inputs: from the map's pixel to gates, [F, 4h].
    states: from the pixel above and the one before in the row, to gates, [2h, 4h].
    bias: of gates, [4h].
  """

  inputs: jax.Array
  states: jax.Array
  bias: jax.Array


class DiagonalWeights(NamedTuple):
  """Weights of a Diagonal BiLSTM of h units in each direction.

  Attributes:
    left: of the LSTM that begins at the left; F = 2h, under mask B.
    right: of the one that begins at the right; F = 2h + C, the map and the image.
    out: from the sum of both back to the map, under mask B, [h, 2h].
    out_bias: [2h].
  """

  left: Direction
  right: Direction
  out: jax.Array
  out_bias: jax.Array


def skew(x: jax.Array) -> jax.Array:
  """Moves each row one place further right than the row above it: diagonals become columns.

  Args:
    x: [N, H, W, F].

  Returns:
    [N, H, H + W - 1, F], zeros where no pixel comes to lie.
  """
  num, height, width, features = x.shape
  padded = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0)))
  # Rows one shorter than they were written: each begins one place later than the one before.
  flat = padded.reshape(num, height * (height + width), features)
  length = height + width - 1
  return flat[:, : height * length].reshape(num, height, length, features)


def unskew(x: jax.Array) -> jax.Array:
  """Undoes `skew`: [N, H, H + W - 1, F] to [N, H, W, F]."""
  num, height, length, features = x.shape
  flat = x.reshape(num, height * length, features)
  flat = jnp.pad(flat, ((0, 0), (0, height), (0, 0)))
  return flat.reshape(num, height, length + 1, features)[:, :, : length + 1 - height]


def _down(x: jax.Array) -> jax.Array:
  """Each row at the place of the one below it, zeros in the first: [N, H, ...]."""
  return jnp.pad(x, ((0, 0), (1, 0), *((0, 0),) * (x.ndim - 2)))[:, :-1]


class DiagonalLSTMLayer(LSTMLayer):
  """Two LSTMs along diagonals: a pixel's state is of the one above and the one before in its row.

  One begins at the left, one at the right. The latter's map is moved down by a row before both are
  added, so that a pixel sees of it what lies above alone. Between them the context is all that came
  before.

  We depart from the paper: the right-hand LSTM sees the image itself, too, and needs no mask, as
  what it says is for the row below. In the paper's layers a pixel does not see the last one of the
  row above, where that is further to the right than the first layer's window reaches: the map at
  that last pixel, under mask A, is of those before it.
  """

  @property
  def num_gates(self) -> int:
    """Four gates in either direction, the left one's first."""
    return 8 * self.hidden

  @property
  def _mask(self) -> npt.NDArray[np.float32]:
    """Of the inputs of the left-hand LSTM."""
    return masks.own_pixel("B", self._features, self._gates)

  def init(self, key: jax.Array) -> DiagonalWeights:
    """LeCun's normal weights; biases 0 but the forget gates', of 1."""
    keys = jax.random.split(key, 5)
    gates = 4 * self.hidden
    states = np.ones((2 * self.hidden, gates), np.float32)
    seen = np.ones((self.features + self.num_colours, gates), np.float32)
    bias = begin_bias(self.hidden)
    return DiagonalWeights(
      Direction(begin_kernel(keys[0], self._mask), begin_kernel(keys[1], states), bias),
      Direction(begin_kernel(keys[2], seen), begin_kernel(keys[3], states), bias),
      begin_kernel(keys[4], self._out_mask),
      jnp.zeros(self.features, jnp.float32),
    )

  def _from_left(
    self, weights: DiagonalWeights, x: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """The input-to-state map of the left-hand LSTM: [..., 2h] to [..., 4h]."""
    found = x @ (weights.left.inputs * self._mask) + weights.left.bias
    return found if extra is None else found + extra[..., : 4 * self.hidden]

  def _from_right(
    self, weights: DiagonalWeights, x: jax.Array, images: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """That of the right-hand one."""
    seen = jnp.concatenate([x, images], axis=-1)
    found = seen @ weights.right.inputs + weights.right.bias
    return found if extra is None else found + extra[..., 4 * self.hidden :]

  def _out(self, weights: DiagonalWeights, x: jax.Array, hidden: jax.Array) -> jax.Array:
    return x + hidden @ (weights.out * self._out_mask) + weights.out_bias

  def _along(self, states: jax.Array, gates: jax.Array) -> jax.Array:
    """The states of an LSTM that begins at the left, [N, H, W, h], of its input-to-state map."""
    num, height, _, _ = gates.shape

    def next_column(memory: Memory, gates: jax.Array) -> tuple[Memory, jax.Array]:
      seen = jnp.concatenate([_down(memory.hidden), memory.hidden], axis=-1)
      memory = next_memory(gates + seen @ states, memory.cell)
      return memory, memory.hidden

    # Before a row begins its gates are 0, without a bias, and so its memory stays 0.
    zeros = jnp.zeros((num, height, self.hidden), jnp.float32)
    columns = jnp.moveaxis(skew(gates), 2, 0)
    _, hidden = jax.lax.scan(next_column, Memory(zeros, zeros), columns)
    return unskew(jnp.moveaxis(hidden, 0, 2))

  def whole(
    self, weights: DiagonalWeights, x: jax.Array, images: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """The map after the layer, diagonal by diagonal, from either side."""
    left = self._along(weights.left.states, self._from_left(weights, x, extra))
    gates = self._from_right(weights, x, images, extra)
    right = self._along(weights.right.states, gates[:, :, ::-1])[:, :, ::-1]
    return self._out(weights, x, left + _down(right))

  def begin(self, num: int, width: int) -> tuple[jax.Array, jax.Array]:
    """The states of the row above, from the left and from the right: zeros."""
    zeros = jnp.zeros((num, width, self.hidden), jnp.float32)
    return zeros, zeros

  def above(
    self, weights: DiagonalWeights, kept: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    """The same states."""
    del weights
    return kept

  def begin_row(self, num: int) -> Memory:
    """The left-hand memory before the first pixel, of zeros."""
    zeros = jnp.zeros((num, self.hidden), jnp.float32)
    return Memory(zeros, zeros)

  def pixel(
    self,
    weights: DiagonalWeights,
    before: Memory,
    above: tuple[jax.Array, jax.Array],
    x: jax.Array,
    extra: jax.Array | None,
  ) -> tuple[Memory, jax.Array, jax.Array]:
    """The next pixel of a row, and its left-hand state."""
    left_above, right_above = above
    seen = jnp.concatenate([left_above, before.hidden], axis=-1)
    gates = self._from_left(weights, x, extra) + seen @ weights.left.states
    memory = next_memory(gates, before.cell)
    return memory, self._out(weights, x, memory.hidden + right_above), memory.hidden

  def after_row(
    self,
    weights: DiagonalWeights,
    kept: tuple[jax.Array, jax.Array],
    pixels: jax.Array,
    x: jax.Array,
    images: jax.Array,
    extra: jax.Array | None,
  ) -> tuple[jax.Array, jax.Array]:
    """The row's states: from the left as they came, from the right now that the row is whole."""
    _, above = kept
    gates = self._from_right(weights, x, images, extra)

    def next_pixel(memory: Memory, at: Any) -> tuple[Memory, jax.Array]:
      gates, above = at
      seen = jnp.concatenate([above, memory.hidden], axis=-1)
      memory = next_memory(gates + seen @ weights.right.states, memory.cell)
      return memory, memory.hidden

    at = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (gates, above))
    _, right = jax.lax.scan(next_pixel, self.begin_row(len(x)), at, reverse=True)
    return pixels, jnp.moveaxis(right, 0, 1)
