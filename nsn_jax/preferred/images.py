"""Images that the classes of a classifier prefer."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks, pixel_range
from nsn_jax.metrics.classifier.network import Classifier, look
from nsn_jax.preferred.ascent import Climbed, climb
from nsn_jax.preferred.inverter import Inverter

__all__ = ["Preferred", "preferred_images"]

#: Codes are at most so many deviations, as the paper has it.
_UPPER = 3.0


class Preferred(NamedTuple):
  """Images that were climbed to.

  Attributes:
    images: uint8 [classes, starts, H, W, C].
    codes: that they are made of, float32 [classes, starts, ...], in [0, 3].
    values: of the objective, before the first step and after each: float32
      [classes, starts, num_steps + 1], none of which falls.
  """

  images: npt.NDArray[np.uint8]
  codes: npt.NDArray[np.float32]
  values: npt.NDArray[np.float32]


def preferred_images(
  key: jax.Array,
  classifier: Classifier,
  inverter: Inverter,
  *,
  num_starts: int = 8,
  num_steps: int = 200,
  weight: float = 0.005,
) -> Preferred:
  """Climbs to each class from several starts: y* = argmax over y of phi_c(G(y)) - weight |y|^2.

  G is the inverter and phi_c the logit of class c. Codes y are in deviations of their units, where
  the paper's are as they are: so the weight of the norm is the same for all units. They are clipped
  to [0, 3], for what ReLU gives is never negative, and what no image gives no inverter has learnt.
  They start uniform in [0, 1].

  Args:
    key: PRNG key of the starts; each class has others.
    classifier: whose classes.
    inverter: of one of its layers.
    num_starts: of each class, >= 1.
    num_steps: >= 0.
    weight: of the codes' squared norm, >= 0.

  Raises:
    ValueError: if an argument is not as said above.
  """
  key = checks.key("key", key)
  checks.instance("classifier", classifier, Classifier)
  checks.instance("inverter", inverter, Inverter)
  if inverter.image_shape != classifier.image_shape:
    raise ValueError(
      f"inverter: expected images of shape {classifier.image_shape}, got {inverter.image_shape}"
    )
  checks.integer("num_starts", num_starts, 1)
  checks.integer("num_steps", num_steps, 0)
  weight = checks.number("weight", weight, 0.0)
  classes = jnp.repeat(jnp.arange(classifier.num_classes), num_starts)
  start = jax.random.uniform(key, (len(classes), *inverter.deviations.shape), jnp.float32)
  found = _climb(classifier, inverter, classes, start, weight, num_steps=num_steps)
  rows = (classifier.num_classes, num_starts)
  images = np.asarray(pixel_range.from_signed(inverter.images(found.codes)))
  return Preferred(
    images.reshape(*rows, *inverter.image_shape),
    np.asarray(found.codes).reshape(*rows, *inverter.deviations.shape),
    np.asarray(found.values.T).reshape(*rows, -1),
  )


@functools.partial(jax.jit, static_argnames="num_steps")
def _climb(
  classifier: Classifier,
  inverter: Inverter,
  classes: jax.Array,
  start: jax.Array,
  weight: float,
  *,
  num_steps: int,
) -> Climbed:
  def of_class(codes: jax.Array) -> jax.Array:
    logits = look(classifier, (inverter.images(codes) + 1) * 127.5).logits
    return jnp.take_along_axis(logits, classes[:, None], axis=1)[:, 0]

  return climb(of_class, start, weight=weight, upper=_UPPER, num_steps=num_steps)
