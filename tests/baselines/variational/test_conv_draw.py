"""The convolutional DRAW: its bound by scipy, how far a stroke reaches, and that it learns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from nsn_jax import baselines
from nsn_jax.baselines import binary_pixels
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, SHAPE, begun, small


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))


def _correlated(x, layer):
  """Windows of [N, h, w, C] where they fit, and a bias: [N, h', w', F]."""
  kernel = layer["kernel"]
  found = [
    sum(signal.correlate2d(image[..., c], kernel[..., c, f], "valid") for c in range(x.shape[-1]))
    for image in x
    for f in range(kernel.shape[-1])
  ]
  maps = np.array(found).reshape(len(x), kernel.shape[-1], *found[0].shape)
  return maps.transpose(0, 2, 3, 1) + layer["bias"]


def _padded(x, width):
  return np.pad(x, ((0, 0), (width, width), (width, width), (0, 0)))


def _halved(x, layer):
  return np.maximum(_correlated(_padded(x, 1), layer)[:, ::2, ::2], 0)


def _doubled(x, layer):
  """Each value adds its window, 2 pixels from the next one's, cut by a pixel all around."""
  num, height, width, _ = x.shape
  y = np.zeros((num, 2 * height + 2, 2 * width + 2, layer["kernel"].shape[-1]))
  for row in range(height):
    for column in range(width):
      at = np.s_[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
      y[at] += np.einsum("nc,cijf->nijf", x[:, row, column], layer["kernel"])
  return y[:, 1:-1, 1:-1] + layer["bias"]


def _lstm(params, memory, x):
  cell, hidden = memory
  gates = _correlated(_padded(x, 1), params["ih"]) + _correlated(_padded(hidden, 1), params["hh"])
  i, g, f, o = np.split(gates, 4, axis=-1)
  cell = _sigmoid(f + 1) * cell + _sigmoid(i) * np.tanh(g)
  return cell, _sigmoid(o) * np.tanh(cell)


def _by_numpy(encoder, decoder, images, noises, side):
  """Reconstruction and divergence of float64, in nats [N]."""
  encoder, decoder = (
    jax.tree.map(lambda x: np.asarray(x, np.float64), x["params"]) for x in (encoder, decoder)
  )
  pixels = (np.asarray(images, np.float64) + 1) / 2
  num = len(pixels)
  canvas = np.tile(decoder["blank"], (num, 1, 1, 1))
  reading, writing = (
    tuple(np.tile(row, (num, side, side, 1)) for row in x["lstm"]["start"])
    for x in (encoder, decoder)
  )
  divergence = np.zeros(num)
  for noise in noises:
    seen = np.concatenate([pixels, pixels - _sigmoid(canvas)], axis=-1)
    for layer in range(2):
      seen = _halved(seen, encoder[f"halvings_{layer}"])
    inputs = np.concatenate([seen, writing[1]], axis=-1)
    reading = _lstm(encoder["lstm"]["cell"], reading, inputs)
    mean, log_scale = (
      (reading[1] @ encoder[name]["kernel"] + encoder[name]["bias"]).reshape(num, -1)
      for name in ("mean", "log_scale")
    )
    scale = np.exp(log_scale)
    divergence += (mean**2 + scale**2 - np.log(scale**2) - 1).sum(axis=1) / 2
    latent = (mean + scale * noise).reshape(num, side, side, -1)
    writing = _lstm(decoder["lstm"]["cell"], writing, latent)
    x = np.maximum(_doubled(writing[1], decoder["between_0"]), 0)
    canvas = canvas + _doubled(x, decoder["stroke"])
  p = _sigmoid(canvas)
  found = -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).sum(axis=(1, 2, 3))
  return found, divergence


@pytest.fixture(scope="module")
def model() -> baselines.ConvDRAW:
  """Two halvings and doublings: 12 to 6 and 3."""
  options = {"width": 2, "hidden": 3, "latent": 2, "num_steps": 3}
  return baselines.make("convdraw", (12, 12, 2), batch_size=4, **options)


@pytest.fixture(scope="module")
def moved(model) -> tuple[dict, dict]:
  """Parameters none of which is 0: learned beginnings among them, which are 0 at first."""
  leaves, tree = jax.tree.flatten(begun(model)[:2])
  rng = np.random.default_rng(0)
  return jax.tree.unflatten(
    tree, [x + 0.2 * rng.normal(size=x.shape).astype(np.float32) for x in leaves]
  )


def test_the_bound_equals_that_of_scipys_convolutions(model, moved):
  rng = np.random.default_rng(0)
  seen = binary_pixels.held_out(rng.integers(0, 256, (4, 12, 12, 2)).astype(np.uint8))
  reconstruction, divergence = jax.jit(model.losses)(KEY, *moved, seen)
  noises = [np.asarray(jax.random.normal(k, (4, 3 * 3 * 2))) for k in jax.random.split(KEY, 3)]
  expected = _by_numpy(*moved, seen, noises, 3)
  # float32 of three steps, of 288 pixels' sums.
  np.testing.assert_allclose(reconstruction, expected[0], rtol=1e-4)
  np.testing.assert_allclose(divergence, expected[1], rtol=1e-4)


def test_a_network_of_zeros_by_hand(model):
  state = jax.tree.map(jnp.zeros_like, baselines.VAEState(*jax.eval_shape(model.first, KEY), None))
  images = np.zeros((3, 12, 12, 2), np.uint8)
  # Every pixel has probability 1/2, one bit, and the posteriors are the prior.
  found = model.held_out_density(KEY, state, images)
  assert found.kind == "bound, bits a value, of binarised pixels"
  assert found.bits == pytest.approx(1, rel=1e-6)


def test_a_stroke_reaches_as_far_as_windows_do(moved):
  # Of a map of 10, from a latent in its middle, one step: the LSTM's window, 3 of its positions,
  # then two doublings of 4 pixels by 2: 3 -> 8 -> 18 pixels, those from 4 * 4 - 3 on. No more.
  model = baselines.make(
    "convdraw", (40, 40, 2), width=2, hidden=3, latent=2, num_steps=1, batch_size=1
  )
  # What does not depend on the image's size.
  decoder = {"params": moved[1]["params"] | {"blank": jnp.zeros((40, 40, 2))}}
  memory, canvas = model._first_canvas(decoder, 1)

  @jax.jit
  def written(latent: jax.Array) -> jax.Array:
    return model._decoder.apply(decoder, memory, canvas, latent.reshape(1, -1))[1][0]

  latent = jnp.zeros((10, 10, 2))
  changed = jnp.abs(written(latent.at[5, 5].set(3.0)) - written(latent)).max(axis=-1) > 0
  rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
  assert rows.tolist() == columns.tolist() == list(range(13, 31))
  # A position before, the same stroke 4 pixels before: the map's edge is out of its reach.
  other = written(latent.at[4, 5].set(3.0))
  np.testing.assert_allclose(
    other[9:27], written(latent.at[5, 5].set(3.0))[13:31], rtol=1e-5, atol=1e-6
  )


def test_canvases_end_as_the_images(model, moved):
  state = baselines.VAEState(None, moved[1], None)
  canvases = jax.jit(model.canvases, static_argnums=2)(KEY, state, 4)
  assert canvases.shape == (3, 4, 12, 12, 2) and model.sequential_steps == 3
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 4)
  np.testing.assert_allclose(canvases[-1], drawn, atol=1e-6)
  # Each stroke changes each image, and no two images are alike.
  assert np.abs(np.diff(canvases, axis=0)).max(axis=(2, 3, 4)).min() > 1e-3
  assert np.abs(np.diff(drawn, axis=0)).max(axis=(1, 2, 3)).min() > 1e-2


def test_the_convolutional_draw_learns():
  rng = np.random.default_rng(0)
  pattern = to_signed(rng.integers(0, 2, (2, *SHAPE)) * 255)
  model = dataclasses.replace(small("convdraw"), width=8, hidden=16, learning_rate=1e-2)
  state, step, losses = begun(model), jax.jit(model.step), []
  for index in range(200):
    batch = pattern[rng.integers(0, 2, 5)]
    state, metrics = step(jax.random.fold_in(KEY, index), state, batch)
    losses.append(float(metrics["reconstruction"] + metrics["divergence"]))
  # An untrained one needs 128 log 2 = 89; two kinds of images log 2, and what is not yet sure.
  assert losses[0] > 80 and np.mean(losses[-20:]) < 20
