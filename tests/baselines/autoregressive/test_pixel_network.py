"""PixelRNN's network: by loops in numpy, what each value depends on, drawing beside the pass."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.baselines.autoregressive import masks
from nsn_jax.baselines.autoregressive.diagonal_lstm import skew, unskew
from nsn_jax.baselines.autoregressive.pixel_network import PixelNetwork, Weights
from tests.baselines.autoregressive import by_loops
from tests.baselines.helpers import KEY, noisy

# Wide, so that a row LSTM's triangle ends within, and a window of the first layer, too.
_HEIGHT, _WIDTH, _CHANNELS = 3, 11, 2
_SHAPE = (_HEIGHT, _WIDTH, _CHANNELS)
_LAYERS, _CONDITIONS = 2, 3


class Made(NamedTuple):
  """A network of two layers, weights none of which is 0, and programs."""

  network: PixelNetwork
  weights: Weights
  images: jax.Array
  conditions: jax.Array
  logits: Callable[..., jax.Array]


@pytest.fixture(scope="module", params=["row", "diagonal"])
def made(request) -> Made:
  """Compiled once for all tests: it takes seconds."""
  network = PixelNetwork(_SHAPE, request.param, 4, _LAYERS, _CONDITIONS)
  weights = noisy(jax.eval_shape(network.init, KEY))
  rng = np.random.default_rng(1)
  images = jnp.asarray(rng.uniform(-1, 1, (2, *_SHAPE)), jnp.float32)
  conditions = jnp.asarray(rng.normal(size=(2, _HEIGHT, _WIDTH, _CONDITIONS)), jnp.float32)
  return Made(network, weights, images, conditions, jax.jit(network.logits))


def test_logits_equal_loops(made):
  found = made.logits(made.weights, made.images, made.conditions)
  for index in range(2):
    expected = by_loops.logits(
      made.network, made.weights, made.images[index], made.conditions[index]
    )
    # float32 of sums of a hundred products, through an LSTM of eleven steps.
    np.testing.assert_allclose(found[index], expected, rtol=1e-3, atol=2e-5)
  assert np.ptp(expected) > 1


def _inside(positions: set[tuple[int, int]]) -> set[tuple[int, int]]:
  return {(y, x) for y, x in positions if 0 <= y < _HEIGHT and 0 <= x < _WIDTH}


def _context(kind: str, y: int, x: int, num_layers: int = _LAYERS) -> set[tuple[int, int]]:
  """Pixels before this one that its value is to depend on, by the paper's drawings."""
  if kind == "diagonal":
    return {at for at in np.ndindex(_HEIGHT, _WIDTH) if at < (y, x)}
  if num_layers == 0:
    above = {(y - dy, x + dx) for dy in (1, 2, 3) for dx in range(-3, 4)}
    return _inside(above | {(y, x - dx) for dx in (1, 2, 3)})
  # A triangle of states, each of which has two pixels of the map below as its input.
  states = {(y - up, x + dx) for up in range(y + 1) for dx in range(-up, up + 1)}
  inputs = _inside({(i, j - dx) for i, j in _inside(states) for dx in (0, 1)})
  return set().union(*(_context(kind, *at, num_layers - 1) for at in inputs))


def test_each_value_depends_on_its_context_and_nothing_else(made):
  mix = jnp.asarray(np.random.default_rng(2).normal(size=256), jnp.float32)
  # No rectifier is shut, which would hide what lies behind it.
  layers = tuple(layer._replace(out_bias=layer.out_bias + 5) for layer in made.weights.layers)
  weights = made.weights._replace(layers=layers, head_bias=made.weights.head_bias + 5)

  def mixed(image):
    return (made.network.logits(weights, image[None], made.conditions[:1]) @ mix)[0]

  slopes = np.asarray(jax.jit(jax.jacfwd(mixed))(made.images[0]))
  assert np.isfinite(slopes).all()
  for y, x, colour in np.ndindex(_SHAPE):
    expected = np.zeros(_SHAPE, bool)
    for at in _context(made.network.kind, y, x):
      expected[at] = True  # of all colours
    expected[y, x, :colour] = True
    np.testing.assert_array_equal(slopes[y, x, colour] != 0, expected, err_msg=f"{y}, {x}")


def test_drawn_values_have_the_logits_of_the_whole_pass(made):
  known = np.zeros((_HEIGHT, _WIDTH), bool)
  blank = jnp.full((2, *_SHAPE), jnp.nan, jnp.float32)
  # Large weights: a draw by logits that are a little other ones is mostly the same.
  weights = jax.tree.map(lambda x: 3 * x, made.weights)
  drawn = jax.jit(made.network.draw)(KEY, weights, blank, known, made.conditions)
  logits = made.logits(weights, drawn, made.conditions)
  for y, x, colour in np.ndindex(_SHAPE):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(KEY, y), x), colour)
    # The same noise on the same logits: the same value, but for a tie within rounding.
    values = np.asarray(jax.random.categorical(key, logits[:, y, x, colour]))
    np.testing.assert_allclose(drawn[:, y, x, colour], values / 127.5 - 1, atol=1e-6)
  assert len(np.unique(drawn)) > 30


def test_a_map_is_skewed_and_back():
  x = np.arange(1, 7).reshape(1, 2, 3, 1)
  found = skew(jnp.asarray(x))
  assert found[0, :, :, 0].tolist() == [[1, 2, 3, 0], [0, 4, 5, 6]]
  for height, width in ((4, 2), (1, 3)):
    x = np.random.default_rng(0).normal(size=(2, height, width, 2)).astype(np.float32)
    np.testing.assert_array_equal(unskew(skew(x)), x)


def test_masks_by_hand():
  rgb = masks.colours(3, 3)
  assert masks.colours(5, 3).tolist() == [0, 1, 2, 0, 1]
  # Inputs are rows: red is seen by green and blue, green by blue.
  assert masks.own_pixel("A", rgb, rgb).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
  assert masks.own_pixel("B", rgb, rgb).tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
  grey = masks.colours(1, 1)
  found = {kind: masks.window(kind, 2, 3, grey, grey)[..., 0, 0].tolist() for kind in "AB"}
  assert found == {"A": [[1, 1, 1], [1, 0, 0]], "B": [[1, 1, 1], [1, 1, 0]]}
  coloured = masks.window("A", 2, 3, rgb, rgb)
  assert coloured[-1, 1].tolist() == masks.own_pixel("A", rgb, rgb).tolist()
  assert coloured[0].all() and coloured[1, 0].all() and not coloured[1, 2].any()
