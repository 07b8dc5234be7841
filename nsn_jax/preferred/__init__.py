"""Images that a classifier's neurons prefer (Nguyen et al. 2016, arXiv:1605.09304).

Pixels that are raised until a neuron fires are noise that no one else sees anything in. So codes
are raised instead, of a generator that knows images: an inverter, which makes images of what a
layer of the classifier has of them.

`train_inverter` trains one, `climb` raises any objective of codes, and `preferred_images` does so
for classes.
"""

from nsn_jax import extras

# Of its neighbours, whose classifiers and layers it takes.
extras.require(__name__, "metrics,baselines", ("absl", "flax", "optax", "orbax", "scipy"))

from nsn_jax.preferred.ascent import Climbed, climb
from nsn_jax.preferred.images import Preferred, preferred_images
from nsn_jax.preferred.inverter import Inverter, train_inverter, unexplained

__all__ = [
  "Climbed",
  "Inverter",
  "Preferred",
  "climb",
  "preferred_images",
  "train_inverter",
  "unexplained",
]
