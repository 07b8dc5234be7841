"""Generators that invert a classifier: images of what one of its layers has of them."""

import dataclasses
import functools
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nsn_jax import checks, pixel_range
from nsn_jax.baselines import networks, teaching
from nsn_jax.baselines.teaching import OnStep
from nsn_jax.metrics import inputs
from nsn_jax.metrics.classifier.network import Classifier, look

__all__ = ["Inverter", "OnStep", "train_inverter", "unexplained"]

#: Of leaky ReLU, as Dosovitskiy & Brox have it.
_SLOPE = 0.3
#: He's, of a window of 4x4 and stride 2, of whose values a quarter meets each pixel.
_INIT = nn.initializers.variance_scaling(8.0, "fan_in", "normal")
#: Images that deviations are taken of at most, so many at a time.
_MEASURED, _AT_ONCE = 5_000, 500
#: Of the largest deviation of a layer: a unit of less tells nothing, and would count as others do.
_LEAST_SHARE = 0.05


class _Decoder(nn.Module):
  """Codes [N, D] or [N, h, w, C] to what images [N, H, W, C] are the tanh of."""

  image_shape: tuple[int, int, int]
  width: int

  @nn.compact
  def __call__(self, codes: jax.Array) -> jax.Array:
    sides = networks.map_sides(self.image_shape)[::-1]  # The smallest first.
    first = sides.index(codes.shape[1]) if codes.ndim == 4 else 0
    side, *above = sides[first:]
    channels = self.width << (len(above) - 1)
    if codes.ndim == 4:
      x = nn.Conv(channels, (3, 3), kernel_init=nn.initializers.he_normal())(codes)
    else:
      x = nn.Dense(side * side * channels, kernel_init=nn.initializers.he_normal())(codes)
      x = x.reshape(-1, side, side, channels)
    for layer, larger in enumerate(above[:-1], 1):
      x = nn.leaky_relu(x, _SLOPE)
      x = networks.Doubling(channels >> layer, larger, use_bias=True, kernel_init=_INIT)(x)
    x = nn.leaky_relu(x, _SLOPE)
    last = networks.Doubling(self.image_shape[-1], above[-1], use_bias=True)  # Begins near 0.
    return cast(jax.Array, last(x))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Inverter:
  """A trained generator: a pytree whose leaves are arrays.

  Attributes:
    params: flax parameters.
    deviations: of each unit of the layer, over training images: codes are in them. 0 for a unit
      that hardly changes, whose codes are 0. float32, [D] or [h, w, C].
    means: of each unit's codes, which the generator takes off them, of the same shape.
    base: what the mean training image is the tanh of, float32 [H, W, C].
    layer: which one it inverts, from 1, as `metrics.look` lists them (static).
    image_shape: [H, W, C] (static).
    width: channels of the last map but the image (static).
  """

  params: Any
  deviations: jax.Array
  means: jax.Array
  base: jax.Array
  layer: int = dataclasses.field(metadata={"static": True})
  image_shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
  width: int = dataclasses.field(metadata={"static": True})

  def codes(self, classifier: Classifier, images: jax.Array) -> jax.Array:
    """Codes of images, float [N, H, W, C] in [-1, 1]: >= 0, of deviation 1. Pure."""
    return _scaled(look(classifier, (images + 1) * 127.5).layers[self.layer - 1], self.deviations)

  def images(self, codes: jax.Array) -> jax.Array:
    """Images of codes, float32 [N, H, W, C] in (-1, 1). Pure."""
    decoder = _Decoder(self.image_shape, self.width)
    return jnp.tanh(self.base + cast(jax.Array, decoder.apply(self.params, self._values(codes))))

  def _values(self, codes: jax.Array) -> jax.Array:
    """As the layer has them, about their means, on one scale for all.

    Not in each unit's deviations: a convolution could not undo what differs from place to place.
    """
    return (codes - self.means) * (self.deviations / jnp.sqrt((self.deviations**2).mean()))

  def distance(self, codes: jax.Array, others: jax.Array) -> jax.Array:
    """Mean squared distance of codes, over the layer's variance. Pure."""
    return ((self._values(codes) - self._values(others)) ** 2).mean()


def _scaled(values: jax.Array, deviations: jax.Array) -> jax.Array:
  """A layer's values in deviations, and 0 where there is none."""
  is_on = deviations > 0
  return jnp.where(is_on, values / jnp.where(is_on, deviations, 1.0), 0.0)


def train_inverter(
  key: jax.Array,
  classifier: Classifier,
  images: inputs.Array,
  *,
  layer: int,
  num_steps: int = 1_500,
  batch_size: int = 64,
  learning_rate: float = 1e-3,
  width: int = 16,
  feature_weight: float = 0.1,
  progress: OnStep | None = None,
) -> Inverter:
  """Trains a generator G to make images x of their codes y = E(x), the classifier's at a layer.

  The loss is that of Dosovitskiy & Brox 2016 (arXiv:1602.02644) without its adversary,
    |G(y) - x|^2 + feature_weight |E(G(y)) - y|^2,
  both as means over values, with pixels in [-1, 1] and codes over their layer's variance. By pixels
  alone what is uncertain would be blurred; the second term asks for what the classifier sees. The
  adversary sharpens photographs; it would take as long again. Also smaller than theirs, to take
  minutes on a core: a dense layer or a convolution, then transposed convolutions of stride 2, 16
  channels in the last map; and the comparator is the layer that is inverted, where theirs is a
  middle one. G begins at the mean image.

  Args:
    key: PRNG key; decides the first weights and the order of the images.
    classifier: E.
    images: uint8 [N, H, W, C], 0-255, N >= 1, square, of a side of at least 5.
    layer: from 1, the lowest map, to the features.
    num_steps: >= 1.
    batch_size: images a step, >= 1, drawn with replacement.
    learning_rate: of Adam, > 0; it falls to 0 by a cosine.
    width: channels of the last map but the image, doubled in each one below, >= 1.
    feature_weight: >= 0.
    progress: called every 50 steps, and after the last.

  Raises:
    ValueError: if an argument is not as said above.
    FloatingPointError: if the training diverges.
  """
  key = checks.key("key", key)
  checks.instance("classifier", classifier, Classifier)
  inputs.images("images", images, classifier.image_shape)
  if not len(images):
    raise ValueError("images: expected at least one image, got none")
  sides = networks.map_sides(classifier.image_shape)
  for name, value in (("num_steps", num_steps), ("batch_size", batch_size), ("width", width)):
    checks.integer(name, value, 1)
  learning_rate = checks.number("learning_rate", learning_rate, 0.0, above=True)
  feature_weight = checks.number("feature_weight", feature_weight, 0.0)
  checks.function("progress", progress)
  shape = jax.ShapeDtypeStruct((1, *classifier.image_shape), jnp.uint8)
  layers = jax.eval_shape(look, classifier, shape).layers
  checks.integer("layer", layer, 1, len(layers))
  if layers[layer - 1].ndim == 4 and layers[layer - 1].shape[1] not in sides[1:]:
    raise ValueError(
      f"layer: expected a map of side {', '.join(map(str, sides[1:]))}, "
      f"got shape {layers[layer - 1].shape[1:]}"
    )

  init_key, batch_key = jax.random.split(key)
  means, deviations = _moments(classifier, images, layer)
  decoder = _Decoder(classifier.image_shape, width)
  params = decoder.init(init_key, deviations[None])
  base = teaching.begun_at_mean(images[:_MEASURED])
  inverter = Inverter(params, deviations, means, base, layer, classifier.image_shape, width)
  recipe = _Recipe(num_steps, batch_size, learning_rate)
  moments = teaching.adam(learning_rate, num_steps).init(params)
  pixels = jnp.asarray(images)
  inverter, _ = teaching.run(
    batch_key,
    lambda key, state: _step(key, *state, classifier, pixels, feature_weight, recipe=recipe),
    (inverter, moments),
    num_steps=num_steps,
    learning_rate=learning_rate,
    progress=progress,
  )
  return inverter


def unexplained(inverter: Inverter, classifier: Classifier, images: inputs.Array) -> float:
  """The share of pixels' variance that an inverter does not give back: 0 where it does all.

  Args:
    inverter: trained.
    classifier: that it inverts.
    images: uint8 [N, H, W, C], N >= 2.
  """
  inputs.images("images", images, inverter.image_shape)
  squares, rows = 0.0, np.asarray(images)
  for start in range(0, len(rows), _AT_ONCE):
    signed = pixel_range.to_signed(rows[start : start + _AT_ONCE])
    squares += float(_squares(inverter, classifier, signed))
  total = ((rows / 127.5 - (rows / 127.5).mean(axis=0)) ** 2).sum()
  return squares / float(total)


@jax.jit
def _squares(inverter: Inverter, classifier: Classifier, images: jax.Array) -> jax.Array:
  return ((inverter.images(inverter.codes(classifier, images)) - images) ** 2).sum()


class _Recipe(NamedTuple):
  """What a step is compiled for."""

  num_steps: int
  batch_size: int
  learning_rate: float


@functools.partial(jax.jit, static_argnames="recipe", donate_argnames=("moments",))
def _step(
  key: jax.Array,
  inverter: Inverter,
  moments: optax.OptState,
  classifier: Classifier,
  images: jax.Array,
  feature_weight: float,
  *,
  recipe: _Recipe,
) -> tuple[tuple[Inverter, optax.OptState], jax.Array]:
  """One step of Adam on images uint8 [N, H, W, C]; returns the loss before it."""
  batch = images[jax.random.randint(key, (recipe.batch_size,), 0, len(images))]
  real = pixel_range.to_signed(batch)
  codes = inverter.codes(classifier, real)

  def loss(params: Any) -> jax.Array:
    made = dataclasses.replace(inverter, params=params).images(codes)
    of_pixels = ((made - real) ** 2).mean()
    of_features = inverter.distance(inverter.codes(classifier, made), codes)
    return of_pixels + feature_weight * of_features

  value, gradient = jax.value_and_grad(loss)(inverter.params)
  adam = teaching.adam(recipe.learning_rate, recipe.num_steps)
  updates, moments = adam.update(gradient, moments)
  params = optax.apply_updates(inverter.params, updates)
  return (dataclasses.replace(inverter, params=params), moments), value


def _moments(
  classifier: Classifier, images: inputs.Array, layer: int
) -> tuple[jax.Array, jax.Array]:
  """Means of codes and deviations of values, of each unit of a layer, over the first images."""
  parts = [
    np.asarray(_values(classifier, jnp.asarray(images[start : start + _AT_ONCE]), layer=layer))
    for start in range(0, min(len(images), _MEASURED), _AT_ONCE)
  ]
  values = np.concatenate(parts)
  found = values.std(axis=0, dtype=np.float64)
  deviations = jnp.asarray(np.where(found < _LEAST_SHARE * found.max(), 0.0, found), jnp.float32)
  means = jnp.asarray(values.mean(axis=0, dtype=np.float64), jnp.float32)
  return _scaled(means, deviations), deviations


@functools.partial(jax.jit, static_argnames="layer")
def _values(classifier: Classifier, images: jax.Array, *, layer: int) -> jax.Array:
  return look(classifier, images).layers[layer - 1]
