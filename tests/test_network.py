"""The encoder against numpy, and the sizes of its maps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax.config import LayerConfig, NetworkConfig
from nsn_jax.filters import Filters
from nsn_jax.network import NSN, decoded_sizes, encode, map_sizes
from nsn_jax.whitening import Whitening, fit_whitening

MNIST = ((4, 2), (3, 2), (6, 1))
SMALL = ((4, 2), (3, 2), (2, 1))  # 12 -> 5 -> 2 -> 1
LFW = ((4, 2), (3, 2), (3, 2), (3, 2), (3, 1))
NUM_FILTERS = (3, 4, 2)


def _network(
  windows: tuple[tuple[int, int], ...], channels: int, whitening: Whitening | None = None
) -> NSN:
  """Random filters; those of layers above the pixels near what the maps below hold."""
  rng = np.random.default_rng(0)
  stack = []
  for index, (kernel, _) in enumerate(windows):
    k = NUM_FILTERS[index % 3]
    mean = rng.random((k, kernel, kernel, channels)).astype(np.float32)
    variance = rng.uniform(0.05, 0.1, k) * kernel * kernel * channels
    stack.append(Filters(jnp.asarray(mean), jnp.asarray(variance, jnp.float32)))
    channels = k
  config = NetworkConfig(
    layers=tuple(LayerConfig(kernel=k, stride=s) for k, s in windows),
    whitening_epsilon=None if whitening is None else 0.1,
  )
  return NSN(tuple(stack), whitening, config)


def _images(size: int, channels: int, count: int = 2) -> np.ndarray:
  rng = np.random.default_rng(1)
  return rng.integers(0, 256, (count, size, size, channels)).astype(np.uint8)


def _oracle(nsn: NSN, images: np.ndarray) -> list[np.ndarray]:
  """`encode` in float64, by loops over positions and differences."""
  maps = images / 255.0
  if nsn.whitening is not None:
    mean, transform, _ = (np.asarray(a, np.float64) for a in nsn.whitening)
    n, h, w, c = maps.shape
    flat = (maps - mean).reshape(n, h * w, c)
    maps = np.stack([flat[..., i] @ transform[i] for i in range(c)], -1).reshape(n, h, w, c)
  found = []
  for filters, layer in zip(nsn.filters, nsn.config.layers, strict=False):
    mean, v = (np.asarray(a, np.float64) for a in filters[:2])
    (h, w), k, s = maps.shape[1:3], layer.kernel, layer.stride
    rows = []
    for y in range(0, h - k + 1, s):
      row = []
      for x in range(0, w - k + 1, s):
        patch = maps[:, None, y : y + k, x : x + k]
        distance = ((patch - mean) ** 2).sum(axis=(2, 3, 4))
        row.append(1 / (1 + np.exp(distance / (2 * v) + np.log(v) / 2)))
      rows.append(np.stack(row, axis=1))
    maps = np.stack(rows, axis=1)
    found.append(maps)
  return found


@pytest.mark.parametrize("whitened", [False, True])
def test_encode_equals_float64(whitened):
  images = _images(12, 2)
  whitening = fit_whitening(_images(12, 2, 50), 0.1) if whitened else None
  nsn = _network(SMALL, 2, whitening)
  found, expected = encode(nsn, images), _oracle(nsn, images)
  assert [m.shape for m in found] == [(2, 5, 5, 3), (2, 2, 2, 4), (2, 1, 1, 2)]
  for a, b in zip(found, expected, strict=True):
    assert a.dtype == jnp.float32
    # float32 similarities of up to 20 in three layers; whitened pixels are up to 10, their
    # distances larger, and their features near 0.
    np.testing.assert_allclose(a, b, atol=2e-5)
    assert np.ptp(b) > 1e-3


def test_encode_by_hand():
  config = NetworkConfig(layers=(LayerConfig(kernel=1, stride=1),))
  filters = Filters(jnp.array([0.0, 1.0]).reshape(2, 1, 1, 1), jnp.array([1.0, 0.25]))
  image = np.array([[0.0, 0.5]], np.float32).reshape(1, 1, 2, 1)
  (found,) = encode(NSN((filters,), None, config), image)
  # -0^2/2 and -1/0.5 + log 2; -0.125 and -0.25/0.5 + log 2.
  s = np.array([[0.0, -2 + np.log(2)], [-0.125, -0.5 + np.log(2)]])
  np.testing.assert_allclose(found[0, 0], 1 / (1 + np.exp(-s)), atol=1e-6)


@pytest.mark.parametrize(
  ("size", "windows", "sides"), [(28, MNIST, [13, 6, 1]), (64, LFW, [31, 15, 7, 3, 1])]
)
def test_map_sizes_are_the_papers(size, windows, sides):
  nsn = _network(windows, 1)
  assert map_sizes((size, size), nsn.config.layers) == [(side, side) for side in sides]
  shapes = [m.shape for m in encode(nsn, _images(size, 1))]
  assert shapes == [
    (2, side, side, f.num_filters) for side, f in zip(sides, nsn.filters, strict=True)
  ]


def test_a_plain_network_encodes_larger_images():
  # Each part of a large image has the maps that it has alone.
  nsn = _network(MNIST, 1)
  large = _images(32, 1)  # 32 -> 15 -> 7 -> 2
  found = encode(nsn, large)
  assert [m.shape[1:3] for m in found] == [(15, 15), (7, 7), (2, 2)]
  corner = encode(nsn, large[:, 4:, :28])
  for a, b in zip(found, corner, strict=True):
    side = b.shape[1]
    np.testing.assert_allclose(a[:, -side:, :side], b, atol=1e-5)  # products of other sizes
  wide = encode(nsn, large[:, :28])
  assert wide[-1].shape == (2, 1, 2, 2)


def test_encode_takes_8_bit_and_float_alike():
  nsn, images = _network(MNIST, 1), _images(28, 1)
  unit = images / 255
  for dtype in (np.float32, np.float64):
    for a, b in zip(encode(nsn, images), encode(nsn, unit.astype(dtype)), strict=True):
      np.testing.assert_allclose(a, b, atol=1e-6)
  for a, b in zip(encode(nsn, images), encode(nsn, jnp.asarray(images)), strict=True):
    np.testing.assert_array_equal(a, b)


def test_images_are_encoded_one_by_one():
  nsn, images = _network(MNIST, 1), _images(28, 1)
  swapped = encode(nsn, images[::-1].copy())
  for a, b in zip(encode(nsn, images), swapped, strict=True):
    np.testing.assert_allclose(a[::-1], b, atol=1e-6)


def test_a_network_trained_in_part_encodes_its_layers():
  nsn, images = _network(MNIST, 1), _images(28, 1)
  part = dataclasses.replace(nsn, filters=nsn.filters[:2])
  assert (part.num_layers, part.num_filters) == (2, (3, 4))
  found = encode(part, images)
  assert len(found) == 2
  for a, b in zip(found, encode(nsn, images), strict=False):
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_network_without_layers_is_refused():
  nsn = dataclasses.replace(_network(MNIST, 1), filters=())
  with pytest.raises(ValueError, match=r"^nsn: expected .*at least one"):
    encode(nsn, _images(28, 1))


def test_a_network_is_a_pytree_with_a_static_config():
  nsn = _network(MNIST, 1)
  leaves, tree = jax.tree.flatten(nsn)
  assert len(leaves) == 6
  doubled = jax.tree.map(lambda x: 2 * x, nsn)
  assert doubled.config is nsn.config
  np.testing.assert_array_equal(doubled.filters[1].variance, 2 * nsn.filters[1].variance)
  assert hash(nsn.config) == hash(_network(MNIST, 1).config)
  assert tree == jax.tree.structure(_network(MNIST, 1))
  assert tree != jax.tree.structure(_network(((4, 2), (3, 2), (3, 1)), 1))


def test_sizes_downwards_are_those_upwards():
  layers = tuple(LayerConfig(kernel=k, stride=s) for k, s in ((4, 2), (3, 2), (6, 1)))
  pixels, *maps = decoded_sizes((1, 1), layers)
  assert pixels == (28, 28)  # the paper's three layers of MNIST
  assert maps == map_sizes((28, 28), layers) == [(13, 13), (6, 6), (1, 1)]
  # A map that is not square, and no layer at all.
  assert decoded_sizes((1, 2), layers)[0] == (28, 32)
  assert decoded_sizes((3, 2), ()) == [(3, 2)]
