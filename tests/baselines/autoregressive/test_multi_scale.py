"""Multi-Scale PixelRNN: by loops in numpy, that densities sum to one, what is drawn when."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from tests.baselines.autoregressive import by_loops
from tests.baselines.helpers import KEY, empty, noisy, shape_of, small

_SHAPE = shape_of("multiscale")
_HEIGHT, _WIDTH, _ = _SHAPE
#: Pixels of the small image.
_SMALL = np.zeros(_SHAPE[:2], bool)
_SMALL[::2, ::2] = True


class Made(NamedTuple):
  """A model, parameters none of which is 0, and its programs."""

  model: baselines.MultiScale
  params: baselines.MultiScaleParams
  value_bits: Callable[..., jax.Array]
  draw: Callable[..., jax.Array]


@pytest.fixture(scope="module")
def made() -> Made:
  """Compiled once for all tests: it takes seconds."""
  model = small("multiscale")
  # Large weights: a draw by logits that are a little other ones is mostly the same.
  params = noisy(empty(model).params, 1.0)
  return Made(model, params, jax.jit(model.value_bits), jax.jit(model.draw))


def _enlarged(params, small, height, width):
  """The small image's map by loops: a convolution; each pixel adds 4x4 to a map twice as large."""
  params = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
  conv, doubling = params["Conv_0"], params["Doubling_0"]
  rows, columns, _ = small.shape
  x = np.zeros((rows, columns, conv["bias"].size)) + conv["bias"]
  for i, j, di, dj in np.ndindex(rows, columns, 3, 3):
    at = i + di - 1, j + dj - 1
    if at[0] in range(rows) and at[1] in range(columns):
      x[i, j] += small[at] @ conv["kernel"][di, dj]
  x = np.maximum(x, 0)
  y = np.zeros((height, width, doubling["bias"].size)) + doubling["bias"]
  for i, j, di, dj in np.ndindex(rows, columns, 4, 4):
    at = 2 * i + di - 1, 2 * j + dj - 1
    if at[0] in range(height) and at[1] in range(width):
      y[at] += x[i, j] @ doubling["kernel"][:, di, dj]
  return np.maximum(y, 0)


def _bits(logits, pixels):
  """Bits of each value, of logits [H, W, 256] and pixels [H, W]."""
  values = np.rint((np.asarray(pixels, np.float64) + 1) * 127.5).astype(int)
  own = np.take_along_axis(logits, values[..., None], axis=-1)[..., 0]
  return (np.log(np.exp(logits).sum(axis=-1)) - own) / np.log(2)


def _logits(made, image):
  """By loops: of each value of the small image, [2, 2, 256], and of the image, [3, 4, 256]."""
  model, params = made.model, made.params
  image = np.asarray(image)
  small = image[::2, ::2]
  conditions = _enlarged(params.upsampling, small, _HEIGHT, _WIDTH)
  of_small = by_loops.logits(model._small, params.small, small)
  return of_small[:, :, 0], by_loops.logits(model._large, params.large, image, conditions)[:, :, 0]


def test_bits_equal_loops(made):
  images = np.random.default_rng(0).integers(0, 256, (2, *_SHAPE)) / np.float32(127.5) - 1
  found = made.value_bits(made.params, images)
  for index, image in enumerate(images[..., 0]):
    of_small, logits = _logits(made, images[index])
    expected = _bits(logits, image)
    expected[::2, ::2] = _bits(of_small, image[::2, ::2])
    # float32 of some hundred products.
    np.testing.assert_allclose(found[index, :, :, 0], expected, rtol=1e-4)


def test_densities_sum_to_one():
  # Two pixels, the first of which is the small image.
  model = baselines.make("multiscale", (1, 2, 1), hidden=2, num_layers=1, factor=2)
  params = noisy(empty(model).params)
  first, second = np.meshgrid(np.arange(0, 256, 64), np.arange(256), indexing="ij")
  images = np.stack([first, second], axis=-1).reshape(-1, 1, 2, 1) / np.float32(127.5) - 1
  found = np.asarray(jax.jit(model.value_bits)(params, images)).reshape(4, 256, 2)
  odds = np.exp2(-found.astype(np.float64))
  # Over all values of the second pixel the image's density is the first one's.
  np.testing.assert_allclose(odds.prod(axis=2).sum(axis=1), odds[:, 0, 0], rtol=1e-5)
  # It depends on the first, and the first one's on nothing.
  assert np.abs(np.diff(found[:, :, 1], axis=0)).min() > 1e-6
  assert (found[:, :, 0] == found[:, :1, 0]).all()


def test_what_values_depend_on(made):
  image = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, _SHAPE), jnp.float32)
  # No slope of a value's bits comes from the value itself, which is rounded.
  # The image is so narrow that Row LSTMs see all that comes before.
  slopes = jax.jit(jax.jacfwd(lambda image: made.model.value_bits(made.params, image[None])[0]))
  found = np.asarray(slopes(image))[:, :, 0, :, :, 0] != 0
  order = np.arange(_SMALL.size).reshape(_SMALL.shape)
  for y, x in np.ndindex(_SMALL.shape):
    before = order < order[y, x]
    expected = before & _SMALL if _SMALL[y, x] else before | _SMALL
    np.testing.assert_array_equal(found[y, x], expected, err_msg=f"{y}, {x}")


def test_drawn_values_have_the_logits_of_the_whole_pass(made):
  drawn = made.draw(
    KEY, made.params, jnp.full((3, *_SHAPE), jnp.nan, jnp.float32), np.zeros((3, 3, 4), bool)
  )
  small_key, large_key = jax.random.split(KEY)
  of_small, logits = (np.array(x) for x in zip(*(_logits(made, x) for x in drawn), strict=True))
  for y, x in np.ndindex(_SMALL.shape):
    key, at, place = large_key, logits[:, y, x], (y, x)
    if _SMALL[y, x]:
      place = (y // 2, x // 2)
      key, at = small_key, of_small[:, *place]
    for index in (*place, 0):
      key = jax.random.fold_in(key, index)
    # The same noise on the same logits: the same value, but for a tie within rounding.
    values = np.asarray(jax.random.categorical(key, jnp.asarray(at, jnp.float32)))
    np.testing.assert_allclose(drawn[:, y, x, 0], values / 127.5 - 1, atol=1e-6)
  assert made.model.small_shape == (2, 2, 1) and made.model.sequential_steps == 4 + 12


def test_completions(made):
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.uniform(-1, 1, (3, *_SHAPE)), jnp.float32)
  known = rng.random((3, _HEIGHT, _WIDTH)) < 0.5
  found = np.asarray(made.draw(KEY, made.params, images, known))
  np.testing.assert_array_equal(found[known], images[known])
  assert (found[~known] != images[~known]).all()
  # A sample's own pixels known, by the same key, the others are its own.
  nothing = np.zeros_like(known)
  drawn = np.asarray(made.draw(KEY, made.params, images, nothing))
  found = made.draw(KEY, made.params, drawn, known)
  np.testing.assert_allclose(found, drawn, atol=1e-6)


@pytest.mark.parametrize(
  ("height", "width", "factor", "expected"),
  [(28, 28, 4, (7, 7)), (5, 3, 4, (2, 1)), (1, 9, 8, (1, 2)), (2, 2, 8, (1, 1))],
)
def test_shapes_of_small_images_and_their_maps(height, width, factor, expected):
  model = baselines.make("multiscale", (height, width, 3), hidden=3, factor=factor)
  images = jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32)
  small = jax.eval_shape(model.subsample, images)
  assert small.shape == (2, *expected, 3) and model.small_shape == (*expected, 3)
  params = jax.eval_shape(model.first, KEY)
  made = jax.eval_shape(model._conditions, params, small)
  assert made.shape == (2, height, width, 6)


def test_errors():
  for name, value, said in (
    ("kind", "column", "expected one of row, diagonal, got 'column'"),
    ("factor", 6, "expected a power of two, got 6"),
    ("factor", 1, "expected an integer of at least 2, got 1"),
  ):
    with pytest.raises(ValueError, match=f"{name}: {said}"):
      baselines.make("multiscale", _SHAPE, **{name: value})
