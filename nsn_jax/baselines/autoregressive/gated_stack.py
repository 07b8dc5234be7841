"""The layers of a gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328), whole and by pixels.

Each layer has a vertical stack, which sees the rows above, and a horizontal one, which sees the row
so far and what the vertical one says of the row above: together all pixels before a pixel, without
a blind spot.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nsn_jax import checks
from nsn_jax.baselines.autoregressive import pixel_values

__all__ = ["Condition", "GatedStack", "Head", "Layer", "LayerCondition", "Weights"]

#: Pixels from one tap to the next, of the layers after the first, over again.
_DILATIONS = (1, 2, 4)


class Layer(NamedTuple):
  """Weights of a gated layer of F channels and reach r; r + 1 taps are r above and the own row.

  Attributes:
    vertical: of the stack that sees the rows above, [r + 1, 2r + 1, F_in, 2F].
    vertical_bias: [2F].
    across: from the vertical to the horizontal stack, [2F, 2F].
    horizontal: of the stack that sees the row so far, [r + 1, F_in, 2F].
    horizontal_bias: [2F].
    out: back to F channels, [F, F].
    out_bias: [F].
  """

  vertical: jax.Array
  vertical_bias: jax.Array
  across: jax.Array
  horizontal: jax.Array
  horizontal_bias: jax.Array
  out: jax.Array
  out_bias: jax.Array


class Head(NamedTuple):
  """Two dense layers at every pixel, from F channels to 256 logits."""

  hidden: jax.Array
  hidden_bias: jax.Array
  logits: jax.Array
  logits_bias: jax.Array

  def apply(self, x: jax.Array) -> jax.Array:
    """Logits [..., 256] of features [..., F]."""
    hidden = jax.nn.relu(jax.nn.relu(x) @ self.hidden + self.hidden_bias)
    return hidden @ self.logits + self.logits_bias


#: Of a whole stack.
Weights = tuple[tuple[Layer, ...], Head]


class LayerCondition(NamedTuple):
  """V of Eq 4 of the paper, of a layer's two gates: from D values, [D, 2F] each."""

  vertical: jax.Array
  horizontal: jax.Array


class Condition(NamedTuple):
  """What every pixel is given beside the pixels before it.

  Attributes:
    weights: a layer each.
    values: h of Eq 4, the same at all pixels, [N, 1, 1, D], or s of Eq 5, [N, H, W, D].
  """

  weights: tuple[LayerCondition, ...]
  values: jax.Array

  @classmethod
  def everywhere(cls, weights: tuple[LayerCondition, ...], values: jax.Array) -> "Condition":
    """The same values [N, D] at all pixels."""
    return cls(weights, values[:, None, None])

  def at_row(self, y: jax.Array) -> "Condition":
    """Of a row: values [N, 1 or W, D]."""
    row = jnp.clip(y, 0, self.values.shape[1] - 1)
    values = jax.lax.dynamic_index_in_dim(self.values, row, axis=1, keepdims=False)
    return self._replace(values=values)


def _normal(key: jax.Array, *shape: int) -> jax.Array:
  """LeCun's normal weights: inputs along all axes but the last."""
  fan_in = functools.reduce(lambda a, b: a * b, shape[:-1])
  return jax.random.normal(key, shape, jnp.float32) / jnp.sqrt(float(fan_in))


def _gate(x: jax.Array, given: jax.Array | None) -> jax.Array:
  """Eq 2 of the paper, or Eq 4 and 5 of what a condition adds: 2F channels to F."""
  a, b = jnp.split(x if given is None else x + given, 2, axis=-1)
  return jnp.tanh(a) * jax.nn.sigmoid(b)


def _dilation(index: int) -> int:
  """Pixels from one of a layer's taps to the next."""
  return 1 if index == 0 else _DILATIONS[(index - 1) % len(_DILATIONS)]


def _span(kernel: jax.Array, index: int) -> int:
  """Rows, or pixels of a row, from the first to the last of a layer's taps."""
  return (kernel.shape[0] - 1) * _dilation(index) + 1


def _conv(x: jax.Array, kernel: jax.Array, dilation: tuple[int, int]) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (1, 1),
    "VALID",
    rhs_dilation=dilation,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


@dataclasses.dataclass(frozen=True)
class GatedStack:
  """Layers and head for grey images; weights are given to each call.

  Attributes:
    image_shape: [H, W, 1].
    width: F, channels of the layers.
    num_layers: gated layers, the first of 7x7 and the others of 3x3 windows, dilated by 1, 2, 4 and
      so on from the start.

  Raises:
    ValueError: for values that are not as above.
  """

  image_shape: tuple[int, int, int]
  width: int
  num_layers: int

  def __post_init__(self) -> None:
    if self.image_shape[-1] != 1:
      raise ValueError(
        f"image_shape: expected grey images, [H, W, 1], got {list(self.image_shape)}"
      )
    for name in ("width", "num_layers"):
      checks.integer(name, getattr(self, name), 1)

  def init(self, key: jax.Array) -> Weights:
    """Weights that training begins with: LeCun's normal, biases of 0."""
    f = self.width
    *layer_keys, head_key = jax.random.split(key, self.num_layers + 1)
    layers = []
    for index, layer_key in enumerate(layer_keys):
      inputs, reach = (1, 3) if index == 0 else (f, 1)
      keys = jax.random.split(layer_key, 4)
      layers.append(
        Layer(
          _normal(keys[0], reach + 1, 2 * reach + 1, inputs, 2 * f),
          jnp.zeros(2 * f, jnp.float32),
          _normal(keys[1], 2 * f, 2 * f),
          _normal(keys[2], reach + 1, inputs, 2 * f),
          jnp.zeros(2 * f, jnp.float32),
          _normal(keys[3], f, f),
          jnp.zeros(f, jnp.float32),
        )
      )
    keys = jax.random.split(head_key)
    head = Head(
      _normal(keys[0], f, 2 * f),
      jnp.zeros(2 * f, jnp.float32),
      _normal(keys[1], 2 * f, pixel_values.LEVELS),
      jnp.zeros(pixel_values.LEVELS, jnp.float32),
    )
    return tuple(layers), head

  def init_condition(self, key: jax.Array, size: int) -> tuple[LayerCondition, ...]:
    """Weights of a condition of D = `size` values that training begins with: LeCun's normal."""
    keys = jax.random.split(key, (self.num_layers, 2))
    shape = (size, 2 * self.width)
    return tuple(LayerCondition(*(_normal(k, *shape) for k in pair)) for pair in keys)

  def _gates(self, condition: Condition | None) -> list[tuple[jax.Array | None, jax.Array | None]]:
    """What a condition adds in each layer's vertical and horizontal gate; None for nothing."""
    if condition is None:
      return [(None, None)] * self.num_layers
    values = condition.values
    return [(values @ layer.vertical, values @ layer.horizontal) for layer in condition.weights]

  def logits(
    self, weights: Weights, images: jax.Array, condition: Condition | None = None
  ) -> jax.Array:
    """Logits of every pixel's value, each from the pixels before it and the condition alone.

    Args:
      weights: of the network.
      images: float32 [N, H, W, 1] in [-1, 1].
      condition: of these images; None for none.

    Returns:
      float32 [N, H, W, 256].
    """
    layers, head = weights
    gates = self._gates(condition)
    vertical = horizontal = images
    for index, (layer, (in_vertical, in_horizontal)) in enumerate(zip(layers, gates, strict=True)):
      d = _dilation(index)
      reach = _span(layer.vertical, index) - 1
      padded = jnp.pad(vertical, ((0, 0), (reach, 0), (reach, reach), (0, 0)))
      found = _conv(padded, layer.vertical, (d, d)) + layer.vertical_bias
      # A row's horizontal stack sees the vertical one of the row above.
      above = jnp.pad(found, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]
      # The first layer leaves out the pixel itself.
      first = int(index == 0)
      row = jnp.pad(horizontal, ((0, 0), (0, 0), (reach + first, 0), (0, 0)))
      row = _conv(row[:, :, : row.shape[2] - first], layer.horizontal[None], (1, d))
      gated = _gate(row + layer.horizontal_bias + above @ layer.across, in_horizontal)
      changed = gated @ layer.out + layer.out_bias
      horizontal = changed if first else horizontal + changed
      vertical = _gate(found, in_vertical)
    return head.apply(horizontal)

  def draw(
    self,
    key: jax.Array,
    weights: Weights,
    images: jax.Array,
    known: jax.Array,
    condition: Condition | None = None,
  ) -> jax.Array:
    """Draws what is not known pixel by pixel, at the cost of one pass: what is needed is kept.

    Args:
      key: PRNG key; each pixel has a key of its own.
      weights: of the network.
      images: float32 [N, H, W, 1] in [-1, 1]; what is not known has no part in anything.
      known: bool [H, W], or [N, H, W].
      condition: of these images; None for none.

    Returns:
      float32 [N, H, W, 1] in [-1, 1]: what is known as it was.
    """
    num_samples, height, width, _ = images.shape
    known = jnp.broadcast_to(known, (num_samples, height, width))
    layers, _ = weights
    channels = [1, *(self.width for _ in layers[1:])]
    # Rows of each layer's input that the next row still sees, its own last.
    kept = tuple(
      jnp.zeros((num_samples, _span(layer.vertical, index), width, c), jnp.float32)
      for index, (layer, c) in enumerate(zip(layers, channels, strict=True))
    )
    zero = tuple(jnp.zeros((num_samples, width, 2 * self.width), jnp.float32) for _ in layers)

    def next_row(kept: Any, at: Any) -> tuple[Any, jax.Array]:
      y, *begun = at
      # The vertical stack is a row behind.
      given = [None if condition is None else condition.at_row(row) for row in (y - 1, y)]
      above, after = self._vertical(weights, kept, given[0])
      # Nothing is above the first row, not even a bias.
      above, kept = jax.tree.map(
        lambda new, old: jnp.where(y > 0, new, old), (above, after), (zero, kept)
      )
      row = self._row(jax.random.fold_in(key, y), weights, above, begun, given[1])
      # The newest row of the image is the first layer's input; the others follow from it.
      kept = (jnp.concatenate([kept[0][:, 1:], row[:, None]], axis=1), *kept[1:])
      return kept, row

    moved = (jnp.moveaxis(x, 1, 0) for x in (images, known))
    _, rows = jax.lax.scan(next_row, kept, (jnp.arange(height), *moved))
    return jnp.moveaxis(rows, 0, 1)

  def _vertical(
    self, weights: Weights, kept: Any, condition: Condition | None
  ) -> tuple[tuple[jax.Array, ...], Any]:
    """What the vertical stack says to the next row, a layer [N, W, 2F]; the stacks' rows after it.

    The first layer's rows hold the image's last row already, the others do not hold its yet.
    """
    layers, _ = weights
    gates = self._gates(condition)
    above, after = [], [kept[0]]
    for index, layer in enumerate(layers):
      d = _dilation(index)
      reach = _span(layer.vertical, index) - 1
      padded = jnp.pad(after[index], ((0, 0), (0, 0), (reach, reach), (0, 0)))
      found = (_conv(padded, layer.vertical, (d, d)) + layer.vertical_bias)[:, 0]
      above.append(found @ layer.across)
      if index + 1 < len(layers):
        gated = _gate(found, gates[index][0])
        after.append(jnp.concatenate([kept[index + 1][:, 1:], gated[:, None]], axis=1))
    return tuple(above), tuple(after)

  def _row(
    self,
    key: jax.Array,
    weights: Weights,
    above: tuple[jax.Array, ...],
    begun: Sequence[jax.Array],
    condition: Condition | None,
  ) -> jax.Array:
    """Draws what is not known of a row, [N, W, 1] and bool [N, W], left to right: [N, W, 1]."""
    layers, head = weights
    num_samples = len(begun[0])
    kept = tuple(
      jnp.zeros(
        (num_samples, _span(layer.horizontal, index), layer.horizontal.shape[1]), jnp.float32
      )
      for index, layer in enumerate(layers)
    )
    given = [
      None if gate is None else jnp.broadcast_to(gate, said.shape)
      for (_, gate), said in zip(self._gates(condition), above, strict=True)
    ]

    def next_pixel(kept: Any, at: Any) -> tuple[Any, jax.Array]:
      x, above, given, pixel, known = at
      after, horizontal = [kept[0]], jnp.zeros((num_samples, self.width), jnp.float32)
      for index, layer in enumerate(layers):
        row = jnp.einsum("nrf,rfg->ng", after[index][:, :: _dilation(index)], layer.horizontal)
        gated = _gate(row + layer.horizontal_bias + above[index], given[index])
        changed = gated @ layer.out + layer.out_bias
        horizontal += changed
        if index + 1 < len(layers):
          after.append(jnp.concatenate([kept[index + 1][:, 1:], horizontal[:, None]], axis=1))
      drawn = pixel_values.draw(jax.random.fold_in(key, x), head.apply(horizontal))[:, None]
      pixel = jnp.where(known[:, None], pixel, drawn)
      after[0] = jnp.concatenate([kept[0][:, 1:], pixel[:, None]], axis=1)
      return tuple(after), pixel

    positions = jnp.arange(self.image_shape[1])
    per_pixel = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), (above, given, *begun))
    _, pixels = jax.lax.scan(next_pixel, kept, (positions, *per_pixel))
    return jnp.moveaxis(pixels, 0, 1)
