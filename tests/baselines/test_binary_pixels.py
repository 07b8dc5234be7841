"""Binarised pixels: their shares, and the same ones for all who are measured on them."""

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax.baselines import binary_pixels
from tests.baselines.helpers import KEY


def test_shares_of_white_are_the_brightness():
  images = jnp.tile(jnp.array([-1.0, -0.5, 0.2, 1.0]), (10_000, 1))
  found = np.asarray(binary_pixels.binarised(KEY, images))
  assert set(np.unique(found)) == {-1, 1} and found.dtype == np.float32
  # Black and white stay; five standard errors, of 0.005, of the others.
  np.testing.assert_array_equal(found[:, [0, 3]], images[:, [0, 3]])
  np.testing.assert_allclose((found == 1).mean(axis=0), [0, 0.25, 0.6, 1], atol=0.025)


def test_held_out_pixels_are_always_the_same(images):
  found = binary_pixels.held_out(images)
  np.testing.assert_array_equal(found, binary_pixels.held_out(images))
  # Also where fewer images are measured.
  np.testing.assert_array_equal(found[:7], binary_pixels.held_out(images[:7]))


def test_grey_cross_entropy_is_the_mean_of_binarised_ones(images):
  grey = jnp.asarray(images[:2], jnp.float32) / 127.5 - 1
  logits = jax.random.normal(KEY, (3, 2, 128))
  found = np.asarray(binary_pixels.cross_entropy(logits, grey))
  white = images[:2].reshape(2, -1) / 255
  p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
  expected = -(white * np.log(p) + (1 - white) * np.log(1 - p)).sum(axis=-1)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
