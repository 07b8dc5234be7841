"""Filling: what must stay, what must change, and the whole image against the decoder itself."""

import dataclasses

import jax
import numpy as np
import pytest

import nsn_jax
from nsn_jax import applications
from nsn_jax.applications.conditional import conditional_mean

KEY = jax.random.key(0)


def test_visible_pixels_stay_and_hidden_ones_are_filled(nsn, images):
  mask = np.zeros((28, 28), bool)
  mask[9:20, 5:23] = True
  found = np.asarray(applications.fill(KEY, nsn, images, mask, 3))
  assert found.shape == (3, 5, 28, 28, 1) and np.isfinite(found).all()
  unit = images / np.float32(255)
  # 1 / 255 may be rounded before the product.
  same = np.broadcast_to(unit, found.shape)[:, :, ~mask]
  np.testing.assert_allclose(found[:, :, ~mask], same, rtol=2**-22)
  assert np.abs(found[:, :, mask]).max(axis=(1, 2, 3)).min() > 0.05
  # What lies under the mask is not looked at.
  other = np.where(mask[..., None], 255 - images, images)
  np.testing.assert_array_equal(found, applications.fill(KEY, nsn, other, mask, 3))
  # A mask for each image, and floats for 8 bits.
  each = np.broadcast_to(mask, (5, 28, 28))
  again = np.asarray(applications.fill(KEY, nsn, unit, each, 3))
  np.testing.assert_allclose(found, again, atol=1e-6)


def test_nothing_hidden_is_nothing_done(nsn, images):
  found = applications.fill(KEY, nsn, images, np.zeros((28, 28), bool))
  np.testing.assert_allclose(found[0], images / np.float32(255), rtol=2**-22)


def test_everything_hidden_is_a_decoded_background(nsn, images):
  found = applications.fill(KEY, nsn, images, np.ones((28, 28), bool), background=0.5)
  top_key, pixel_key = jax.random.split(jax.random.split(jax.random.split(KEY, 1)[0], 1)[0])
  sampler = dataclasses.replace(nsn.config.sampler, beta=1.0, decoder="exact")
  maps = nsn_jax.encode(nsn, np.full(images.shape, 0.5, np.float32))
  below = nsn_jax.decode(top_key, nsn, maps[-1], sampler, stop_layer=0)
  expected = nsn_jax.decode(pixel_key, nsn, below, sampler, layer=0)
  np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_second_round_begins_with_the_first_ones_filling(nsn, images):
  mask = np.zeros((28, 28), bool)
  mask[14:] = True
  one, two = (applications.fill(KEY, nsn, images, mask, num_rounds=n) for n in (1, 2))
  assert (np.asarray(one) != np.asarray(two)).any()


def test_hidden_pixels_begin_with_their_mean_given_the_visible_ones(nsn, images):
  mask = np.zeros((28, 28), bool)
  mask[10:18, 10:18] = True
  unit = images / np.float32(255)
  given = conditional_mean(unit, mask, nsn.whitening, nsn.config.whitening_epsilon)
  # Decoded by the lowest layer alone, that is nearly what comes out; the last layer draws an image.
  lowest, last = (applications.fill(KEY, nsn, images, mask, layer=layer) for layer in (0, None))
  pixel_key = jax.random.split(jax.random.split(jax.random.split(KEY, 1)[0], 1)[0])[1]
  expected = nsn_jax.decode(
    pixel_key,
    nsn,
    nsn_jax.encode(nsn, given)[0],
    dataclasses.replace(nsn.config.sampler, beta=1.0, decoder="exact"),
    layer=0,
  )
  hidden = np.asarray(lowest)[0][:, mask]
  np.testing.assert_allclose(hidden, np.asarray(expected)[:, mask], atol=1e-4)
  assert np.abs(np.asarray(last)[0][:, mask] - hidden).max() > 0.05


def test_without_whitening_hidden_pixels_begin_black(nsn, images):
  config = dataclasses.replace(nsn.config, whitening_epsilon=None)
  plain = dataclasses.replace(nsn, whitening=None, config=config, contrast=None)
  mask = np.zeros((28, 28), bool)
  mask[9:20, 5:23] = True
  found = applications.fill(KEY, plain, images, mask)
  black = applications.fill(KEY, plain, images, mask, background=0.0)
  np.testing.assert_array_equal(found, black)


def test_fill_errors(nsn, images):
  mask = np.zeros((28, 28), bool)
  with pytest.raises(ValueError, match=r"mask: expected bool \[28, 28\] or \[5, 28, 28\], got int"):
    applications.fill(KEY, nsn, images, mask.astype(int))
  with pytest.raises(ValueError, match=r"got bool \(27, 28\)"):
    applications.fill(KEY, nsn, images, mask[1:])
  for name in ("num_draws", "num_rounds"):
    with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1"):
      applications.fill(KEY, nsn, images, mask, **{name: 0})
  for background in (np.zeros((28, 28)), 1.5, np.full((28, 28, 1), 200, np.uint8), float("nan")):
    with pytest.raises(ValueError, match=r"background: expected one number in \[0, 1\], or \[28"):
      applications.fill(KEY, nsn, images, mask, background=background)
  with pytest.raises(ValueError, match="layer: expected an integer"):
    applications.fill(KEY, nsn, images, mask, layer=nsn.num_layers)
  first = nsn_jax.NSN(nsn.filters[:1], nsn.whitening, nsn.config)
  with pytest.raises(ValueError, match="nsn: expected a network of at least two layers, got 1"):
    applications.fill(KEY, first, images, mask)
