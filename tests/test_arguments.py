"""Bad input at the public boundary: the error names the argument, what was expected, what came."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import Filters, LayerConfig, NetworkConfig, SamplerConfig

KEY = jax.random.key(0)
# 8 -> 3 -> 1. What is tested here ends before anything is trained.
CONFIG = NetworkConfig(
  layers=(LayerConfig(kernel=4, stride=2), LayerConfig(kernel=3, stride=1)),
)
# One layer over the whole image, as cheap as it gets; shapes and numbers of test_growth's, whose
# programs are used again.
TINY = NetworkConfig(
  layers=(LayerConfig(kernel=4, stride=1, em_steps=1, patience=1, exchange_steps=0, max_passes=2),)
)


def _refuses(name: str, call: Callable[[], Any]) -> None:
  """Asserts a ValueError like 'images: expected ..., got ...'."""
  with pytest.raises(ValueError) as caught:
    call()
  message = str(caught.value)
  assert message.split(":")[0].split(" of ")[0] in name.split("|"), message
  assert "expected" in message and "got" in message, message


@functools.cache
def _network(channels: int = 1, whitened: bool = False) -> nsn_jax.NSN:
  """Random filters for CONFIG."""
  rng = np.random.default_rng(0)
  shapes = ((3, 4, 4, channels), (2, 3, 3, 3))
  filters = tuple(
    Filters(jnp.asarray(rng.random(shape), jnp.float32), jnp.full(shape[:1], 2.0))
    for shape in shapes
  )
  config, whitening = CONFIG, None
  if whitened:
    config = dataclasses.replace(CONFIG, whitening_epsilon=0.1)
    images = rng.integers(0, 256, (50, 8, 8, channels)).astype(np.uint8)
    whitening = nsn_jax.fit_whitening(images, 0.1)
  return nsn_jax.NSN(filters, whitening, config)


def _with(value: float, shape: tuple[int, ...] = (5, 8, 8, 1)) -> np.ndarray:
  """Floats in [0, 1], but for one."""
  array = np.random.default_rng(0).random(shape).astype(np.float32)
  array.ravel()[17 % array.size] = value
  return array


# images: of fit, encode and fit_whitening

BAD_IMAGES = {
  "none at all": np.zeros((0, 8, 8, 1), np.uint8),
  "no pixels": np.zeros((5, 0, 8, 1), np.uint8),
  "no channels": np.zeros((5, 8, 8, 0), np.float32),
  "one image without its axis": np.zeros((8, 8, 1), np.uint8),
  "no channel axis": np.zeros((5, 8, 8), np.uint8),
  "five axes": np.zeros((1, 5, 8, 8, 1), np.uint8),
  "a list": [[[[0.0]]]],
  "None": None,
  "NaN": _with(np.nan),
  "infinity": _with(np.inf),
  "minus infinity": _with(-np.inf),
  "floats up to 255": np.full((5, 8, 8, 1), 255.0, np.float32),
  "floats in [-1, 1]": _with(-1.0),
  "just above 1": _with(1.01),
  "int32": np.zeros((5, 8, 8, 1), np.int32),
  "int8": np.zeros((5, 8, 8, 1), np.int8),
  "bool": np.zeros((5, 8, 8, 1), bool),
  "complex": np.zeros((5, 8, 8, 1), np.complex64),
  "NaN on the device": jnp.asarray(_with(np.nan)),
  "int32 on the device": jnp.zeros([5, 8, 8, 1], jnp.int32),
}


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_images(kind):
  images: Any = BAD_IMAGES[kind]
  _refuses("images", lambda: nsn_jax.fit(KEY, images, CONFIG))
  _refuses("images", lambda: nsn_jax.encode(_network(), images))
  _refuses("images", lambda: nsn_jax.fit_whitening(images, 0.1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images_may_leave_the_range_by_rounding(dtype):
  images = np.linspace(0, 1, 5 * 64).reshape(5, 8, 8, 1).astype(dtype)
  images[0, 0, 0, 0], images[-1, -1, -1, 0] = -1e-6, 1 + np.finfo(dtype).eps
  assert len(nsn_jax.encode(_network(), images)) == 2


@pytest.mark.parametrize(
  ("size", "name"),
  [
    ((3, 3), "kernel"),
    ((8, 3), "kernel"),
    ((2, 8), "kernel"),
    ((4, 4), "kernel"),  # Layer 1 gets a 1 x 1 map.
    ((9, 9), "kernel, stride"),
    ((8, 9), "kernel, stride"),
  ],
)
def test_images_that_the_windows_do_not_fit(size, name):
  images = np.zeros((5, *size, 1), np.uint8)
  _refuses(name, lambda: nsn_jax.fit(KEY, images, CONFIG))
  _refuses(name, lambda: nsn_jax.encode(_network(), images))


def test_images_of_other_channels():
  colour = np.zeros((5, 8, 8, 3), np.uint8)
  _refuses("images", lambda: nsn_jax.encode(_network(), colour))
  _refuses("images", lambda: nsn_jax.encode(_network(whitened=True), colour))
  _refuses("images", lambda: nsn_jax.encode(_network(3), colour[..., :1]))


def test_images_of_another_size_than_the_whitening():
  _refuses(
    "images", lambda: nsn_jax.encode(_network(whitened=True), np.zeros((5, 10, 10, 1), np.uint8))
  )


# fit and fit_layer


def test_a_config_that_does_not_end_at_one_position():
  _refuses("config", lambda: nsn_jax.fit(KEY, np.zeros((5, 10, 10, 1), np.uint8), CONFIG))


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_memory_budget_gb(value):
  images = np.zeros((5, 8, 8, 1), np.uint8)
  _refuses("memory_budget_gb", lambda: nsn_jax.fit(KEY, images, CONFIG, memory_budget_gb=value))
  maps = np.zeros((5, 8, 8, 1), np.float32)
  layer = CONFIG.layers[0]
  _refuses("memory_budget_gb", lambda: nsn_jax.fit_layer(KEY, maps, layer, memory_budget_gb=value))


def test_initial_networks_that_do_not_fit():
  images = np.zeros((5, 8, 8, 1), np.uint8)
  other = dataclasses.replace(CONFIG, sampler=SamplerConfig(beta=2.0))
  _refuses("initial", lambda: nsn_jax.fit(KEY, images, other, initial=_network()))
  colour = np.zeros((5, 8, 8, 3), np.uint8)
  _refuses("initial|images", lambda: nsn_jax.fit(KEY, colour, CONFIG, initial=_network()))
  whitened = _network(whitened=True)
  large = np.zeros((5, 10, 10, 1), np.uint8)
  layers = (LayerConfig(kernel=4, stride=2), LayerConfig(kernel=4, stride=1))
  config = dataclasses.replace(whitened.config, layers=layers)
  initial = nsn_jax.NSN(whitened.filters[:1], whitened.whitening, config)
  _refuses("initial.whitening.mean", lambda: nsn_jax.fit(KEY, large, config, initial=initial))


BAD_MAPS = {
  "none at all": np.zeros((0, 8, 8, 2), np.float32),
  "no channels": np.zeros((5, 8, 8, 0), np.float32),
  "no channel axis": np.zeros((5, 8, 8), np.float32),
  "five axes": np.zeros((1, 5, 8, 8, 2), np.float32),
  "a list": [[[[0.0]]]],
  "NaN": _with(np.nan, (5, 8, 8, 2)),
  "infinity": _with(-np.inf, (5, 8, 8, 2)),
  "too large for float32": np.full((5, 8, 8, 2), 1e39),
  "uint8": np.zeros((5, 8, 8, 2), np.uint8),
  "int64": np.zeros((5, 8, 8, 2), np.int64),
}


@pytest.mark.parametrize("kind", BAD_MAPS)
def test_feature_maps(kind):
  maps: Any = BAD_MAPS[kind]
  _refuses("feature_maps", lambda: nsn_jax.fit_layer(KEY, maps, CONFIG.layers[0]))


@pytest.mark.parametrize(
  ("size", "name"), [((3, 8), "kernel"), ((8, 3), "kernel"), ((8, 7), "kernel, stride")]
)
def test_feature_maps_that_the_window_does_not_fit(size, name):
  maps = np.zeros((5, *size, 2), np.float32)
  _refuses(name, lambda: nsn_jax.fit_layer(KEY, maps, CONFIG.layers[0]))


# keys

BAD_KEYS = {
  "None": None,
  "a seed": 0,
  "a string": "key",
  "floats": np.zeros(2, np.float32),
  "several": jax.random.split(KEY, 3),
  "several of the old kind": np.zeros((3, 2), np.uint32),
  "too many words": np.zeros(3, np.uint32),
}


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_key(kind):
  key: Any = BAD_KEYS[kind]
  images, maps = np.zeros((5, 8, 8, 1), np.uint8), np.zeros((5, 8, 8, 1), np.float32)
  _refuses("key", lambda: nsn_jax.fit(key, images, CONFIG))
  _refuses("key", lambda: nsn_jax.fit_layer(key, maps, CONFIG.layers[0]))
  _refuses("key", lambda: nsn_jax.sample(key, _network(), 2))
  top = np.zeros((2, 1, 1, 2), np.float32)
  _refuses("key", lambda: nsn_jax.decode(key, _network(), top))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_of_every_kind_draw_alike(impl):
  typed = jax.random.key(3, impl=impl)
  words = jax.random.key_data(typed)
  keys = [typed] if impl == "unsafe_rbg" else [typed, words, np.asarray(words)]
  if impl == "threefry2x32":
    keys.append(jax.random.PRNGKey(3))
  images = np.random.default_rng(0).random((5, 4, 4, 1)).astype(np.float32)
  drawn = [nsn_jax.sample(key, _network(), 2) for key in keys]
  trained = [nsn_jax.fit(key, images, TINY).filters[0].mean for key in keys]
  for found in (drawn, trained):
    for other in found[1:]:
      np.testing.assert_array_equal(other, found[0])


# sample and decode


@pytest.mark.parametrize("value", [0, -1, 2.0, True, None, "3"])
def test_num_samples(value):
  _refuses("num_samples", lambda: nsn_jax.sample(KEY, _network(), value))


@pytest.mark.parametrize("value", [-1, 2, 1.0, True, "0"])
def test_layer(value):
  top = np.zeros((2, 1, 1, 2), np.float32)
  _refuses("layer", lambda: nsn_jax.sample(KEY, _network(), 2, layer=value))
  _refuses("layer", lambda: nsn_jax.decode(KEY, _network(), top, layer=value))


@pytest.mark.parametrize(("layer", "stop_layer"), [(1, 1), (1, 2), (1, -1), (0, 0), (1, 0.0)])
def test_stop_layer(layer, stop_layer):
  maps = np.zeros((2, 1, 1, 2 if layer else 3), np.float32)
  _refuses(
    "stop_layer",
    lambda: nsn_jax.decode(KEY, _network(), maps, layer=layer, stop_layer=stop_layer),
  )


BAD_TOPS = {
  "none at all": np.zeros((0, 1, 1, 2), np.float32),
  "no positions": np.zeros((2, 0, 1, 2), np.float32),
  "three axes": np.zeros((1, 1, 2), np.float32),
  "a vector": np.zeros(2, np.float32),
  "a list": [[[[0.0, 1.0]]]],
  "channels of the layer below": np.zeros((2, 1, 1, 3), np.float32),
  "NaN": np.full((2, 1, 1, 2), np.nan, np.float32),
  "infinity": np.full((2, 1, 1, 2), np.inf, np.float32),
  "int32": np.zeros((2, 1, 1, 2), np.int32),
}


@pytest.mark.parametrize("kind", BAD_TOPS)
def test_feature_map(kind):
  top: Any = BAD_TOPS[kind]
  _refuses("feature_map", lambda: nsn_jax.decode(KEY, _network(), top))


def test_feature_map_larger_than_the_whitening():
  maps = np.zeros((2, 2, 1, 2), np.float32)
  _refuses("feature_map", lambda: nsn_jax.decode(KEY, _network(whitened=True), maps))


@pytest.mark.parametrize("name", ["gamma", "num_draws", "alpha", "beta"])
def test_knobs_for_another_number_of_layers(name):
  for count in (1, 3):
    knobs = SamplerConfig(**{name: (1,) * count})
    _refuses(name, lambda knobs=knobs: nsn_jax.sample(KEY, _network(), 2, knobs))
    _refuses(name, lambda knobs=knobs: NetworkConfig(layers=CONFIG.layers, sampler=knobs))


def test_a_network_without_layers():
  empty = dataclasses.replace(_network(), filters=())
  _refuses("nsn", lambda: nsn_jax.sample(KEY, empty, 2))
  _refuses("nsn", lambda: nsn_jax.decode(KEY, empty, np.zeros((2, 1, 1, 2), np.float32)))


# configurations

NAN, INF = float("nan"), float("inf")
BAD_LAYERS = {
  "kernel": [0, -1, 2.0, "4", None, True],
  "stride": [0, -1, 1.0, 4],
  "threshold": [NAN, INF, -INF, None, "low"],
  "growth_patches": [1, 0, 1e4],
  "seeds_per_step": [0, 1.5],
  "em_steps": [0, -1],
  "min_patches": [0, 8.0],
  "tolerated_share": [-0.1, 1, NAN, None],
  "patience": [0, None],
  "min_growth": [-0.1, 1.0, NAN, "few"],
  "exchange_steps": [-1, 1.0],
  "max_growth_steps": [0, 1e3],
  "max_filters": [0, INF],
  "max_passes": [-1, None],
  "tolerance": [-1e-9, 1.0, NAN, "small"],
  "variance_floor": [0, -1e-4, NAN, INF, None, 1e-46],  # the last has no inverse in float32
  "use_basis": [None, 1, "yes"],
  "pooled": [None, 1, "yes"],
  "sample_patches": [1, 1e5, None],
  "rank": [-1, 2.0, None, True],
  "decoder": ["fed", "exact", None, 1],
  "context": [0, 2, 3.0, None],
  "num_features": [0, 48.0],
  "num_directions": [0, 256.0, None],
  "position_features": [-1, 48.0],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD_LAYERS.items() for v in vs])
def test_layer_config(name, value):
  _refuses(name, lambda: LayerConfig(**{"kernel": 3, "stride": 1, name: value}))


BAD_KNOBS = {
  "gamma": [-1.0, NAN, INF, None, "200", (1.0, NAN), (1.0, -1.0), True, 1e39, 10**400],
  "num_draws": [0, -1, 1.5, None, (1, 0), (1, 2.0)],
  "alpha": [-0.1, NAN, INF, None, (0.0, -1.0)],
  "beta": [NAN, INF, None, "1", (1.0, None)],
  "prior": ["", "Noise", None, 1, ("noise",)],
  "temperature": [-0.1, NAN, INF, None, "1", (1.0, 1.0)],
  "decoder": ["corrected", "", None, 0],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD_KNOBS.items() for v in vs])
def test_sampler_config(name, value):
  _refuses(name, lambda: SamplerConfig(**{name: value}))


def test_numpys_knobs_become_plain():
  found = SamplerConfig(gamma=[np.float32(2), 3], num_draws=np.int64(4), beta=np.float64(-1))
  assert found == SamplerConfig(gamma=(2.0, 3.0), num_draws=4, beta=-1.0)
  plain = (*found.gamma, found.num_draws, found.beta)
  assert [type(x) for x in plain] == [float, float, int, float]


@pytest.mark.parametrize("value", [(), [], [LayerConfig(kernel=3, stride=1)], None, (3, 2), ("4",)])
def test_layers(value):
  _refuses("layers", lambda: NetworkConfig(layers=value))


@pytest.mark.parametrize("value", [0, -0.1, NAN, INF, "0.1"])
def test_epsilon(value):
  _refuses(
    "whitening_epsilon", lambda: NetworkConfig(layers=CONFIG.layers, whitening_epsilon=value)
  )
  _refuses("epsilon", lambda: nsn_jax.fit_whitening(np.zeros((5, 4, 4, 1), np.uint8), value))


# input that is odd, and works


@pytest.mark.parametrize("epsilon", [None, 0.1])
@pytest.mark.parametrize(
  ("count", "value"), [(1, None), (40, 0), (40, 255)], ids=["one image", "black", "white"]
)
def test_one_image_and_constant_images_work(count, value, epsilon):
  config = dataclasses.replace(TINY, whitening_epsilon=epsilon)
  if value is None:
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1)).astype(np.uint8)
  else:
    images = np.full((count, 4, 4, 1), value, np.uint8)
  nsn = nsn_jax.fit(KEY, images, config)
  assert nsn.num_filters == (1,)
  assert nsn.filters[0].variance[0] == np.float32(TINY.layers[0].variance_floor)
  (found,) = nsn_jax.encode(nsn, images)
  assert found.shape == (count, 1, 1, 1) and (found > 0.98).all()
  pixels = nsn_jax.sample(KEY, nsn, 2, SamplerConfig())
  # The one filter is the image, in float32 and through the whitening's inverse.
  np.testing.assert_allclose(pixels, images[:1].repeat(2, axis=0) / 255, atol=1e-5)


def test_old_keys_and_numpys_numbers_work():
  old, new = jax.random.PRNGKey(3), jax.random.key(3)
  a = nsn_jax.sample(old, _network(), np.int64(2), layer=np.int32(0))
  np.testing.assert_array_equal(a, nsn_jax.sample(new, _network(), 2, layer=0))
  np.testing.assert_array_equal(a, nsn_jax.sample(np.asarray(old), _network(), 2, layer=0))
