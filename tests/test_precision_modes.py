"""JAX's 64-bit mode and the other byte order: the same networks, in float32, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import LayerConfig, NetworkConfig, applications, baselines

_KEY = jax.random.key(0)
_ONE_LAYER = NetworkConfig(
  layers=(
    LayerConfig(kernel=8, stride=1, em_steps=1, patience=1, exchange_steps=1, max_passes=1, rank=2),
  ),
  sampler=nsn_jax.SamplerConfig(prior="mixture"),
  whitening_epsilon=0.1,
)
_TWO_LAYERS = NetworkConfig(
  layers=(LayerConfig(kernel=4, stride=2), LayerConfig(kernel=3, stride=1))
)
_PIXELS = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)


def _network() -> nsn_jax.NSN:
  rng = np.random.default_rng(0)
  shapes = (3, 4, 4, 1), (2, 3, 3, 3)
  means = [rng.random(shape).astype(np.float32) for shape in shapes]
  filters = (nsn_jax.Filters(mean, np.ones(len(mean), np.float32)) for mean in means)
  return nsn_jax.NSN(tuple(filters), None, _TWO_LAYERS)


def _everything(images: np.ndarray) -> list[jax.Array]:
  """Arrays of a training, and of all that is done with a network."""
  nsn = _network()
  maps = nsn_jax.encode(nsn, images[:10])
  top = np.asarray(maps[-1])
  top = top.astype(images.dtype) if images.dtype.kind == "f" else top
  found = [
    nsn_jax.fit(_KEY, images, _ONE_LAYER),
    maps,
    nsn_jax.sample(_KEY, nsn, 5),
    nsn_jax.decode(_KEY, nsn, top, nsn_jax.SamplerConfig(alpha=0.5)),
    applications.fill(_KEY, nsn, images[:3], np.eye(8) > 0),
    applications.style(_KEY, nsn, images[:3]),
  ]
  arrays = jax.tree.leaves(found)
  assert {x.dtype for x in arrays} == {jnp.dtype(jnp.float32)}
  return arrays


@pytest.mark.filterwarnings("error::FutureWarning")
def test_64_bit_mode_changes_no_bit():
  expected = _everything(_PIXELS)
  with jax.enable_x64(True):
    found = _everything(_PIXELS)
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_array_equal(a, b)


def test_the_other_byte_order_changes_no_bit():
  unit = _PIXELS / np.float32(255)
  other = unit.astype(unit.dtype.newbyteorder())
  assert not other.dtype.isnative
  for a, b in zip(_everything(other), _everything(unit), strict=True):
    np.testing.assert_array_equal(a, b)


def test_patches_and_filters_of_the_other_byte_order():
  patches = nsn_jax.extract_patches(_PIXELS / np.float32(255), 4, 2)
  filters = nsn_jax.Filters(np.asarray(patches[:3, 0, 0]), np.ones(3, np.float32))
  other = nsn_jax.Filters(*(x.astype(">f4") for x in map(np.asarray, filters[:2])))
  expected = nsn_jax.similarity(patches, filters)
  np.testing.assert_array_equal(
    nsn_jax.similarity(np.asarray(patches).astype(">f4"), other), expected
  )
  statistics = nsn_jax.e_step(np.asarray(patches).astype(">f4"), other, -1.0)
  np.testing.assert_array_equal(statistics.count, nsn_jax.e_step(patches, filters, -1.0).count)


@pytest.mark.parametrize("name", sorted(baselines.MODELS))
def test_baselines_stay_in_float32(name):
  with jax.enable_x64(True):
    model = baselines.make(name, (16, 16, 1), batch_size=8)
    state = jax.eval_shape(model.init, _KEY)
    batch = jax.ShapeDtypeStruct((8, 16, 16, 1), jnp.float32)
    after, _ = jax.eval_shape(model.step, _KEY, state, batch)
    drawn = jax.eval_shape(lambda key, state: model.generate(key, state, 4), _KEY, state)
  for leaf in jax.tree.leaves((state, after, drawn)):
    assert leaf.dtype in (jnp.float32, jnp.int32), leaf
