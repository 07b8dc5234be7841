"""Presets: the paper's networks, and ours (SPEC sections 3 and 5)."""

from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig

#: (kernel, stride) of the layers, pixels first: the paper's Tables 3 and 4.
_WINDOWS_28 = ((4, 2), (3, 2), (6, 1))
_WINDOWS_64 = ((4, 2), (3, 2), (3, 2), (3, 2), (3, 1))


def _network(
  windows: tuple[tuple[int, int], ...],
  thresholds: tuple[float, ...],
  epsilon: float | None,
  sampler: SamplerConfig,
) -> NetworkConfig:
  layers = tuple(
    LayerConfig(kernel=kernel, stride=stride, threshold=threshold)
    for (kernel, stride), threshold in zip(windows, thresholds, strict=True)
  )
  return NetworkConfig(layers=layers, whitening_epsilon=epsilon, sampler=sampler)


_S = SamplerConfig(gamma=(200.0, 200.0, 20.0), beta=2.0)

_PRESETS = {
  "mnist": _network(_WINDOWS_28, (-0.8, -1.8, -2.5), 0.5, _S),
  "mnist-plain": _network(_WINDOWS_28, (-0.8, -1.8, -2.5), None, _S),
  "mnist-large": _network(_WINDOWS_28, (-0.8, -1.5, -2.0), 0.5, _S),
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
  if name not in _PRESETS:
    raise ValueError(f"preset: expected one of {', '.join(_PRESETS)}, got {name!r}")
  return _PRESETS[name]
