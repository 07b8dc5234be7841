"""DRAW: its bound by plain numpy, with and without windows, its canvases, and that it learns."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines import binary_pixels
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, SHAPE, begun, small
from tests.baselines.variational.test_attention import _by_loops


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _dense(params, x):
  return x @ params["kernel"] + params["bias"]


def _lstm(params, memory, x):
  """Gates by hand: input, forget, cell, output."""
  cell, hidden = memory
  gate = {g: x @ params[f"i{g}"]["kernel"] + _dense(params[f"h{g}"], hidden) for g in "ifgo"}
  cell = _sigmoid(gate["f"]) * cell + _sigmoid(gate["i"]) * np.tanh(gate["g"])
  return cell, _sigmoid(gate["o"]) * np.tanh(cell)


def _by_numpy(model, encoder, decoder, images, noises):
  """Eq 3 to 12 in float64: reconstruction and divergence, in nats [N], and the canvases."""
  encoder, decoder = (
    jax.tree.map(lambda x: np.asarray(x, np.float64), x["params"]) for x in (encoder, decoder)
  )
  pixels = (np.asarray(images, np.float64) + 1) / 2
  num = len(pixels)
  canvas = np.tile(decoder["blank"], (num, 1, 1, 1))
  reading, writing = (
    tuple(np.tile(row, (num, 1)) for row in x["lstm"]["start"]) for x in (encoder, decoder)
  )
  divergence, canvases = np.zeros(num), []
  for noise in noises:
    seen = np.concatenate([pixels, pixels - _sigmoid(canvas)], axis=-1)
    if model.attention:
      size = model.read_size
      blank = np.zeros((num, size, size, seen.shape[-1]))
      seen, _ = _by_loops(_dense(encoder["where"], writing[1]), seen, blank, size)
    inputs = np.concatenate([seen.reshape(num, -1), writing[1]], axis=1)
    reading = _lstm(encoder["lstm"]["cell"], reading, inputs)
    mean = _dense(encoder["mean"], reading[1])
    scale = np.exp(_dense(encoder["log_scale"], reading[1]))
    divergence += (mean**2 + scale**2 - np.log(scale**2) - 1).sum(axis=1) / 2
    writing = _lstm(decoder["lstm"]["cell"], writing, mean + scale * noise)
    stroke = _dense(decoder["stroke"], writing[1])
    if model.attention:
      size = model.write_size
      patches = stroke.reshape(num, size, size, -1)
      parameters = _dense(decoder["where"], writing[1])
      _, stroke = _by_loops(parameters, np.zeros(canvas.shape), patches, size)
    canvas = canvas + stroke.reshape(canvas.shape)
    canvases.append(canvas)
  p = _sigmoid(canvas)
  found = -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).sum(axis=(1, 2, 3))
  return found, divergence, np.array(canvases)


class Made(NamedTuple):
  """A model, its first state, parameters none of which is 0, and its programs."""

  model: baselines.DRAW
  state: baselines.VAEState
  moved: tuple[dict, dict]
  losses: Callable[..., tuple[jax.Array, jax.Array]]
  step: Callable[..., tuple[baselines.VAEState, dict]]


def _made(*, attention: bool) -> Made:
  """Compiled once for all tests: it takes seconds."""
  options = {"hidden": 16, "num_steps": 3, "read_size": 4, "write_size": 6, "learning_rate": 1e-2}
  model = small("draw", attention=attention, **options)
  state = begun(model)
  leaves, tree = jax.tree.flatten(state[:2])
  rng = np.random.default_rng(0)
  # Learned beginnings among them, which are 0 at first.
  moved = [x + 0.2 * rng.normal(size=x.shape).astype(np.float32) for x in leaves]
  return Made(
    model, state, jax.tree.unflatten(tree, moved), jax.jit(model.losses), jax.jit(model.step)
  )


@pytest.fixture(scope="module")
def windows() -> Made:
  return _made(attention=True)


@pytest.fixture(scope="module")
def whole() -> Made:
  return _made(attention=False)


@pytest.fixture(scope="module")
def seen(images) -> jax.Array:
  return binary_pixels.held_out(images[:5])


@pytest.mark.parametrize("kind", ["windows", "whole"])
def test_the_bound_equals_plain_numpys(kind, seen, request):
  made = request.getfixturevalue(kind)
  reconstruction, divergence = made.losses(KEY, *made.moved, seen)
  noises = [np.asarray(jax.random.normal(k, (5, 3))) for k in jax.random.split(KEY, 3)]
  expected = _by_numpy(made.model, *made.moved, seen, noises)
  # float32 of three steps, of 128 pixels' sums.
  np.testing.assert_allclose(reconstruction, expected[0], rtol=1e-4)
  np.testing.assert_allclose(divergence, expected[1], rtol=1e-4)


def test_windows_with_a_filter_a_pixel_are_the_whole_image(whole, seen):
  model = dataclasses.replace(whole.model, attention=True, read_size=8, write_size=8)
  # Centred, narrow, a pixel apart, whatever the state is.
  where = {"kernel": jnp.zeros((16, 5)), "bias": jnp.array([0.0, 0.0, -12.0, 0.0, 0.0])}
  params = [{"params": x["params"] | {"where": where}} for x in whole.moved]
  found = jax.jit(model.losses)(KEY, *params, seen)
  np.testing.assert_allclose(found, whole.losses(KEY, *whole.moved, seen), rtol=1e-5)


def test_a_network_of_zeros_by_hand(windows, images):
  state = jax.tree.map(jnp.zeros_like, windows.state)
  # Every pixel has probability 1/2, one bit, and the posteriors are the prior.
  found = windows.model.held_out_density(KEY, state, images)
  assert found.kind == "bound, bits a value, of binarised pixels"
  assert found.bits == pytest.approx(1, rel=1e-6)


def test_weights_are_the_bound_on_average(windows, seen):
  model, draws = windows.model, 2_000
  log_weights = jax.jit(model.log_weights, static_argnums=4)
  weights = np.asarray(log_weights(KEY, *windows.moved, seen[:2], draws))
  # The same drawings: the divergence in closed form is the mean of the ratio of densities.
  losses = windows.losses(KEY, *windows.moved, jnp.tile(seen[:2], (draws, 1, 1, 1)))
  rest = weights + np.asarray(sum(losses)).reshape(draws, 2)
  error = rest.std(axis=0) / np.sqrt(draws)
  assert (np.abs(rest.mean(axis=0)) < 5 * error).all() and (error < 0.2).all()
  # Every column is of its own image.
  other = np.asarray(log_weights(KEY, *windows.moved, seen[:2].at[1].set(1.0), draws))
  np.testing.assert_allclose(other[:, 0], weights[:, 0], rtol=1e-5)
  assert (other[:, 1] != weights[:, 1]).all()


def test_canvases_end_as_the_images(windows):
  model, state = windows.model, baselines.VAEState(None, windows.moved[1], None)
  canvases = jax.jit(model.canvases, static_argnums=2)(KEY, state, 4)
  assert canvases.shape == (3, 4, *SHAPE) and model.sequential_steps == 3
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 4)
  np.testing.assert_allclose(canvases[-1], drawn, atol=1e-6)
  # Each stroke changes each image, and no two images are alike.
  assert np.abs(np.diff(canvases, axis=0)).max(axis=(2, 3, 4)).min() > 1e-3
  assert np.abs(drawn).max() < 1 and np.abs(np.diff(drawn, axis=0)).max(axis=(1, 2, 3)).min() > 1e-2


def test_a_step_binarises_its_pixels_anew(windows, images):
  _, state, _, losses, step = windows
  batch = to_signed(images[:5])
  _, metrics = step(KEY, state, batch)
  pixels_key, key = jax.random.split(KEY)
  pixels = binary_pixels.binarised(pixels_key, batch)
  reconstruction, divergence = losses(key, state.encoder, state.decoder, pixels)
  assert float(metrics["reconstruction"]) == pytest.approx(float(reconstruction.mean()), rel=1e-5)
  assert float(metrics["divergence"]) == pytest.approx(float(divergence.mean()), rel=1e-4)


def test_draw_learns(windows):
  rng = np.random.default_rng(0)
  pattern = to_signed(rng.integers(0, 2, (2, *SHAPE)) * 255)
  state, losses = windows.state, []
  for index in range(300):
    batch = pattern[rng.integers(0, 2, 5)]
    state, metrics = windows.step(jax.random.fold_in(KEY, index), state, batch)
    losses.append(float(metrics["reconstruction"] + metrics["divergence"]))
  # An untrained one needs 128 log 2 = 89; two kinds of images log 2, and what is not yet sure.
  assert losses[0] > 85 and np.mean(losses[-20:]) < 20
