"""Channel-wise ZCA against float64, its inverse, and images that leave it little to work with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import whitening
from nsn_jax.whitening import Whitening, fit_whitening, unwhiten, whiten

HEIGHT, WIDTH, CHANNELS = 6, 5, 2  # Not square: a swap of the sides would show.
NUM_PIXELS = HEIGHT * WIDTH
EPSILON = 0.05


def _images(count: int = 200) -> np.ndarray:
  """Smooth 8-bit images, the two channels of different kinds."""
  rng = np.random.default_rng(0)
  noise = rng.standard_normal((count, HEIGHT, WIDTH, CHANNELS))
  smooth = noise.cumsum(axis=1).cumsum(axis=2)
  smooth[..., 1] = 0.3 * noise[..., 1] + 0.5 * smooth[:, ::-1, :, 1]
  low, high = smooth.min(), smooth.max()
  return np.round(255 * (smooth - low) / (high - low)).astype(np.uint8)


def _oracle(images: np.ndarray, epsilon: float) -> tuple[np.ndarray, list[np.ndarray]]:
  """Mean, and W of each channel, in float64 from the singular values of the images themselves."""
  x = images.astype(np.float64) / 255
  mean = x.mean(axis=0)
  transforms = []
  for channel in range(x.shape[-1]):
    flat = (x - mean)[..., channel].reshape(len(x), -1)
    _, s, u = np.linalg.svd(flat, full_matrices=True)
    eigenvalue = np.zeros(flat.shape[1])
    eigenvalue[: len(s)] = s**2 / len(x)
    transforms.append(u.T @ np.diag(1 / np.sqrt(eigenvalue + epsilon)) @ u)
  return mean, transforms


def test_fit_and_whiten_equal_float64():
  images = _images()
  fitted = fit_whitening(images, EPSILON)
  mean, transforms = _oracle(images, EPSILON)
  assert fitted.transform.shape == fitted.inverse.shape == (CHANNELS, NUM_PIXELS, NUM_PIXELS)
  # float32 sums of 200 products of pixels below 1, then float32 itself: relative to entries near
  # 1 / sqrt(epsilon) = 4.5.
  np.testing.assert_allclose(fitted.mean, mean, atol=1e-6)
  np.testing.assert_allclose(fitted.transform, np.stack(transforms), atol=2e-5)
  np.testing.assert_array_equal(fitted.transform, jnp.swapaxes(fitted.transform, 1, 2))
  found = np.asarray(whiten(images, fitted))
  for channel, transform in enumerate(transforms):
    flat = (images / 255 - mean)[..., channel].reshape(len(images), -1)
    expected = (flat @ transform).reshape(-1, HEIGHT, WIDTH)
    np.testing.assert_allclose(found[..., channel], expected, atol=5e-5)


def test_whitening_by_hand():
  # Two pixels, one varying by +-0.3 and one by +-0.1, not correlated: W is diagonal.
  images = np.array([[0.8, 0.6], [0.8, 0.4], [0.2, 0.6], [0.2, 0.4]], np.float32)
  images = images.reshape(4, 1, 2, 1)
  fitted = fit_whitening(images, 0.07)
  expected = np.diag([1 / np.sqrt(0.09 + 0.07), 1 / np.sqrt(0.01 + 0.07)])
  np.testing.assert_allclose(fitted.transform[0], expected, atol=1e-6)
  np.testing.assert_allclose(fitted.inverse[0], np.linalg.inv(expected), atol=1e-6)
  np.testing.assert_allclose(fitted.mean.ravel(), [0.5, 0.5], atol=1e-6)
  np.testing.assert_allclose(
    whiten(images, fitted)[0].ravel(), [0.3 / 0.4, 0.1 / np.sqrt(0.08)], atol=1e-5
  )


@pytest.mark.parametrize("epsilon", [1e-6, EPSILON, 10.0])
def test_unwhiten_is_the_inverse(epsilon):
  images = _images()
  fitted = fit_whitening(images, epsilon)
  # Rounding of whitened values, which an inverse of norm sqrt(l + epsilon) below 4 brings back.
  np.testing.assert_allclose(unwhiten(whiten(images, fitted), fitted), images / 255, atol=1e-4)
  product = np.asarray(fitted.transform, np.float64) @ np.asarray(fitted.inverse, np.float64)
  # Entries up to 1 / sqrt(epsilon) = 1000 in float32, times those of the inverse near 0.1.
  np.testing.assert_allclose(product, np.tile(np.eye(NUM_PIXELS), (2, 1, 1)), atol=2e-4)


def test_unwhiten_of_what_was_never_whitened():
  fitted = fit_whitening(_images(), EPSILON)
  made_up = np.random.default_rng(1).standard_normal((3, HEIGHT, WIDTH, CHANNELS))
  back = whiten(unwhiten(made_up.astype(np.float32), fitted), fitted)
  np.testing.assert_allclose(back, made_up, atol=1e-4)  # As above.
  np.testing.assert_allclose(
    unwhiten(jnp.zeros([1, HEIGHT, WIDTH, CHANNELS]), fitted)[0], fitted.mean, atol=1e-6
  )


@pytest.mark.parametrize("epsilon", [1e-4, EPSILON])
def test_whitened_covariance_has_the_spectrum_l_over_l_plus_epsilon(epsilon):
  images = _images()
  x = np.asarray(whiten(images, fit_whitening(images, epsilon)), np.float64)
  for channel in range(CHANNELS):
    raw = (images / 255 - (images / 255).mean(axis=0))[..., channel].reshape(len(images), -1)
    eigenvalue = np.linalg.eigvalsh(raw.T @ raw / len(raw))
    white = x[..., channel].reshape(len(x), -1)
    found = np.linalg.eigvalsh(white.T @ white / len(white))
    # float32: the error of W, relative to entries up to 1 / sqrt(epsilon) = 100.
    np.testing.assert_allclose(found, np.sort(eigenvalue / (eigenvalue + epsilon)), atol=2e-4)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)


def test_channels_are_independent():
  images = _images()
  both = fit_whitening(images, EPSILON)
  changed = images.copy()
  changed[..., 1] = np.random.default_rng(1).integers(0, 256, changed[..., 1].shape)
  other = fit_whitening(changed, EPSILON)
  np.testing.assert_allclose(other.transform[0], both.transform[0], atol=1e-5)
  assert np.abs(np.asarray(other.transform[1]) - np.asarray(both.transform[1])).max() > 0.1
  one = fit_whitening(images[..., 1:], EPSILON)
  np.testing.assert_allclose(one.transform[0], both.transform[1], atol=1e-5)
  # One channel and several take different products: rounding of whitened values up to 10.
  np.testing.assert_allclose(
    whiten(images[..., 1:], one)[..., 0], whiten(images, both)[..., 1], atol=5e-5
  )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_8_bit_and_float_agree(dtype):
  images = _images()
  a, b = fit_whitening(images, EPSILON), fit_whitening((images / 255).astype(dtype), EPSILON)
  for x, y in zip(a, b, strict=True):
    np.testing.assert_allclose(x, y, atol=2e-5)  # 1/255 in float32, as above
  np.testing.assert_allclose(
    whiten(images, a), whiten((images / 255).astype(np.float32), b), atol=1e-4
  )


def test_numpy_and_jax_arrays_agree():
  images = _images()
  for x, y in zip(
    fit_whitening(images, EPSILON), fit_whitening(jnp.asarray(images), EPSILON), strict=True
  ):
    np.testing.assert_array_equal(x, y)


def test_batches_agree_with_the_whole(monkeypatch):
  images = _images()
  whole = fit_whitening(images, EPSILON)
  # 64, 64, 64 and 8 images.
  monkeypatch.setattr(whitening, "_BATCH_BYTES", 64 * 4 * NUM_PIXELS * CHANNELS)
  for x, y in zip(fit_whitening(images, EPSILON), whole, strict=True):
    np.testing.assert_allclose(x, y, atol=2e-5)  # float32 sums in another order, as above


def test_the_order_of_images_does_not_matter():
  images = _images()
  mixed = np.random.default_rng(1).permutation(images)
  for x, y in zip(fit_whitening(images, EPSILON), fit_whitening(mixed, EPSILON), strict=True):
    np.testing.assert_allclose(x, y, atol=2e-5)


def test_fewer_images_than_pixels():
  images = _images(7)
  fitted = fit_whitening(images, 1e-4)
  _, transforms = _oracle(images, 1e-4)
  # Entries up to 1 / sqrt(epsilon) = 100 in float32. The empty directions' eigenvalues come out as
  # rounding, 1e-7 beside an epsilon of 1e-4.
  np.testing.assert_allclose(fitted.transform, np.stack(transforms), atol=0.05)
  np.testing.assert_allclose(unwhiten(whiten(images, fitted), fitted), images / 255, atol=1e-4)


@pytest.mark.parametrize("count", [1, 20])
def test_constant_images(count):
  images = np.full((count, HEIGHT, WIDTH, CHANNELS), 77, np.uint8)
  fitted = fit_whitening(images, EPSILON)
  assert all(np.isfinite(x).all() for x in fitted)
  # No variance at all: W is 1 / sqrt(epsilon) times the identity.
  expected = np.tile(np.eye(NUM_PIXELS) / np.sqrt(EPSILON), (CHANNELS, 1, 1))
  np.testing.assert_allclose(fitted.transform, expected, atol=1e-5)
  np.testing.assert_allclose(whiten(images, fitted), 0, atol=1e-5)
  np.testing.assert_allclose(unwhiten(whiten(images, fitted), fitted), 77 / 255, atol=1e-6)


def test_a_pixel_that_never_varies():
  images = _images()
  images[:, 2, 3] = 0
  fitted = fit_whitening(images, 1e-6)
  white = np.asarray(whiten(images, fitted))
  np.testing.assert_allclose(white[:, 2, 3], 0, atol=1e-2)  # Rounding times 1 / sqrt(epsilon).
  np.testing.assert_allclose(unwhiten(white, fitted), images / 255, atol=1e-4)


def test_large_images_of_few_examples():
  # 1,024 pixels, 30 images of low rank. (64 x 64 takes the same way in a minute.)
  rng = np.random.default_rng(0)
  basis = rng.random((10, 32, 32, 1))
  images = np.tensordot(rng.dirichlet(np.ones(10), 30), basis, 1).astype(np.float32)
  fitted = fit_whitening(images, 0.1)
  white = whiten(images, fitted)
  assert white.shape == images.shape and np.isfinite(white).all()
  np.testing.assert_allclose(unwhiten(white, fitted), images, atol=1e-4)  # As above.
  # In the empty directions W is 1 / sqrt(epsilon): the trace tells that all are there.
  flat = (images - images.mean(axis=0)).reshape(30, -1).astype(np.float64)
  spectrum = np.linalg.svd(flat, compute_uv=False) ** 2 / 30
  trace = (1 / np.sqrt(spectrum + 0.1)).sum() + (1024 - 30) / np.sqrt(0.1)
  assert np.trace(fitted.transform[0]) == pytest.approx(trace, rel=1e-5)


def test_whiten_works_under_jit_and_gives_float32():
  images = _images(3)
  fitted = fit_whitening(_images(), EPSILON)
  found = jax.jit(whiten)(images, fitted)
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, whiten(images, fitted), atol=1e-5)


@pytest.mark.parametrize("function", [whiten, unwhiten])
def test_images_of_another_size_are_refused(function):
  fitted: Whitening = fit_whitening(_images(), EPSILON)
  for shape in ((3, WIDTH, HEIGHT, CHANNELS), (3, HEIGHT, WIDTH, 1), (HEIGHT, WIDTH, CHANNELS)):
    with pytest.raises(ValueError, match=r"^images: expected .*\[N, (6, 5, 2|H, W, C)\].*got"):
      function(jnp.zeros(shape), fitted)
