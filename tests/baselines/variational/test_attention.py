"""DRAW's window: filters by plain loops, and what reading and writing leave as it was."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.baselines.variational import attention
from tests.baselines.helpers import KEY


def _identity(side: int, log_intensity: float = 0.0) -> attention.Window:
  """As many filters as pixels, each on its own."""
  numbers = (side + 1) / 2, (side + 1) / 2, -12.0, 1.0, log_intensity
  return attention.Window(*(jnp.full(2, x, jnp.float32) for x in numbers))


def _by_loops(parameters, images, patches, size):
  """Eq 19 to 29 as the paper has them, image by image, in float64: what is read and written."""
  num, height, width, channels = images.shape
  seen, written = np.zeros((num, size, size, channels)), np.zeros(images.shape)
  for n in range(num):
    x, y, log_variance, log_stride, log_intensity = parameters[n]
    centre = {"x": (width + 1) / 2 * (x + 1), "y": (height + 1) / 2 * (y + 1)}
    stride = (max(width, height) - 1) / (size - 1) * math.exp(log_stride)
    bank = {}
    for axis, length in (("x", width), ("y", height)):
      bank[axis] = np.zeros((size, length))
      for i in range(1, size + 1):
        mean = centre[axis] + (i - size / 2 - 0.5) * stride
        for a in range(1, length + 1):
          bank[axis][i - 1, a - 1] = math.exp(-((a - mean) ** 2) / (2 * math.exp(log_variance)))
        bank[axis][i - 1] /= bank[axis][i - 1].sum()
    for c in range(channels):
      seen[n, ..., c] = math.exp(log_intensity) * bank["y"] @ images[n, ..., c] @ bank["x"].T
      written[n, ..., c] = bank["y"].T @ patches[n, ..., c] @ bank["x"] / math.exp(log_intensity)
  return seen, written


def test_reading_and_writing_equal_plain_loops():
  rng = np.random.default_rng(0)
  parameters = rng.normal(size=(3, 5)) * [0.4, 0.4, 0.5, 0.5, 0.5] + [0, 0, 0.5, -0.7, 0]
  images, patches = rng.normal(size=(3, 6, 9, 2)), rng.normal(size=(3, 4, 4, 2))
  where = attention.window(jnp.asarray(parameters, jnp.float32), 6, 9, 4)
  seen, written = _by_loops(parameters, images, patches, 4)
  found = attention.read(jnp.asarray(images, jnp.float32), where, 4)
  np.testing.assert_allclose(found, seen, rtol=1e-4, atol=1e-5)
  found = attention.write(jnp.asarray(patches, jnp.float32), where, 6, 9)
  np.testing.assert_allclose(found, written, rtol=1e-4, atol=1e-5)


def test_a_window_of_zeros_covers_the_image():
  where = attention.window(jnp.zeros((1, 5)), 7, 7, 4)
  np.testing.assert_allclose(jnp.stack(where)[:, 0], [4, 4, 0, 2, 0])
  bank = attention.filters(where.x, where.stride, jnp.array([-9.0]), 4, 7)[0]
  # Pixels 1, 3, 5 and 7.
  np.testing.assert_allclose(bank, np.eye(7)[::2], atol=1e-6)


@pytest.mark.parametrize("centre", [3.0, -1e4, 1e4])
@pytest.mark.parametrize("log_variance", [-8.0, 0.0, 8.0])
def test_filters_sum_to_one(centre, log_variance):
  numbers = (jnp.array([x]) for x in (centre, 1.7, log_variance))
  found = attention.filters(*numbers, 3, 10)
  np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-5)
  assert (np.asarray(found) >= 0).all()


def test_one_filter_has_no_neighbours():
  where = attention.window(jnp.array([[0.0, 0.5, 0.0, 3.0, 0.0]]), 5, 9, 1)
  assert np.isfinite(jnp.stack(where)).all()
  found = attention.filters(where.y, where.stride, where.log_variance, 1, 5)[0, 0]
  expected = np.exp(-((np.arange(1, 6) - 4.5) ** 2) / 2)
  np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


def test_of_a_constant_image_the_constant_is_read():
  parameters = jax.random.normal(KEY, (4, 5)).at[:, 4].set(math.log(3.0))
  where = attention.window(parameters, 6, 9, 3)
  found = attention.read(jnp.full((4, 6, 9, 1), 0.7), where, 3)
  np.testing.assert_allclose(found, 3 * 0.7, rtol=1e-5)


def test_a_filter_a_pixel_reads_and_writes_the_image_itself():
  images = jax.random.normal(KEY, (2, 8, 8, 3))
  seen = attention.read(images, _identity(8), 8)
  np.testing.assert_allclose(seen, images, atol=1e-6)
  np.testing.assert_allclose(attention.write(seen, _identity(8), 8, 8), images, atol=1e-6)
  # What is read times gamma is written by gamma.
  strong = _identity(8, 1.3)
  again = attention.write(attention.read(images, strong, 8), strong, 8, 8)
  np.testing.assert_allclose(again, images, atol=1e-5)


def test_rows_are_not_columns():
  images = jnp.zeros((1, 8, 8, 1)).at[0, 1, 6, 0].set(1.0)
  where = attention.Window(*(jnp.array([x]) for x in (7.0, 2.0, -9.0, 1.0, 0.0)))
  assert attention.read(images, where, 1)[0, 0, 0, 0] == pytest.approx(1)
  np.testing.assert_allclose(
    attention.write(jnp.ones((1, 1, 1, 1)), where, 8, 8), images, atol=1e-6
  )
