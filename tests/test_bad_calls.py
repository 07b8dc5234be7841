"""Every public function, called wrongly in every argument: one clear error, named by the argument.

A call that is right is changed in one argument at a time. Arrays are given by numpy and by JAX: a
check that holds for one may not hold for the other, whose minimum may drop a NaN.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import applications, baselines, density, metrics
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.em import Statistics
from nsn_jax.filters import Filters
from nsn_jax.metrics.frechet import FeatureStatistics
from nsn_jax.prior import Prior

_KEY = jax.random.key(0)
_LAYERS = (LayerConfig(kernel=4, stride=2), LayerConfig(kernel=3, stride=1))
_CONFIG = NetworkConfig(layers=_LAYERS)  # 8 -> 3 -> 1


def _floats(*shape: int) -> np.ndarray:
  return np.random.default_rng(0).random(shape).astype(np.float32)


def _filters(k: int = 3, kernel: int = 4, channels: int = 1) -> Filters:
  return Filters(_floats(k, kernel, kernel, channels), _floats(k) + 1)


_NETWORK = nsn_jax.NSN((_filters(), _filters(2, 3, 3)), None, _CONFIG)
_WHOLE = dataclasses.replace(
  _NETWORK, prior=Prior(np.full(2, 0.5, np.float32), np.full((3, 2), 0.5, np.float32))
)
_IMAGES = _floats(4, 8, 8, 1)
_PATCHES = _floats(4, 3, 3, 4, 4, 1)
_FILTERS = _filters()
_WHITENING = nsn_jax.Whitening(_floats(8, 8, 1), _floats(1, 64, 64), _floats(1, 64, 64))
_STATISTICS: Statistics = nsn_jax.e_step(_PATCHES, _FILTERS, -1.0)
_FEATURES = _floats(30, 4)
_MOMENTS = metrics.feature_statistics(_FEATURES)
_PROBABILITIES = np.full((20, 4), 0.25)
_DIGITS = np.zeros((6, 8, 8, 1), np.uint8)


def _with(array: np.ndarray, value: float) -> np.ndarray:
  """The array, one value of it another."""
  found = np.array(array, np.float64 if abs(value) > 1e38 and np.isfinite(value) else array.dtype)
  found.ravel()[found.size // 3] = value
  return found


class _Named(NamedTuple):
  """A wrong value whose error is named by something else, as what is wrong is the pair."""

  name: str
  value: Any


# What is wrong, by the kind of the argument.

_NOTHING: list[Any] = [None, "x", {}, object()]
_COUNTS: list[Any] = [None, "3", 0, -1, 1.5, True, 1e30, 10**30, float("nan"), [1]]
_KEYS: list[Any] = [
  *_NOTHING,
  0,
  np.zeros(2, np.int32),
  np.zeros(3, np.uint32),
  np.zeros((2, 2), np.uint32),
  jax.random.split(_KEY, 2),
]
_NUMBERS: list[Any] = [None, "1", float("nan"), float("inf"), 1e39, 10**400, [1.0], True]
_CALLABLES: list[Any] = [1, "print", []]
_UNFIT_IMAGES: list[Any] = [
  *_NOTHING,
  _IMAGES.tolist(),
  _IMAGES[0],
  _IMAGES[:0],
  _IMAGES[:, :, :, :0],
  _with(_IMAGES, np.nan),
  _with(_IMAGES, np.inf),
  _with(_IMAGES, 1.5),
  _with(_IMAGES, -0.5),
  _IMAGES * 255,
  _IMAGES.astype(np.int32),
  _IMAGES > 0.5,
  _IMAGES.astype(np.complex64),
]
_UNFIT_MAPS: list[Any] = [
  *_NOTHING,
  _IMAGES[0],
  _IMAGES[:0],
  _with(_IMAGES, np.nan),
  _with(_IMAGES, -np.inf),
  _with(_IMAGES, 1e39),
  _IMAGES.astype(np.int32),
  _IMAGES > 0.5,
]
_UNFIT_PATCHES: list[Any] = [
  *_NOTHING,
  _PATCHES.tolist(),
  _PATCHES[..., 0],
  _PATCHES[..., :3, :],
  np.zeros((4, 4)),
  _with(_PATCHES, np.nan),
  _with(_PATCHES, np.inf),
  _PATCHES.astype(np.int32),
  _PATCHES > 0.5,
  _PATCHES.astype(np.complex64),
]
_UNFIT_FILTERS: list[Any] = [
  *_NOTHING,
  tuple(_FILTERS),
  Filters(_FILTERS.mean, _FILTERS.variance[:2]),
  Filters(_FILTERS.mean[:0], _FILTERS.variance[:0]),
  Filters(_FILTERS.mean[0], _FILTERS.variance),
  Filters(_FILTERS.mean, _FILTERS.variance[:, None]),
  Filters(_FILTERS.mean.astype(int), _FILTERS.variance),
  Filters(_with(_FILTERS.mean, np.nan), _FILTERS.variance),
  Filters(_FILTERS.mean, _with(_FILTERS.variance, np.nan)),
  Filters(_FILTERS.mean, _with(_FILTERS.variance, 0.0)),
  Filters(_FILTERS.mean, _with(_FILTERS.variance, -1.0)),
  Filters(None, None),  # type: ignore[arg-type]
]
_ORIGIN = nsn_jax.Origin("threefry2x32 00000000 00000000", "{}", len(_IMAGES), "", 10**9, "")
_STATE = nsn_jax.TrainingState(
  0, nsn_jax.LayerState("em", 1, _FILTERS, (3, 0.5, -1.0)), (), 10, "", _ORIGIN
)
_UNFIT_STATES: list[Any] = [
  *(_STATE._replace(state=_STATE.state._replace(filters=unfit)) for unfit in _UNFIT_FILTERS),
  _STATE._replace(layer=-1),
  _STATE._replace(state=_STATE.state._replace(info=(2, 0.5, -1.0))),
  _STATE._replace(origin=None),
  _STATE._replace(history=None),
]
_UNFIT_NETWORKS: list[Any] = [*_NOTHING, _NETWORK.filters, nsn_jax.NSN((), None, _CONFIG)]
_SAMPLERS: list[Any] = [{}, "x", 0, False, _CONFIG, {"gamma": 1.0}]
_UNFIT_FEATURES: list[Any] = [
  None,
  "x",
  _FEATURES[0],
  _FEATURES[:0],
  _FEATURES[:, :0],
  _with(_FEATURES, np.nan),
  _with(_FEATURES, np.inf),
  _FEATURES.astype(np.complex64),
]
_UNFIT_MOMENTS: list[Any] = [
  None,
  "x",
  tuple(_MOMENTS),
  FeatureStatistics(0, _MOMENTS.mean, _MOMENTS.scatter),
  FeatureStatistics(30, _with(_MOMENTS.mean, np.nan), _MOMENTS.scatter),
  FeatureStatistics(30, _MOMENTS.mean, _with(_MOMENTS.scatter, np.inf)),
  FeatureStatistics(30, _MOMENTS.mean[:2], _MOMENTS.scatter),
  FeatureStatistics(30, None, None),  # type: ignore[arg-type]
]
_PIXELS: list[Any] = [None, "x", _DIGITS[0], _DIGITS.astype(np.float32), _DIGITS.astype(np.int64)]
_LABELS: list[Any] = [
  None,
  "x",
  np.zeros(5, int),
  np.zeros((6, 1), int),
  np.zeros(6),
  np.full(6, np.nan),
  np.full(6, -1),
]


@dataclasses.dataclass(frozen=True, eq=False)
class _Call:
  """A call that is right, and values that are wrong for each of its arguments."""

  function: Callable[..., Any]
  right: dict[str, Any]
  wrong: dict[str, list[Any]]


_CALLS: dict[str, _Call] = {
  "extract_patches": _Call(
    nsn_jax.extract_patches,
    {"images": _IMAGES, "kernel": 4, "stride": 2},
    {
      "images": [*_NOTHING, _IMAGES[0], _IMAGES[:, :3]],
      "kernel": [0, -1, 1.5, None, "4"],
      "stride": [0, -1, 1.5, None, "2"],
    },
  ),
  "stitch_patches": _Call(
    nsn_jax.stitch_patches,
    {"patches": _PATCHES, "stride": 2},
    {"patches": [*_NOTHING, _PATCHES[0], _PATCHES > 0.5], "stride": [0, -1, 1.5, None]},
  ),
  "similarity": _Call(
    nsn_jax.similarity,
    {"patches": _PATCHES, "filters": _FILTERS},
    {"patches": _UNFIT_PATCHES, "filters": _UNFIT_FILTERS},
  ),
  "feature_map": _Call(
    nsn_jax.feature_map,
    {"patches": _PATCHES, "filters": _FILTERS},
    {"patches": _UNFIT_PATCHES, "filters": _UNFIT_FILTERS},
  ),
  "e_step": _Call(
    nsn_jax.e_step,
    {"patches": _PATCHES, "filters": _FILTERS, "threshold": -1.0},
    {
      "patches": _UNFIT_PATCHES,
      "filters": _UNFIT_FILTERS,
      "threshold": [None, "x", {}, [1.0], float("nan"), np.zeros(3), True],
      "valid": [True, 1, "x", np.ones((4, 3, 3)), np.ones((4, 3), bool), np.ones((4, 3, 4), bool)],
      "chunk_size": [count for count in _COUNTS if count is not None],
    },
  ),
  "m_step": _Call(
    nsn_jax.m_step,
    {"statistics": _STATISTICS, "previous": _FILTERS},
    {
      "statistics": [
        *_NOTHING,
        tuple(_STATISTICS),
        _STATISTICS._replace(count=_STATISTICS.count[:2]),
        _STATISTICS._replace(residual_sum=_STATISTICS.residual_sum[0]),
        _STATISTICS._replace(square_sum=None),
      ],
      "previous": [
        *_UNFIT_FILTERS[1:],
        _Named("statistics", _filters(2)),
        _Named("statistics", _filters(3, 3)),
      ],
      "variance_floor": [None, "x", 0.0, -1.0, float("nan"), float("inf"), np.zeros(3), 1e39],
    },
  ),
  "patch_log_density": _Call(
    density.patch_log_density,
    {"patches": _PATCHES, "filters": _FILTERS},
    {"patches": _UNFIT_PATCHES, "filters": _UNFIT_FILTERS, "share": [np.ones(1), np.ones((3, 1))]},
  ),
  "fit_whitening": _Call(
    nsn_jax.fit_whitening,
    {"images": _IMAGES, "epsilon": 0.1},
    {"images": _UNFIT_IMAGES, "epsilon": [*_NUMBERS, 0.0, -1.0], "report": _CALLABLES},
  ),
  "whiten": _Call(
    nsn_jax.whiten,
    {"images": _IMAGES, "whitening": _WHITENING},
    {
      # Not what leaves [0, 1] a little, as pixels that are not clipped do.
      "images": [*_UNFIT_IMAGES[:10], *_UNFIT_IMAGES[12:], _IMAGES[:, :7]],
      "whitening": [*_NOTHING, tuple(_WHITENING)],
    },
  ),
  "unwhiten": _Call(
    nsn_jax.unwhiten,
    {"images": _IMAGES, "whitening": _WHITENING},
    {"images": [*_NOTHING, _IMAGES[0], _IMAGES[:, :7], _IMAGES > 0.5], "whitening": _NOTHING},
  ),
  "encode": _Call(
    nsn_jax.encode,
    {"nsn": _NETWORK, "images": _IMAGES},
    {
      "nsn": _UNFIT_NETWORKS,
      "images": [*_UNFIT_IMAGES, np.repeat(_IMAGES, 3, -1), _Named("kernel", _IMAGES[:, :3])],
    },
  ),
  "fit_layer": _Call(
    nsn_jax.fit_layer,
    {"key": _KEY, "feature_maps": _IMAGES, "layer_config": _LAYERS[0]},
    {
      "key": _KEYS,
      "feature_maps": _UNFIT_MAPS,
      "layer_config": [*_NOTHING, _CONFIG],
      "report": _CALLABLES,
      "memory_budget_gb": [*_NUMBERS, 0, -1, 1e-12],
    },
  ),
  "fit": _Call(
    nsn_jax.fit,
    {"key": _KEY, "images": _IMAGES, "config": _CONFIG},
    {
      "key": _KEYS,
      "images": _UNFIT_IMAGES,
      "config": [*_NOTHING, _LAYERS[0], {"layers": _LAYERS}, NetworkConfig(layers=_LAYERS[:1])],
      "labels": ["x", 3, [0.5] * len(_IMAGES), [0], [-1] * len(_IMAGES), {}],
      "initial": [
        "x",
        {},
        1,
        _NETWORK.filters,
        nsn_jax.NSN(_NETWORK.filters * 2, None, _CONFIG),
        nsn_jax.NSN(_NETWORK.filters[1:], None, _CONFIG),
        *(
          nsn_jax.NSN((unfit, _NETWORK.filters[1]), None, _CONFIG) for unfit in _UNFIT_FILTERS[:11]
        ),
        nsn_jax.NSN(_NETWORK.filters, _WHITENING, _CONFIG),
        nsn_jax.NSN(_NETWORK.filters, None, dataclasses.replace(_CONFIG, layers=_LAYERS[:1])),
        nsn_jax.NSN(None, None, _CONFIG),  # type: ignore[arg-type]
        nsn_jax.NSN(_NETWORK.filters, None, None),  # type: ignore[arg-type]
      ],
      "report": _CALLABLES,
      "on_begin": _CALLABLES,
      "on_layer": _CALLABLES,
      "on_state": _CALLABLES,
      "state": ["x", {}, 1, _STATE.state, tuple(_STATE), *_UNFIT_STATES],
      "memory_budget_gb": [*_NUMBERS, 0, -1, 1e-12],
    },
  ),
  "sample": _Call(
    nsn_jax.sample,
    {"key": _KEY, "nsn": _NETWORK, "num_samples": 2},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "num_samples": _COUNTS,
      "sampler": [*_SAMPLERS, _Named("gamma", SamplerConfig(gamma=(1.0, 2.0, 3.0)))],
      "layer": [-1, 2, 1.0, "0", True, 10**30],
      "label": [-1, 0, 1.0, "0", True, 10**30],
    },
  ),
  "sample of a class": _Call(
    nsn_jax.sample,
    {
      "key": _KEY,
      "nsn": _WHOLE,
      "num_samples": 2,
      "sampler": SamplerConfig(prior="mixture"),
      "label": 1,
    },
    {
      "nsn": [_Named("prior", _NETWORK)],
      "label": [-1, 3, 1.0, "0", True, 10**30],
    },
  ),
  "find_contrast": _Call(
    nsn_jax.find_contrast,
    {"key": _KEY, "nsn": _NETWORK, "images": _IMAGES},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "images": _UNFIT_IMAGES,
      "sampler": _SAMPLERS,
    },
  ),
  "decode": _Call(
    nsn_jax.decode,
    {"key": _KEY, "nsn": _NETWORK, "feature_map": _floats(2, 1, 1, 2)},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "feature_map": [
        *_NOTHING,
        _floats(2, 1, 1, 3),
        _floats(1, 1, 2),
        _floats(0, 1, 1, 2),
        _with(_floats(2, 1, 1, 2), np.nan),
        _with(_floats(2, 1, 1, 2), np.inf),
        np.zeros((2, 1, 1, 2), int),
      ],
      "sampler": _SAMPLERS,
      "layer": [-1, 2, 1.0, "0", True],
      "stop_layer": [-1, 1, 2, 0.0, "0", True],
    },
  ),
  "save": _Call(
    nsn_jax.save,
    {"path": "model", "nsn": _NETWORK},
    {
      "path": [None, 1, "", b"", object(), ["model"]],
      "nsn": [
        *_NOTHING,
        *(
          nsn_jax.NSN((unfit, _NETWORK.filters[1]), None, _CONFIG) for unfit in _UNFIT_FILTERS[:11]
        ),
      ],
    },
  ),
  "save_state": _Call(
    nsn_jax.save_state,
    {"path": "state", "state": _STATE},
    {"path": [None, 1, "", b"", object(), ["state"]], "state": [*_NOTHING, *_UNFIT_STATES]},
  ),
  "load_state": _Call(nsn_jax.load_state, {"path": "state"}, {"path": [None, 1, "", {}, object()]}),
  "StateWriter": _Call(
    nsn_jax.StateWriter,
    {"path": "state"},
    {
      "path": [None, 1, "", {}, object()],
      "every_s": [*_NUMBERS, -1],
      "warn": _CALLABLES,
    },
  ),
  "load": _Call(nsn_jax.load, {"path": "model"}, {"path": [None, 1, "", {}, object()]}),
  "fill": _Call(
    applications.fill,
    {"key": _KEY, "nsn": _NETWORK, "images": _IMAGES, "mask": np.zeros((8, 8), bool)},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "images": _UNFIT_IMAGES,
      "mask": [None, "x", np.zeros((8, 8)), np.zeros((8, 7), bool), np.zeros((3, 8, 8), bool)],
      "num_draws": _COUNTS,
      "num_rounds": _COUNTS,
      "layer": ["x", -1, 9, 0.5, True],
      "background": ["x", -0.1, 1.1, float("nan"), np.zeros((8, 8)), {}],
      "sampler": _SAMPLERS,
    },
  ),
  "style": _Call(
    applications.style,
    {"key": _KEY, "nsn": _NETWORK, "images": _IMAGES},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "images": _UNFIT_IMAGES,
      "num_draws": _COUNTS,
      "sampler": _SAMPLERS,
    },
  ),
  "interpolate": _Call(
    applications.interpolate,
    {"key": _KEY, "nsn": _NETWORK, "first": 0, "second": 1},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "first": [None, -1, 2, 0.0, "0"],
      "second": [None, -1, 2, 0.0, "0"],
      "num_steps": [1, *_COUNTS],
      "num_draws": _COUNTS,
      "sampler": _SAMPLERS,
    },
  ),
  "add_filters": _Call(
    applications.add_filters,
    {"key": _KEY, "nsn": _NETWORK, "filters": (0, 1, 0)},
    {
      "key": _KEYS,
      "nsn": _UNFIT_NETWORKS,
      "filters": [None, 3, (0, 1), (0, 1, 2), (0, 1, 0.0), "abc", (0, 1, -1)],
      "num_draws": _COUNTS,
      "sampler": _SAMPLERS,
    },
  ),
  "log_density": _Call(
    density.log_density,
    {"nsn": _WHOLE, "images": _IMAGES},
    {"nsn": [*_UNFIT_NETWORKS, _NETWORK], "images": _UNFIT_IMAGES, "batch_size": _COUNTS},
  ),
  "layer_fits": _Call(
    density.layer_fits,
    {"nsn": _NETWORK, "images": _IMAGES},
    {"nsn": _UNFIT_NETWORKS, "images": _UNFIT_IMAGES, "batch_size": _COUNTS},
  ),
  "inception_score": _Call(
    metrics.inception_score,
    {"probabilities": _PROBABILITIES},
    {
      "probabilities": [
        None,
        "x",
        _PROBABILITIES[0],
        _PROBABILITIES[:0],
        _PROBABILITIES * 2,
        _PROBABILITIES - 0.5,
        _with(_PROBABILITIES, np.nan),
        _PROBABILITIES.astype(complex),
      ],
      "num_splits": [*_COUNTS, 21],
    },
  ),
  "feature_statistics": _Call(
    metrics.feature_statistics, {"features": _FEATURES}, {"features": _UNFIT_FEATURES}
  ),
  "merge_statistics": _Call(
    metrics.merge_statistics,
    {"a": _MOMENTS, "b": _MOMENTS},
    {"a": _UNFIT_MOMENTS, "b": _UNFIT_MOMENTS},
  ),
  "frechet_distance": _Call(
    metrics.frechet_distance,
    {"real": _MOMENTS, "generated": _MOMENTS},
    {"real": _UNFIT_MOMENTS, "generated": _UNFIT_MOMENTS},
  ),
  "kernel_distance": _Call(
    metrics.kernel_distance,
    {"key": _KEY, "real": _FEATURES, "generated": _FEATURES, "subset_size": 10},
    {
      "key": _KEYS,
      "real": _UNFIT_FEATURES,
      "generated": [*_UNFIT_FEATURES, _FEATURES[:, :2]],
      "num_subsets": _COUNTS,
      "subset_size": [*_COUNTS, 1, 31],
    },
  ),
  "precision_recall": _Call(
    metrics.precision_recall,
    {"real": _FEATURES, "generated": _FEATURES},
    {
      "real": _UNFIT_FEATURES,
      "generated": [*_UNFIT_FEATURES, _FEATURES[:, :2]],
      "num_neighbours": [*_COUNTS, 30],
    },
  ),
  "nearest": _Call(
    metrics.nearest,
    {"training": _FEATURES, "queries": _FEATURES},
    {"training": _UNFIT_FEATURES, "queries": [*_UNFIT_FEATURES, _FEATURES[:, :2]]},
  ),
  "compare_distances": _Call(
    metrics.compare_distances,
    {"held_out": _FEATURES[0], "generated": _FEATURES[1]},
    {
      name: [None, "x", _FEATURES, _FEATURES[0, :0], -_FEATURES[0], _with(_FEATURES[0], np.nan)]
      for name in ("held_out", "generated")
    },
  ),
  "train_classifier": _Call(
    metrics.train_classifier,
    {"key": _KEY, "images": _DIGITS, "labels": np.arange(6) % 2, "num_epochs": 1},
    {
      "key": _KEYS,
      "images": [*_PIXELS, _DIGITS[:0]],
      "labels": [*_LABELS, np.zeros(6, int), np.full(6, 10**9)],
      "num_epochs": _COUNTS,
      "num_classes": [count for count in _COUNTS if count is not None] + [1],
      "batch_size": _COUNTS,
      "learning_rate": [*_NUMBERS, 0.0, -1.0],
      "max_shift": [-1, None, "x", 1.5],
      "architecture": ["x", {}, 1],
      "progress": _CALLABLES,
    },
  ),
  "baseline": _Call(
    baselines.make,
    {"name": "vae", "image_shape": (28, 28, 1)},
    {
      "name": [None, "x", "", {}, [], 1],
      "image_shape": [None, "x", (28, 28), (28, 28, 0), [28, 28, 1], (28, 28, 1.5), 28],
      "batch_size": _COUNTS,
      "learning_rate": [*_NUMBERS, 0.0, -1.0],
    },
  ),
  "preset": _Call(
    nsn_jax.presets.get, {"name": "mnist"}, {"name": [None, "x", "", {}, [], 1, ("mnist",)]}
  ),
  "LayerConfig": _Call(
    LayerConfig,
    {"kernel": 4, "stride": 2},
    {
      "kernel": _COUNTS,
      "stride": [*_COUNTS, 5],
      "threshold": _NUMBERS,
      "growth_patches": [*_COUNTS, 1],
      "min_patches": _COUNTS,
      "max_filters": _COUNTS,
      "max_passes": [None, -1, 1.5, 1e30, 10**30],
      "tolerance": [*_NUMBERS, -0.1, 1.0],
      "variance_floor": [*_NUMBERS, 0.0, -1.0],
      "rank": [None, -1, 1.5, 1e30, 10**30],
      "context": [*_COUNTS, 2],
      "decoder": [None, "x", "", 1, "fed"],
      "num_features": _COUNTS,
      "num_directions": _COUNTS,
      "sample_patches": [*_COUNTS, 1],
      "use_basis": [None, "x", 1],
      "pooled": [None, "x", 1],
    },
  ),
  "SamplerConfig": _Call(
    SamplerConfig,
    {},
    {
      "gamma": [None, "x", -1.0, float("nan"), float("inf"), (), (1.0, -1.0), (1.0, None), True],
      "num_draws": [None, "x", 0, 1.5, 1e30, 10**30, (1, 0)],
      "alpha": [None, "x", -1.0, float("nan")],
      "beta": [None, "x", float("inf"), float("nan")],
      "prior": [None, "x", "", 1, ("noise",)],
      "temperature": [None, "x", -1.0, float("inf"), float("nan")],
      "decoder": [None, "x", "", 1, "linear"],
    },
  ),
  "NetworkConfig": _Call(
    NetworkConfig,
    {"layers": _LAYERS},
    {
      "layers": [None, "x", (), (None,), (_CONFIG,), {}, 1],
      "whitening_epsilon": ["x", 0.0, -1.0, float("nan"), float("inf"), True],
      "sampler": [None, {}, "x", 1],
    },
  ),
}
#: What an error may be named by, where that is not the argument.
_ALIASES = {"name": {"model", "preset", "name"}, "image_shape": {"image_shape"}}


def _cases() -> Iterator[Any]:
  """Each wrong value, and the same as JAX holds it."""
  for name, call in _CALLS.items():
    for argument, values in call.wrong.items():
      for index, value in enumerate(values):
        alias, given = value if isinstance(value, _Named) else (argument, value)
        yield pytest.param(name, argument, alias, given, id=f"{name}-{argument}-{index}")
        held = _as_jax(given)
        if held is not None:
          yield pytest.param(name, argument, alias, held, id=f"{name}-{argument}-{index}-jax")


def _as_jax(value: Any) -> Any:
  """The value with its arrays as JAX holds them; None where it holds none, or JAX has no such."""
  if not isinstance(value, np.ndarray | Filters | Statistics):
    return None
  leaves = jax.tree.leaves(value)
  if not leaves or any(np.asarray(x).dtype.itemsize > 4 for x in leaves):
    return None
  return jax.tree.map(jnp.asarray, value)


_CASES = list(_cases())


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch) -> None:
  monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "argument", "alias", "value"), _CASES)
def test_a_wrong_argument_is_named(name: str, argument: str, alias: str, value: Any):
  call = _CALLS[name]
  with pytest.raises(ValueError) as caught:
    call.function(**(call.right | {argument: value}))
  message = str(caught.value)
  before = message.split(":")[0]
  names = _ALIASES.get(argument, set()) | {alias}
  assert any(one in before for one in names), message
  assert "expected" in message and "\n" not in message.split("got")[0], message


def test_there_are_hundreds_of_them():
  assert len(_CASES) >= 300
  assert len({case.id for case in _CASES}) == len(_CASES)


@functools.cache
def _untrained() -> set[str]:
  """Calls that train, read a file or take a while: right ones of them are made elsewhere."""
  return {"fit", "fit_layer", "load", "load_state", "train_classifier"}


@pytest.mark.parametrize("name", [name for name in _CALLS if name not in _untrained()])
def test_the_calls_are_right_but_for_that(name):
  _CALLS[name].function(**_CALLS[name].right)
