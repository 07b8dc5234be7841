"""Applications: what must stay, what must change, and sums and paths against the decoder itself."""

import dataclasses

import jax
import numpy as np
import pytest

import nsn_jax
from nsn_jax import applications, data
from nsn_jax.applications import styling

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
  return data.load("digits", split="test", limit=5).images


@pytest.fixture(scope="module")
def plain(nsn) -> nsn_jax.NSN:
  """A network without whitening, which takes images of any size: the first layer of 4 x 4."""
  rng = np.random.default_rng(0)
  layers = tuple(nsn_jax.LayerConfig(kernel=k, stride=s) for k, s in ((4, 2), (3, 1)))
  shapes = ((6, 4, 4, 1), (5, 3, 3, 6))
  filters = tuple(
    nsn_jax.Filters(rng.uniform(size=shape).astype(np.float32), np.ones(shape[0], np.float32))
    for shape in shapes
  )
  return nsn_jax.NSN(filters, None, nsn_jax.NetworkConfig(layers=layers))


# filling


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
  sampler = dataclasses.replace(nsn.config.sampler, beta=1.0)
  maps = nsn_jax.encode(nsn, np.full(images.shape, 0.5, np.float32))
  below = nsn_jax.decode(top_key, nsn, maps[-1], sampler, stop_layer=0)
  expected = nsn_jax.decode(pixel_key, nsn, below, sampler, layer=0)
  np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_second_round_begins_with_the_first_ones_filling(nsn, images):
  mask = np.zeros((28, 28), bool)
  mask[14:] = True
  one, two = (applications.fill(KEY, nsn, images, mask, num_rounds=n) for n in (1, 2))
  assert (np.asarray(one) != np.asarray(two)).any()


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
  first = nsn_jax.NSN(nsn.filters[:1], nsn.whitening, nsn.config)
  with pytest.raises(ValueError, match="nsn: expected a network of at least two layers, got 1"):
    applications.fill(KEY, first, images, mask)


# styling


def test_an_image_of_the_whitenings_size_is_coded_and_decoded(nsn, images):
  found = np.asarray(applications.style(KEY, nsn, images, 2))
  assert found.shape == (2, 5, 28, 28, 1)
  key = jax.random.fold_in(jax.random.split(KEY, 2)[1], 0)
  maps = nsn_jax.encode(nsn, images)[0]
  np.testing.assert_allclose(found[1], nsn_jax.decode(key, nsn, maps, layer=0), atol=1e-5)


@pytest.mark.parametrize("size", [(28, 41), (60, 28), (20, 35), (9, 5)])
def test_images_of_any_size_are_styled(nsn, size):
  rng = np.random.default_rng(0)
  found = applications.style(KEY, nsn, rng.integers(0, 256, (2, *size, 1)).astype(np.uint8))
  assert found.shape == (1, 2, *size, 1) and np.isfinite(found).all()


@pytest.mark.parametrize("size", [(28, 28), (11, 16), (4, 4), (2, 7)])
def test_a_plain_network_styles_without_tiles(plain, size):
  images = np.random.default_rng(0).uniform(size=(1, *size, 1)).astype(np.float32)
  assert applications.style(KEY, plain, images).shape == (1, 1, *size, 1)


def test_tiles_of_equal_content_fade_without_seams(nsn, monkeypatch):
  # Where every tile decodes to its own input, so does the whole.
  monkeypatch.setattr(styling, "encode_first", lambda _, images: images)
  monkeypatch.setattr(styling, "decode", lambda _key, _nsn, maps, *_, **__: maps)
  images = np.random.default_rng(0).uniform(size=(2, 70, 45, 1)).astype(np.float32)
  found = applications.style(KEY, nsn, images)
  np.testing.assert_allclose(found[0], images, atol=1e-5)


def test_a_large_white_image_shows_no_ghost_of_the_training_images(nsn):
  found = np.asarray(applications.style(KEY, nsn, np.full((1, 84, 84, 1), 255, np.uint8)))
  middle = found[0, 0, 28:56, 28:56]
  digit = nsn.whitening.mean - nsn.whitening.mean.mean()
  share = ((middle - middle.mean()) * digit).sum() / (digit**2).sum()
  # 0.19 of the mean digit where it was taken from every tile; 0.06 is what the matrix leaves.
  assert abs(share) < 0.1


@pytest.mark.parametrize(
  ("side", "tile", "expected"),
  [(28, 28, [0]), (20, 28, [0]), (29, 28, [0, 1]), (56, 28, [0, 14, 28]), (45, 20, [0, 8, 17, 25])],
)
def test_tiles_cover_a_side_by_hand(side, tile, expected):
  assert styling._starts(side, tile) == expected


# interpolation and arithmetic


def test_a_path_begins_and_ends_at_its_filters(nsn):
  sampler = dataclasses.replace(nsn.config.sampler, gamma=1e4)
  found = np.asarray(
    applications.interpolate(KEY, nsn, 1, 3, num_steps=5, num_draws=2, sampler=sampler)
  )
  assert found.shape == (2, 5, 28, 28, 1)
  one_hot = np.eye(nsn.num_filters[-1], dtype=np.float32)[:, None, None]
  ends = np.asarray(nsn_jax.decode(KEY, nsn, one_hot, sampler))
  # Sharp and without noise, so that a filter decodes to one image whatever the key.
  np.testing.assert_allclose(found[:, 0], np.stack([ends[1]] * 2), atol=1e-4)
  np.testing.assert_allclose(found[:, -1], np.stack([ends[3]] * 2), atol=1e-4)


def test_a_filter_plus_another_minus_that_is_itself(nsn):
  sampler = dataclasses.replace(nsn.config.sampler, gamma=1e4)
  found = applications.add_filters(KEY, nsn, (0, 2, 2), 2, sampler=sampler)
  assert found.terms.shape == (2, 3, 28, 28, 1) and found.result.shape == (2, 28, 28, 1)
  np.testing.assert_allclose(found.result, found.terms[:, 0], atol=1e-4)
  other = applications.add_filters(KEY, nsn, (0, 2, 1), 1, sampler=sampler)
  assert np.abs(np.asarray(other.result[0] - other.terms[0, 0])).max() > 0.05


def test_index_errors(nsn):
  last = nsn.num_filters[-1] - 1
  with pytest.raises(ValueError, match=f"second: expected an integer from 0 to {last}"):
    applications.interpolate(KEY, nsn, 0, last + 1)
  with pytest.raises(ValueError, match="num_steps: expected an integer of at least 2, got 1"):
    applications.interpolate(KEY, nsn, 0, 1, 1)
  with pytest.raises(ValueError, match=r"filters: expected three indices.* got \[0\]"):
    applications.add_filters(KEY, nsn, [0])
  with pytest.raises(ValueError, match="filters: expected an integer from 0"):
    applications.add_filters(KEY, nsn, [0, -1, 1])
