"""Hidden pixels given the visible ones: by hand, and against a linear regression."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from nsn_jax.applications.conditional import conditional_mean
from nsn_jax.whitening import Whitening, fit_whitening

EPSILON = 1e-4


@pytest.fixture(scope="module")
def images() -> np.ndarray:
  """Images of 3x4 pixels and two channels, each channel of few directions and a little noise."""
  rng = np.random.default_rng(0)
  values = rng.standard_normal((400, 3, 2)) @ np.ones((1, 2, 2))
  mixed = np.einsum("nkc,kpc->npc", values, rng.standard_normal((3, 12, 2)))
  mixed += 0.3 * rng.standard_normal(mixed.shape)
  return (0.5 + 0.02 * mixed).clip(0, 1).reshape(400, 3, 4, 2).astype(np.float32)


def test_it_is_the_least_squares_regression_on_the_visible_pixels(images):
  whitening = fit_whitening(images, EPSILON)
  mask = np.zeros((3, 4), bool)
  mask[1:, 1:3] = True
  found = conditional_mean(images, mask, whitening, EPSILON)
  for channel in range(2):
    part = images[..., channel].astype(np.float64)
    peer = LinearRegression().fit(part[:, ~mask], part[:, mask])
    expected = peer.predict(part[:, ~mask]).clip(0, 1)
    # The ridge is a hundredth of the noise; the matrices are kept in float32.
    np.testing.assert_allclose(found[:, mask, channel], expected, atol=2e-3)
  np.testing.assert_array_equal(found[:, ~mask], images[:, ~mask])


def test_two_pixels_by_hand():
  # Deviations 0.1 and 0.2, correlation 0.5: a slope of 0.5 * 0.2 / 0.1 = 1 about the means.
  covariance = np.array([[0.01, 0.01], [0.01, 0.04]]) + EPSILON * np.eye(2)
  power, u = np.linalg.eigh(covariance)
  inverse = ((u * np.sqrt(power)) @ u.T).astype(np.float32)[None]
  mean = np.array([0.4, 0.6], np.float32).reshape(1, 2, 1)
  whitening = Whitening(
    jnp.asarray(mean), jnp.asarray(np.linalg.inv(inverse)), jnp.asarray(inverse)
  )
  image = np.array([0.5, 0.0], np.float32).reshape(1, 1, 2, 1)
  found = conditional_mean(image, np.array([[False, True]]), whitening, EPSILON)
  np.testing.assert_allclose(found.ravel(), [0.5, 0.7], atol=1e-4)


def test_a_mask_an_image_is_as_each_alone_and_nothing_under_it_is_seen(images):
  whitening = fit_whitening(images, EPSILON)
  masks = np.random.default_rng(1).random((5, 3, 4)) < 0.4
  both = conditional_mean(images[:5], masks, whitening, EPSILON)
  other = np.where(masks[..., None], 1.0 - images[:5], images[:5])
  np.testing.assert_array_equal(both, conditional_mean(other, masks, whitening, EPSILON))
  for image, mask, found in zip(images[:5], masks, both, strict=True):
    alone = conditional_mean(image[None], mask, whitening, EPSILON)[0]
    np.testing.assert_allclose(found, alone, atol=1e-6)


def test_all_hidden_is_the_mean_image_and_nothing_hidden_the_image(images):
  whitening = fit_whitening(images, EPSILON)
  hidden = conditional_mean(images[:2], np.ones((3, 4), bool), whitening, EPSILON)
  np.testing.assert_allclose(hidden, np.broadcast_to(whitening.mean, hidden.shape), atol=1e-6)
  shown = conditional_mean(images[:2], np.zeros((3, 4), bool), whitening, EPSILON)
  np.testing.assert_array_equal(shown, images[:2])
