"""Inception v3 of 2015-12-05, the ImageNet network that the literature scores with.

Its network, the reading of its usual weights, and torch's file format without torch.
"""

from nsn_jax.metrics.inception.network import Inception
from nsn_jax.metrics.inception.weights import load_inception

__all__ = ["Inception", "load_inception"]
