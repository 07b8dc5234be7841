"""What the paper does with a trained network: pure functions of a key, a network and images.

Each draws several results of the same input, as the sampler is random; all return pixel values as
they come, not clipped.
"""

from nsn_jax.applications.arithmetic import add_filters
from nsn_jax.applications.filling import fill
from nsn_jax.applications.interpolation import interpolate
from nsn_jax.applications.styling import style

__all__ = ["add_filters", "fill", "interpolate", "style"]
