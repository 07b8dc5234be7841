"""PixelRNN: bits by hand, images completed, and that it learns; the network has its own tests."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, empty, noisy, shape_of, small

_SHAPE = shape_of("rowlstm")
_HEIGHT, _WIDTH, _CHANNELS = _SHAPE


class Made(NamedTuple):
  """A model, weights none of which is 0, and its programs, of three images."""

  model: baselines.PixelRNN
  state: baselines.AutoregressiveState
  drawn: jax.Array
  complete: Callable[..., jax.Array]


@pytest.fixture(scope="module")
def made() -> Made:
  """Compiled once for all tests: it takes seconds."""
  model = small("rowlstm")
  state = baselines.AutoregressiveState(noisy(empty(model).params), None)
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 3)
  return Made(model, state, drawn, jax.jit(model.complete))


def _first_pixels(number: int) -> np.ndarray:
  """Where so many pixels are known, row by row: for each of three images."""
  return np.tile(np.arange(_HEIGHT * _WIDTH).reshape(_HEIGHT, _WIDTH) < number, (3, 1, 1))


def test_with_nothing_known_completions_are_samples(made):
  # What is not known has no part in anything.
  blank = jnp.full((3, *_SHAPE), jnp.nan, jnp.float32)
  found = made.complete(KEY, made.state, blank, _first_pixels(0))
  np.testing.assert_array_equal(found, made.drawn)
  assert made.model.sequential_steps == _HEIGHT * _WIDTH * _CHANNELS
  assert len(np.unique(found)) > 50 and np.abs(found).max() <= 1


def test_known_pixels_come_back_as_they_were(made):
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.uniform(-1, 1, (3, *_SHAPE)), jnp.float32)
  found = made.complete(KEY, made.state, images, _first_pixels(_HEIGHT * _WIDTH))
  np.testing.assert_array_equal(found, images)
  known = rng.random((3, _HEIGHT, _WIDTH)) < 0.5  # also where they do not come first
  found = np.asarray(made.complete(KEY, made.state, images, known))
  np.testing.assert_array_equal(found[known], images[known])
  assert (found[~known] != images[~known]).all()  # not of 256 values, as drawn ones are


def test_completions_are_given_what_is_known(made):
  known = _first_pixels(8)  # a row and a half
  # By the same key what comes after a sample's own beginning is its own end, and no other's.
  found = made.complete(KEY, made.state, made.drawn, known)
  np.testing.assert_allclose(found, made.drawn, atol=1e-6)
  other = np.asarray(made.complete(KEY, made.state, made.drawn[::-1], known))
  assert (other[0][~known[0]] != made.drawn[0][~known[0]]).any()
  # What is known later has no part in what is drawn before it.
  last = ~_first_pixels(12)
  found = np.asarray(made.complete(KEY, made.state, -made.drawn, last))
  np.testing.assert_allclose(found[~last], made.drawn[~last], atol=1e-6)


def test_completion_errors(made):
  images, known = made.drawn, _first_pixels(3)
  with pytest.raises(ValueError, match=r"images: expected \[N, 4, 5, 2\], got shape \(3, 4, 4, 2"):
    made.model.complete(KEY, made.state, images[:, :, 1:], known)
  with pytest.raises(ValueError, match="images: expected a float array, got dtype uint8"):
    made.model.complete(KEY, made.state, images.astype(np.uint8), known)
  for wrong in (known[:2], known[0, 1:], known.astype(np.float32)):
    with pytest.raises(ValueError, match=r"known: expected bool \[4, 5\] or \[3, 4, 5\], got "):
      made.model.complete(KEY, made.state, images, wrong)


def test_bits_by_hand(made, monkeypatch):
  params = empty(made.model).params
  state = baselines.AutoregressiveState(params, None)
  images = np.random.default_rng(0).integers(0, 256, (5, *_SHAPE)).astype(np.uint8)
  monkeypatch.setattr(pixel_values, "_AT_ONCE", 3)  # the last batch is not full
  found = made.model.held_out_density(KEY, state, images)
  assert found.kind == "exact, bits a value"
  assert found.bits == pytest.approx(8, rel=1e-6)  # 256 values, all alike
  # One logit of log 255 makes its value's probability 1/2: white, of the second colour alone.
  bias = jnp.zeros(512).at[-1].set(np.log(255.0))
  state = state._replace(params=params._replace(logits_bias=bias))
  images = np.zeros_like(images)
  black = 1 + np.log2(255)
  assert made.model.held_out_density(KEY, state, images).bits == pytest.approx((8 + black) / 2)
  images[0, :, :, 1] = 255  # a fifth of the images
  expected = (8 + black * 4 / 5 + 1 / 5) / 2
  assert made.model.held_out_density(KEY, state, images).bits == pytest.approx(expected)


def test_it_learns():
  model = small("rowlstm", learning_rate=0.02, batch_size=4, hidden=8)
  rng = np.random.default_rng(0)
  pattern = to_signed(rng.integers(0, 256, (2, *_SHAPE)))
  step = jax.jit(model.step)
  # An optimizer's state is zeros at first.
  state, losses = empty(model)._replace(params=noisy(empty(model).params)), []
  for _ in range(150):
    state, metrics = step(KEY, state, pattern[rng.integers(0, 2, 4)])
    losses.append(float(metrics["bits"]))
  # Without training it is 8 bits or more; two kinds of images one in all, 1/40 a value.
  assert losses[0] > 7.5 and np.mean(losses[-10:]) < 0.5


def test_kinds():
  layers = {name: small(name)._network.kind for name in ("rowlstm", "diagonalbilstm")}
  assert layers == {"rowlstm": "row", "diagonalbilstm": "diagonal"}
