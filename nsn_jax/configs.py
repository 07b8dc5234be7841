"""The presets under their former name: `nsn_jax.presets` is where they live."""

from nsn_jax.presets import get, names

__all__ = ["get", "names"]
