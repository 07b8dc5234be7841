"""Styling: one tile against the decoder itself, tiles without seams, and images of any size."""

import dataclasses

import jax
import numpy as np
import pytest

import nsn_jax
from nsn_jax import applications
from nsn_jax.applications import styling

KEY = jax.random.key(0)


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


def test_an_image_of_the_whitenings_size_is_coded_and_decoded(nsn, images):
  found = np.asarray(applications.style(KEY, nsn, images, 2))
  assert found.shape == (2, 5, 28, 28, 1)
  key = jax.random.fold_in(jax.random.split(KEY, 2)[1], 0)
  maps = nsn_jax.encode(nsn, images)[0]
  # The contrast that samples need has no part in it.
  plain = dataclasses.replace(nsn, contrast=None)
  np.testing.assert_allclose(found[1], nsn_jax.decode(key, plain, maps, layer=0), atol=1e-5)


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
