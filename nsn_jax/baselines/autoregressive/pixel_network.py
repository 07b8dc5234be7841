"""The network of a PixelRNN (van den Oord et al. 2016, arXiv:1601.06759), whole and by pixels."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax.baselines.autoregressive import masks, pixel_values
from nsn_jax.baselines.autoregressive.diagonal_lstm import DiagonalLSTMLayer
from nsn_jax.baselines.autoregressive.lstm_layer import LSTMLayer, begin_kernel
from nsn_jax.baselines.autoregressive.row_lstm import RowLSTMLayer

__all__ = ["KINDS", "Kind", "PixelNetwork", "Weights"]

Kind = Literal["row", "diagonal"]
#: Layers by their names.
KINDS: dict[str, type[LSTMLayer]] = {"row": RowLSTMLayer, "diagonal": DiagonalLSTMLayer}
#: Of the first layer, 7x7: rows above and pixels to either side that it sees.
_REACH = 3


class Weights(NamedTuple):
  """Weights of a network of h units a layer: a pytree.

  Attributes:
    first: of a 7x7 convolution under mask A, less the rows that are to come, [4, 7, C, 2h].
    first_bias: [2h].
    layers: of each LSTM.
    conditions: from the conditioning map of D features to each LSTM's gates, [D, gates]; none where
      there is no such map.
    head: at every pixel under mask B, [2h, 4h].
    head_bias: [4h].
    logits: at every pixel under mask B, [4h, 256 C].
    logits_bias: [256 C].
  """

  first: jax.Array
  first_bias: jax.Array
  layers: tuple[Any, ...]
  conditions: tuple[jax.Array, ...]
  head: jax.Array
  head_bias: jax.Array
  logits: jax.Array
  logits_bias: jax.Array


@dataclasses.dataclass(frozen=True)
class PixelNetwork:
  """A 7x7 convolution under mask A, LSTMs with the map passed around each, two layers at a pixel.

  Attributes:
    image_shape: [H, W, C].
    kind: of the LSTMs.
    hidden: h, units of an LSTM; maps have 2h features.
    num_layers: LSTMs.
    num_conditions: D, features of the conditioning map; 0 for none.
  """

  image_shape: tuple[int, int, int]
  kind: Kind
  hidden: int
  num_layers: int
  num_conditions: int = 0

  @property
  def _layer(self) -> LSTMLayer:
    return KINDS[self.kind](self.hidden, self.image_shape[-1])

  def _colours(self, num: int) -> masks.Colours:
    return masks.colours(num, self.image_shape[-1])

  @property
  def _first_mask(self) -> npt.NDArray[np.float32]:
    seen, features = self._colours(self.image_shape[-1]), self._colours(2 * self.hidden)
    return masks.window("A", _REACH + 1, 2 * _REACH + 1, seen, features)

  @property
  def _head_mask(self) -> npt.NDArray[np.float32]:
    return masks.own_pixel("B", self._colours(2 * self.hidden), self._colours(4 * self.hidden))

  @property
  def _logits_mask(self) -> npt.NDArray[np.float32]:
    values = np.repeat(self._colours(self.image_shape[-1]), pixel_values.LEVELS)
    return masks.own_pixel("B", self._colours(4 * self.hidden), values)

  def init(self, key: jax.Array) -> Weights:
    """Weights that training begins with: LeCun's normal; biases 0 but the forget gates', of 1."""
    first_key, head_key, logits_key, conditions_key, *layer_keys = jax.random.split(
      key, 4 + self.num_layers
    )
    layer, conditions = self._layer, []
    if self.num_conditions:
      every = np.ones((self.num_conditions, layer.num_gates), np.float32)
      keys = jax.random.split(conditions_key, self.num_layers)
      conditions = [begin_kernel(key, every) for key in keys]
    return Weights(
      first=begin_kernel(first_key, self._first_mask),
      first_bias=jnp.zeros(2 * self.hidden, jnp.float32),
      layers=tuple(layer.init(key) for key in layer_keys),
      conditions=tuple(conditions),
      head=begin_kernel(head_key, self._head_mask),
      head_bias=jnp.zeros(4 * self.hidden, jnp.float32),
      logits=begin_kernel(logits_key, self._logits_mask),
      logits_bias=jnp.zeros(pixel_values.LEVELS * self.image_shape[-1], jnp.float32),
    )

  def _extras(self, weights: Weights, conditions: jax.Array | None) -> tuple[Any, ...]:
    """What is added to each layer's input-to-state map; None for nothing."""
    if conditions is None:
      return (None,) * self.num_layers
    return tuple(conditions @ kernel for kernel in weights.conditions)

  def _apply_head(self, weights: Weights, x: jax.Array) -> jax.Array:
    """Logits [..., C, 256] of the last map [..., 2h]."""
    hidden = jax.nn.relu(x) @ (weights.head * self._head_mask) + weights.head_bias
    logits = jax.nn.relu(hidden) @ (weights.logits * self._logits_mask) + weights.logits_bias
    return logits.reshape(*x.shape[:-1], self.image_shape[-1], pixel_values.LEVELS)

  def logits(
    self, weights: Weights, images: jax.Array, conditions: jax.Array | None = None
  ) -> jax.Array:
    """Logits of every value, each from those before it alone.

    Args:
      weights: of the network.
      images: float32 [N, H, W, C] in [-1, 1].
      conditions: the conditioning map, float32 [N, H, W, D]; every value is given all of it.

    Returns:
      float32 [N, H, W, C, 256].
    """
    padded = jnp.pad(images, ((0, 0), (_REACH, 0), (_REACH, _REACH), (0, 0)))
    x = _conv(padded, weights.first * self._first_mask) + weights.first_bias
    extras = self._extras(weights, conditions)
    for layer_weights, extra in zip(weights.layers, extras, strict=True):
      x = self._layer.whole(layer_weights, x, images, extra)
    return self._apply_head(weights, x)

  def draw(
    self,
    key: jax.Array,
    weights: Weights,
    images: jax.Array,
    known: jax.Array,
    conditions: jax.Array | None = None,
  ) -> jax.Array:
    """Draws what is not known, value by value, each given all before it.

    A pixel's features are found once a colour. That apart it costs one pass over an image: what
    later pixels need of earlier ones is kept.

    Args:
      key: PRNG key; each value has a key of its own.
      weights: of the network.
      images: float32 [N, H, W, C] in [-1, 1]; what is not known has no part in anything.
      known: bool [H, W], or [N, H, W].
      conditions: as of `logits`.

    Returns:
      float32 [N, H, W, C] in [-1, 1]: what is known as it was.
    """
    num, height, width, channels = images.shape
    layer = self._layer
    known = jnp.broadcast_to(known, (num, height, width))
    rows = jnp.zeros((num, _REACH, width, channels), jnp.float32)
    kept = tuple(layer.begin(num, width) for _ in weights.layers)

    def next_row(before: Any, at: Any) -> tuple[Any, jax.Array]:
      rows, kept = before
      y, given, known, conditions = at
      padded = jnp.pad(rows, ((0, 0), (0, 0), (_REACH, _REACH), (0, 0)))
      above = (_conv(padded, weights.first[:-1]) + weights.first_bias)[:, 0]
      aboves = tuple(map(layer.above, weights.layers, kept))
      extras = self._extras(weights, conditions)
      row_key = jax.random.fold_in(key, y)
      row, maps, pixels = self._row(row_key, weights, given, known, (above, aboves, extras))
      kept = tuple(
        layer.after_row(w, of_rows, of_pixels, x, row, extra)
        for w, of_rows, of_pixels, x, extra in zip(
          weights.layers, kept, pixels, maps, extras, strict=True
        )
      )
      return (jnp.concatenate([rows[:, 1:], row[:, None]], axis=1), kept), row

    moved = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (images, known, conditions))
    _, drawn = jax.lax.scan(next_row, (rows, kept), (jnp.arange(height), *moved))
    return jnp.moveaxis(drawn, 0, 1)

  def _row(
    self, key: jax.Array, weights: Weights, given: jax.Array, known: jax.Array, above: Any
  ) -> tuple[jax.Array, Any, Any]:
    """Draws a row, left to right.

    Args:
      key: PRNG key.
      weights: of the network.
      given: the row, of which some pixels are known, [N, W, C].
      known: which, [N, W].
      above: what the rows above say to the first layer and to each LSTM, and what is added to
        each's input-to-state map: arrays [N, W, ...].

    Returns:
      The row, [N, W, C]; the maps before the LSTMs, [N, W, 2h] each; what the LSTMs told of pixels.
    """
    num, width, channels = given.shape
    layer = self._layer
    taps = (weights.first * self._first_mask)[-1, : _REACH + 1]  # of the row so far
    seen = jnp.zeros((num, _REACH, channels), jnp.float32)
    befores = tuple(layer.begin_row(num) for _ in weights.layers)

    def next_pixel(before: Any, at: Any) -> tuple[Any, Any]:
      seen, befores = before
      x, given, known, (above, aboves, extras) = at
      pixel = jnp.zeros_like(given)
      for colour in range(channels):
        # The last colour's features are the pixel's own: none sees the last colour.
        window = jnp.concatenate([seen, pixel[:, None]], axis=1)
        features = above + jnp.einsum("nrc,rcf->nf", window, taps)
        maps, afters, told = [], [], []
        for w, of_row, of_rows, extra in zip(weights.layers, befores, aboves, extras, strict=True):
          maps.append(features)
          after, features, of_pixel = layer.pixel(w, of_row, of_rows, features, extra)
          afters.append(after)
          told.append(of_pixel)
        logits = self._apply_head(weights, features)[:, colour]
        value_key = jax.random.fold_in(jax.random.fold_in(key, x), colour)
        drawn = pixel_values.draw(value_key, logits)
        pixel = pixel.at[:, colour].set(jnp.where(known, given[:, colour], drawn))
      window = jnp.concatenate([seen[:, 1:], pixel[:, None]], axis=1)
      return (window, tuple(afters)), (pixel, tuple(maps), tuple(told))

    moved = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (given, known, above))
    _, found = jax.lax.scan(next_pixel, (seen, befores), (jnp.arange(width), *moved))
    row, maps, told = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
    return row, maps, told


def _conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
