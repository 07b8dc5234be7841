"""The layers of a gated PixelCNN: against loops over pixels and taps, and drawn pixel by pixel."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.autoregressive.gated_stack import Condition, GatedStack
from tests.baselines.helpers import KEY, noisy

_SHAPE = (4, 5, 1)
#: Dilations of 1, 1 and 2.
_STACK = GatedStack(_SHAPE, 4, 3)
_SIZE = 2


@pytest.fixture(scope="module")
def weights() -> tuple:
  """Of the layers and of a condition."""
  shapes = (
    jax.eval_shape(_STACK.init, KEY),
    jax.eval_shape(lambda key: _STACK.init_condition(key, _SIZE), KEY),
  )
  return noisy(shapes)


def _gate(x: np.ndarray) -> np.ndarray:
  half = len(x) // 2
  return np.tanh(x[:half]) / (1 + np.exp(-x[half:]))


def _logits(weights: tuple, image: np.ndarray, given: np.ndarray) -> np.ndarray:
  """Eq 4 and 5 of the paper, pixel by pixel: an image [H, W, 1] and a map [H, W, D]."""
  (layers, head), conditions = jax.tree.map(lambda x: np.asarray(x, np.float64), weights)
  height, width, _ = image.shape
  vertical = horizontal = image
  for index, (layer, condition) in enumerate(zip(layers, conditions, strict=True)):
    dilation, reach = ((1, 3), (1, 1), (2, 1))[index]
    size = layer.vertical.shape[-1]
    found = np.zeros((height, width, size))
    row = np.zeros((height, width, size))
    for y in range(height):
      for x in range(width):
        found[y, x] = layer.vertical_bias
        row[y, x] = layer.horizontal_bias
        for up in range(reach + 1):
          for aside in range(-reach, reach + 1):
            there = y - up * dilation, x + aside * dilation
            if there[0] >= 0 and 0 <= there[1] < width:
              found[y, x] += vertical[there] @ layer.vertical[reach - up, reach + aside]
        for back in range(reach + 1):
          # The first layer's last tap is the pixel before.
          at = x - back * dilation - (index == 0)
          if at >= 0:
            row[y, x] += horizontal[y, at] @ layer.horizontal[reach - back]
    gated = np.zeros((height, width, size // 2))
    for y in range(height):
      for x in range(width):
        above = found[y - 1, x] @ layer.across if y else 0
        gated[y, x] = _gate(row[y, x] + above + given[y, x] @ condition.horizontal)
    vertical = np.array(
      [
        [_gate(found[y, x] + given[y, x] @ condition.vertical) for x in range(width)]
        for y in range(height)
      ]
    )
    horizontal = gated @ layer.out + layer.out_bias + (horizontal if index else 0)
  hidden = np.maximum(np.maximum(horizontal, 0) @ head.hidden + head.hidden_bias, 0)
  return hidden @ head.logits + head.logits_bias


@pytest.mark.parametrize("is_map", [False, True])
def test_the_whole_pass_is_the_papers(weights, is_map):
  images = np.random.default_rng(0).uniform(-1, 1, (2, *_SHAPE))
  given = np.random.default_rng(1).normal(size=(2, *((4, 5) if is_map else (1, 1)), _SIZE))
  condition = Condition(weights[1], jnp.asarray(given, jnp.float32))
  found = jax.jit(_STACK.logits)(weights[0], jnp.asarray(images, jnp.float32), condition)
  given = np.broadcast_to(given, (2, 4, 5, _SIZE))
  for image, values, logits in zip(images, given, found, strict=True):
    # Sums of some thirty float32 products of about 1.
    np.testing.assert_allclose(logits, _logits(weights, image, values), atol=2e-5)


def test_no_condition_is_one_of_zeros(weights):
  images = jax.random.uniform(KEY, (2, *_SHAPE), minval=-1.0)
  logits = jax.jit(_STACK.logits)
  values = jax.random.normal(KEY, (2, _SIZE))
  none = logits(weights[0], images)
  zero = jax.tree.map(jnp.zeros_like, weights[1])
  found = logits(weights[0], images, Condition.everywhere(zero, values))
  np.testing.assert_allclose(found, none, atol=1e-6)  # The same sums, but for their order.
  given = logits(weights[0], images, Condition.everywhere(weights[1], values))
  assert (np.abs(given - none).max(axis=-1) > 1e-3).all()


@pytest.mark.parametrize("is_map", [False, True])
def test_a_drawn_pixel_has_the_logits_of_the_whole_pass(weights, is_map):
  stack = dataclasses.replace(_STACK, num_layers=2)
  layers, head = weights[0]
  # Far apart, so that a draw tells them from others.
  head = head._replace(logits=10 * head.logits)
  # Of each image its own.
  values = jax.random.normal(KEY, (3, *((4, 5) if is_map else (1, 1)), _SIZE)) * 3
  condition = Condition(weights[1][:2], values)
  blank = pixel_values.nothing_known(3, stack.image_shape)
  drawn = jax.jit(stack.draw)(KEY, (layers[:2], head), *blank, condition)
  logits = jax.jit(stack.logits)((layers[:2], head), drawn, condition)
  keys = jax.vmap(lambda y, x: jax.random.fold_in(jax.random.fold_in(KEY, y), x), in_axes=(0, 0))(
    *np.divmod(np.arange(20), 5)
  )
  # The same noise on the same logits: the same pixel, but for a tie within rounding.
  values = jax.vmap(lambda key, at: jax.random.categorical(key, at))(
    keys, jnp.moveaxis(logits.reshape(3, 20, 256), 1, 0)
  )
  np.testing.assert_allclose(
    np.asarray(drawn).reshape(3, 20), np.asarray(values).T / 127.5 - 1, atol=1e-6
  )
  assert len(np.unique(drawn)) > 10
