"""Presets: the paper's networks (its Tables 3 and 4), and ours."""

from typing import Any

from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig

__all__ = ["get", "names"]

#: (kernel, stride) of the layers, pixels first: the paper's Tables 3 and 4.
_WINDOWS_28 = ((4, 2), (3, 2), (6, 1))
_WINDOWS_64 = ((4, 2), (3, 2), (3, 2), (3, 2), (3, 1))


def _network(
  windows: tuple[tuple[int, int], ...],
  thresholds: tuple[float, ...],
  epsilon: float | None,
  sampler: SamplerConfig,
  options: tuple[dict[str, Any], ...] | None = None,
  **more: Any,
) -> NetworkConfig:
  """A network; `options` are further fields of each layer's configuration, `more` of its own."""
  layers = tuple(
    LayerConfig(kernel=kernel, stride=stride, threshold=threshold, **option)
    for (kernel, stride), threshold, option in zip(
      windows, thresholds, options or ({},) * len(windows), strict=True
    )
  )
  return NetworkConfig(layers=layers, whitening_epsilon=epsilon, sampler=sampler, **more)


#: The middle and last layer of the networks of many filters. The last sees whole images, of which
#: few are near each other: its filters are held by fewer of them, and the last come slowly.
_LARGE_MIDDLE = {"seeds_per_step": 32, "exchange_steps": 10}
_LARGE_TOP = {
  "seeds_per_step": 128,
  "em_steps": 2,
  "min_patches": 4,
  "min_growth": 0.02,
  "exchange_steps": 5,
  "max_passes": 4,
}
#: Clothes have more kinds of patches than digits: more seeds a step find them sooner.
_FASHION: tuple[dict[str, Any], ...] = (
  {},
  {"seeds_per_step": 24, "growth_patches": 20_000},
  {"seeds_per_step": 48, "growth_patches": 20_000},
)

#: Photographs in colour. The upper layers see large parts of images, of which few are near each
#: other: filters are held by fewer of them.
_COLOUR_FIRST = {"seeds_per_step": 24, "growth_patches": 20_000, "exchange_steps": 10}
_COLOUR = _COLOUR_FIRST | {"exchange_steps": 5}
_COLOUR_TOP = _COLOUR | {"min_patches": 4}
#: 1,613 photographs of buildings: with so few, two must do for a filter of whole ones.
_BUILDINGS = (_COLOUR_FIRST, *(_COLOUR_TOP,) * 3, _COLOUR_TOP | {"min_patches": 2})

#: Past the paper: more filters in the layer that limits, factors at the top, drawn as a mixture,
#: and filters that meet at their edges.
_BEST_MIDDLE = _LARGE_MIDDLE | {
  "max_filters": 448,
  "decoder": "found",
  "num_features": 448,
  "num_directions": 512,
}
_BEST_TOP = _LARGE_TOP | {"max_filters": 1400, "rank": 128, "num_directions": 512, "pooled": True}
_BEST_FIRST = {"decoder": "found", "context": 3, "num_features": 384}
#: Leading directions of the images that have a contrast each.
_DIRECTIONS = 512
#: Photographs, whose windows have many flat parts and few edges, have curves of windows too.
_WINDOWS_OF_CURVES = (16, 8)
#: The same of photographs in colour, all layers but the last. With all of 384 similarities of nine
#: positions in every layer a sample took three times as long.
_BEST_SEEN = {"max_filters": 384, "position_features": 96}
_BEST_FOUND = _BEST_SEEN | {"decoder": "found", "context": 3, "num_features": 192}
_BEST_COLOUR: tuple[dict[str, Any], ...] = (
  _COLOUR_FIRST | _BEST_SEEN | _BEST_FIRST,
  *(_COLOUR | _BEST_FOUND,) * 2,
  _COLOUR_TOP | _BEST_FOUND | {"context": 1, "num_features": 96},
)
#: What varies in photographs takes more factors than a filter has of them.
_BEST_COLOUR_TOP = {"rank": 128, "pooled": True}

_PRESETS = {
  # scikit-learn's digits, 1,438 of them: filters are held by fewer patches.
  "digits": _network(
    _WINDOWS_28,
    (-0.4, -1.55, -0.5),
    1.0,
    SamplerConfig(gamma=(400.0, 400.0, 140.0)),
    (
      {"growth_patches": 15_000, "exchange_steps": 10},
      {"growth_patches": 15_000, "exchange_steps": 10},
      {"min_patches": 4, "exchange_steps": 10},
    ),
  ),
  # The paper's numbers of filters, 96 / 130 / 131, on whitened images.
  "mnist": _network(
    _WINDOWS_28,
    (-0.712, -1.878, -0.837),
    1.0,
    SamplerConfig(gamma=(400.0, 280.0, 140.0)),
  ),
  # More filters, as quality grows with them; `_LARGE_MIDDLE` and `_LARGE_TOP` say how.
  "mnist-large": _network(
    _WINDOWS_28,
    (-0.86, -1.52, -0.79),
    0.5,
    SamplerConfig(gamma=(400.0, 400.0, 140.0)),
    ({}, _LARGE_MIDDLE, _LARGE_TOP),
  ),
  "mnist-best": _network(
    _WINDOWS_28,
    (-0.86, -1.35, -0.7),
    0.5,
    # The finder's optimum: at equal FID, of factors a little cooler more samples are real digits'.
    SamplerConfig(
      gamma=(400.0, 100.0, 140.0), beta=(1.05, 1.0, 1.0), prior="mixture", temperature=0.9
    ),
    (_BEST_FIRST, _BEST_MIDDLE, _BEST_TOP),
    contrast_directions=_DIRECTIONS,
  ),
  # The same on plain images, as the paper has it.
  "mnist-plain": _network(
    _WINDOWS_28,
    (-0.8, -1.39, -1.47),
    None,
    SamplerConfig(gamma=(400.0, 60.0, 5.0)),
    ({}, {}, {"growth_patches": 20_000, "seeds_per_step": 24}),
  ),
  # The paper's numbers of filters, 140 / 238 / 256, on whitened images.
  "fashion_mnist": _network(
    _WINDOWS_28,
    (-0.62, -1.74, -0.84),
    1.0,
    SamplerConfig(gamma=(400.0, 400.0, 140.0)),
    _FASHION,
  ),
  "fashion_mnist-plain": _network(
    _WINDOWS_28,
    (-0.6, -1.5, -1.1),
    None,
    SamplerConfig(gamma=(100.0, 100.0, 35.0)),
    _FASHION,
  ),
  "fashion_mnist-large": _network(
    _WINDOWS_28,
    (-0.5, -1.45, -0.6),
    1.0,
    SamplerConfig(gamma=(400.0, 400.0, 140.0)),
    ({"seeds_per_step": 24}, _LARGE_MIDDLE, _LARGE_TOP),
  ),
  "fashion_mnist-best": _network(
    _WINDOWS_28,
    (-0.5, -1.3, -0.5),
    1.0,
    # A tenth more contrast than images have is the finder's optimum.
    SamplerConfig(gamma=(400.0, 100.0, 140.0), beta=(1.1, 1.0, 1.0), prior="mixture"),
    (_BEST_FIRST | {"seeds_per_step": 24}, _BEST_MIDDLE, _BEST_TOP),
    contrast_directions=_DIRECTIONS,
  ),
  # The paper's numbers of filters, 284 / 242 / 240 / 235 / 161, on whitened faces. With an epsilon
  # of 0.1 a flat patch hardly shows its colour: all take that of the most frequent ones, and faces
  # came out brown.
  "lfw": _network(
    _WINDOWS_64,
    (0.9, -2.35, 0.2, -1.7, -0.585),
    10.0,
    SamplerConfig(gamma=(1000.0, 1000.0, 1000.0, 1000.0, 140.0)),
    (_COLOUR_FIRST, _COLOUR, _COLOUR, _COLOUR_TOP, _COLOUR_TOP | {"seeds_per_step": 48}),
  ),
  "lfw-best": _network(
    _WINDOWS_64,
    (1.2, -1.9, 0.6, -1.2, -0.2),
    10.0,
    SamplerConfig(
      gamma=(1000.0, 1000.0, 1000.0, 1000.0, 140.0),
      beta=(1.1, 1.0, 1.0, 1.0, 1.0),
      prior="mixture",
    ),
    (
      *_BEST_COLOUR,
      _COLOUR_TOP | {"seeds_per_step": 48, "min_patches": 6, "max_filters": 600} | _BEST_COLOUR_TOP,
    ),
    contrast_directions=_DIRECTIONS,
    contrast_windows=_WINDOWS_OF_CURVES,
  ),
  # The paper's numbers of filters, 273 / 263 / 325 / 398 / 210, found on photographs of buildings.
  # Epsilon as for faces.
  "church": _network(
    _WINDOWS_64,
    (0.9, -2.5, 0.0, -1.5, -0.7),
    10.0,
    SamplerConfig(gamma=(2000.0, 2000.0, 2000.0, 2000.0, 140.0)),
    _BUILDINGS,
  ),
  "church-best": _network(
    _WINDOWS_64,
    (1.2, -1.9, 0.6, -1.2, -0.4),
    10.0,
    # The finder's optimum, of 1, 1.2 and 1.4.
    SamplerConfig(
      gamma=(1000.0, 1000.0, 1000.0, 1000.0, 140.0),
      beta=(1.2, 1.0, 1.0, 1.0, 1.0),
      prior="mixture",
    ),
    (*_BEST_COLOUR, _BUILDINGS[-1] | {"max_filters": 400} | _BEST_COLOUR_TOP),
    contrast_directions=_DIRECTIONS,
    contrast_windows=_WINDOWS_OF_CURVES,
  ),
  # The same on plain images, as the paper has it.
  "church-plain": _network(
    _WINDOWS_64,
    (-0.5, -1.8, -0.6, -1.36, -0.8),
    None,
    SamplerConfig(gamma=(1000.0, 1000.0, 1000.0, 1000.0, 140.0)),
    _BUILDINGS,
  ),
}


def names() -> tuple[str, ...]:
  """Names of all presets."""
  return tuple(_PRESETS)


def get(name: str) -> NetworkConfig:
  """A preset by its name.

  Raises:
    ValueError: for an unknown name; it lists the known ones.

  >>> len(get("mnist").layers)
  3
  """
  if not isinstance(name, str) or name not in _PRESETS:
    raise ValueError(f"preset: expected one of {', '.join(_PRESETS)}, got {name!r}")
  return _PRESETS[name]
