"""Normal Similarity Networks (Nandy, Hsu & Lee, arXiv:1805.05269), stateless and functional."""

from nsn_jax import configs, presets
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.em import Statistics, e_step, m_step
from nsn_jax.filters import Filters, feature_map, similarity
from nsn_jax.network import NSN, encode
from nsn_jax.patches import extract_patches, stitch_patches
from nsn_jax.progress import Progress, Record
from nsn_jax.sampler import decode, sample
from nsn_jax.serialization import load, save
from nsn_jax.training import fit, fit_layer
from nsn_jax.whitening import Whitening, fit_whitening, unwhiten, whiten

__version__ = "0.1.0"

__all__ = [
  "NSN",
  "Filters",
  "LayerConfig",
  "NetworkConfig",
  "Progress",
  "Record",
  "SamplerConfig",
  "Statistics",
  "Whitening",
  "configs",
  "decode",
  "e_step",
  "encode",
  "extract_patches",
  "feature_map",
  "fit",
  "fit_layer",
  "fit_whitening",
  "load",
  "m_step",
  "presets",
  "sample",
  "save",
  "similarity",
  "stitch_patches",
  "unwhiten",
  "whiten",
]
