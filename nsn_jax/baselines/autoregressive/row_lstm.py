"""The Row LSTM of PixelRNN (van den Oord et al. 2016, arXiv:1601.06759, section 3.1)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax.baselines.autoregressive import masks
from nsn_jax.baselines.autoregressive.lstm_layer import (
  LSTMLayer,
  Memory,
  begin_bias,
  begin_kernel,
  next_memory,
)

__all__ = ["RowLSTMLayer", "RowWeights"]


class RowWeights(NamedTuple):
  """Weights of a Row LSTM of h units.

  Attributes:
    inputs: from the map's pixel before and from its own, under mask B, to gates, [2, 2h, 4h].
    states: from the row above, the pixels left above, above and right above, to gates, [3h, 4h].
    bias: of gates, [4h].
    out: back to the map, under mask B, [h, 2h].
    out_bias: [2h].
  """

  inputs: jax.Array
  states: jax.Array
  bias: jax.Array
  out: jax.Array
  out_bias: jax.Array


class RowLSTMLayer(LSTMLayer):
  """An LSTM from row to row: a pixel's state is of the three states above it and of its inputs.

  The context of a pixel is a triangle above it, which widens by a pixel a row to either side.
  """

  @property
  def num_gates(self) -> int:
    """Four gates."""
    return 4 * self.hidden

  @property
  def _mask(self) -> np.ndarray:
    """Of inputs: a window of three pixels, less the one that is to come."""
    return masks.window("B", 1, 3, self._features, self._gates)[0, :2]

  def init(self, key: jax.Array) -> RowWeights:
    """LeCun's normal weights; biases 0 but the forget gate's, of 1."""
    inputs_key, states_key, out_key = jax.random.split(key, 3)
    return RowWeights(
      begin_kernel(inputs_key, self._mask),
      begin_kernel(states_key, np.ones((3 * self.hidden, 4 * self.hidden), np.float32)),
      begin_bias(self.hidden),
      begin_kernel(out_key, self._out_mask),
      jnp.zeros(self.features, jnp.float32),
    )

  def _from_inputs(
    self, weights: RowWeights, before: jax.Array, x: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """The input-to-state map, of pixels and of those left of them."""
    kernel = weights.inputs * self._mask
    found = before @ kernel[0] + x @ kernel[1] + weights.bias
    return found if extra is None else found + extra

  def _from_states(self, weights: RowWeights, hidden: jax.Array) -> jax.Array:
    """The state-to-state map, of the states of the row above: [N, W, h] to [N, W, 4h]."""
    width = hidden.shape[1]
    padded = jnp.pad(hidden, ((0, 0), (1, 1), (0, 0)))
    taps = [padded[:, tap : tap + width] for tap in range(3)]
    return jnp.concatenate(taps, axis=-1) @ weights.states

  def _out(self, weights: RowWeights, x: jax.Array, hidden: jax.Array) -> jax.Array:
    return x + hidden @ (weights.out * self._out_mask) + weights.out_bias

  def whole(
    self, weights: RowWeights, x: jax.Array, images: jax.Array, extra: jax.Array | None
  ) -> jax.Array:
    """The map after the layer, row by row. Of the images it sees nothing but by `x`."""
    num, _, width, _ = x.shape
    before = jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
    gates = jnp.moveaxis(self._from_inputs(weights, before, x, extra), 1, 0)

    def next_row(memory: Memory, gates: jax.Array) -> tuple[Memory, jax.Array]:
      memory = next_memory(gates + self._from_states(weights, memory.hidden), memory.cell)
      return memory, memory.hidden

    _, hidden = jax.lax.scan(next_row, self.begin(num, width), gates)
    return self._out(weights, x, jnp.moveaxis(hidden, 0, 1))

  def begin(self, num: int, width: int) -> Memory:
    """The memory of the row above, of zeros."""
    zeros = jnp.zeros((num, width, self.hidden), jnp.float32)
    return Memory(zeros, zeros)

  def above(self, weights: RowWeights, kept: Memory) -> tuple[jax.Array, jax.Array]:
    """The state-to-state map and the cells of the row above."""
    return self._from_states(weights, kept.hidden), kept.cell

  def begin_row(self, num: int) -> jax.Array:
    """The map's pixel before, of zeros."""
    return jnp.zeros((num, self.features), jnp.float32)

  def pixel(
    self, weights: RowWeights, before: jax.Array, above: Any, x: jax.Array, extra: jax.Array | None
  ) -> tuple[jax.Array, jax.Array, Memory]:
    """The next pixel of a row, and its memory."""
    from_states, cell = above
    memory = next_memory(self._from_inputs(weights, before, x, extra) + from_states, cell)
    return x, self._out(weights, x, memory.hidden), memory

  def after_row(
    self,
    weights: RowWeights,
    kept: Memory,
    pixels: Memory,
    x: jax.Array,
    images: jax.Array,
    extra: jax.Array | None,
  ) -> Memory:
    """The memory of the row's pixels."""
    del weights, kept, x, images, extra
    return pixels
