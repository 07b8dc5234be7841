"""A generator from known factors (Dosovitskiy, Springenberg & Brox 2015, arXiv:1411.5928).

A network that classifies, turned round: what is in an image goes in, and the image comes out. Which
shape it is, how it is turned, stretched and thickened are known of each training image, and nothing
is drawn. Whether it knows what a factor does, or has learnt images by heart, is seen in
combinations that it was not shown.

`train` trains a `FactorNetwork`, `generate` makes its images; `look_up` and `nearest_images` are
what the training images alone have for the same factors.
"""

from nsn_jax import extras

extras.require(__name__, "data,baselines", ("absl", "PIL", "tqdm", "flax", "optax", "orbax"))

from nsn_jax.from_factors.lookup import Found, look_up, nearest_images
from nsn_jax.from_factors.network import FactorNetwork, FactorState, Inputs
from nsn_jax.from_factors.training import OnStep, generate, train

__all__ = [
  "FactorNetwork",
  "FactorState",
  "Found",
  "Inputs",
  "OnStep",
  "generate",
  "look_up",
  "nearest_images",
  "train",
]
