"""A PixelRNN by loops over pixels, in plain numpy and float64."""

import jax
import numpy as np


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _lstm(gates, cell):
  """Output, forget, input and content gates of h units each."""
  output, forget, entry, content = np.split(gates, 4)
  cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(content)
  return _sigmoid(output) * np.tanh(cell), cell


def _first(weights, image, colours):
  """The 7x7 convolution: rows above, pixels to the left, and of the own pixel earlier colours."""
  height, width, channels = image.shape
  found = np.zeros((height, width, len(weights.first_bias)))
  for y, x, f in np.ndindex(found.shape):
    found[y, x, f] = weights.first_bias[f]
    for dy, dx, c in np.ndindex(4, 7, channels):
      at = y + dy - 3, x + dx - 3
      is_before = dy < 3 or dx < 3 or (dx == 3 and c < colours[f])
      if is_before and at[0] >= 0 and 0 <= at[1] < width:
        found[y, x, f] += image[at][c] * weights.first[dy, dx, c, f]
  return found


def _seen(kernel, inputs, outputs):
  """The kernel without its ways from later colours to earlier ones."""
  kernel = kernel.copy()
  for i, o in np.ndindex(kernel.shape):
    if inputs[i] > outputs[o]:
      kernel[i, o] = 0
  return kernel


def _row(weights, x, image, extra, features, units):
  height, width, _ = x.shape
  hidden = np.zeros((height, width, len(units)))
  cell = hidden.copy()
  zeros = np.zeros(len(units))
  gates_of = np.concatenate([units] * 4)
  for i, j in np.ndindex(height, width):
    gates = weights.bias + extra[i, j] + x[i, j] @ _seen(weights.inputs[1], features, gates_of)
    if j:
      gates = gates + x[i, j - 1] @ weights.inputs[0]
    for tap, kernel in zip((-1, 0, 1), np.split(weights.states, 3), strict=True):
      if i and 0 <= j + tap < width:
        gates = gates + hidden[i - 1, j + tap] @ kernel
    hidden[i, j], cell[i, j] = _lstm(gates, cell[i - 1, j] if i else zeros)
  return hidden


def _diagonal(weights, x, image, extra, features, units):
  height, width, _ = x.shape
  half = extra.shape[-1] // 2
  gates_of = np.concatenate([units] * 4)
  found = np.zeros((height, width, len(units)))
  for way in (1, -1):
    direction = weights.left if way == 1 else weights.right
    told = extra[..., :half] if way == 1 else extra[..., half:]
    hidden = np.zeros((height, width, len(units)))
    cell = hidden.copy()
    zeros = np.zeros(len(units))
    for i in range(height):
      for j in range(width)[::way]:
        # The pixel before this one in the row, as the LSTM goes.
        is_begun = 0 <= j - way < width
        above = hidden[i - 1, j] if i else zeros
        before = hidden[i, j - way] if is_begun else zeros
        gates = np.concatenate([above, before]) @ direction.states + direction.bias + told[i, j]
        if way == 1:
          gates = gates + x[i, j] @ _seen(direction.inputs, features, gates_of)
        else:
          gates = gates + np.concatenate([x[i, j], image[i, j]]) @ direction.inputs
        hidden[i, j], cell[i, j] = _lstm(gates, cell[i, j - way] if is_begun else zeros)
    if way == 1:
      found += hidden
    else:
      found[1:] += hidden[:-1]
  return found


def logits(network, weights, image, conditions=None):
  """Logits [H, W, C, 256] of an image [H, W, C], given a map [H, W, D]."""
  weights = jax.tree.map(lambda x: np.asarray(x, np.float64), weights)
  image = np.asarray(image, np.float64)
  channels = image.shape[-1]
  features, units, last = (np.arange(n * network.hidden) % channels for n in (2, 1, 4))
  x = _first(weights, image, features)
  states = {"row": _row, "diagonal": _diagonal}[network.kind]
  for index, layer in enumerate(weights.layers):
    number = (4 if network.kind == "row" else 8) * network.hidden
    extra = np.zeros((*image.shape[:2], number))
    if conditions is not None:
      extra = np.asarray(conditions, np.float64) @ weights.conditions[index]
    hidden = states(layer, x, image, extra, features, units)
    x = x + hidden @ _seen(layer.out, units, features) + layer.out_bias
  x = np.maximum(x, 0) @ _seen(weights.head, features, last) + weights.head_bias
  values = np.repeat(np.arange(channels), 256)
  found = np.maximum(x, 0) @ _seen(weights.logits, last, values) + weights.logits_bias
  return found.reshape(*image.shape, 256)
