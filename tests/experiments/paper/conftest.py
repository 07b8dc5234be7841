"""Small networks for the tables' and the report's tests."""

import pytest

import nsn_jax
from nsn_jax import presets


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
  """Networks of two small layers, whatever the preset."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      threshold=threshold,
      growth_patches=500,
      exchange_steps=0,
      max_passes=1,
      max_filters=12,
      min_patches=2,
    )
    for kernel, stride, threshold in ((14, 14, -1.0), (2, 1, 1.0))
  )
  monkeypatch.setattr(
    presets, "get", lambda _: nsn_jax.NetworkConfig(layers=layers, exact_decoders=False)
  )
