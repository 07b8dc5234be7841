"""Training of the small classifier: Adam with a one-cycle rate, small shifts, dropout."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from nsn_jax import checks
from nsn_jax.metrics import inputs
from nsn_jax.metrics.classifier.convolutional import Architecture
from nsn_jax.metrics.classifier.layout import Layout
from nsn_jax.metrics.classifier.network import Classifier

__all__ = ["OnEpoch", "train_classifier"]

#: Called after each epoch with (epochs done, num_epochs, mean loss of the epoch).
OnEpoch = Callable[[int, int, float], None]

#: More labels than that are no classes.
_MOST_CLASSES = 100_000


def train_classifier(
  key: jax.Array,
  images: inputs.Array,
  labels: inputs.Array,
  *,
  num_epochs: int,
  num_classes: int | None = None,
  batch_size: int = 128,
  learning_rate: float = 2e-3,
  max_shift: int = 2,
  flip: bool = False,
  architecture: Layout | None = None,
  progress: OnEpoch | None = None,
) -> Classifier:
  """Trains a classifier on labelled images.

  The loss is the cross-entropy of the labels as they are: smoothing them would keep the
  probabilities of real images from 1, and with that lower every inception score.

  Args:
    key: PRNG key; decides the first weights, the order of the images, shifts and dropout.
    images: uint8 [N, H, W, C], 0-255, N >= 1. All of them are kept on the device.
    labels: integer [N] in [0, num_classes).
    num_epochs: how often each image is seen, >= 1.
    num_classes: >= 2; None for one more than the largest label.
    batch_size: images a step, >= 1; at most N are taken. Each epoch leaves out the last
      N % batch_size images of its own random order.
    learning_rate: peak of the rate, > 0. It rises for the first fifth of the steps and falls by
      a cosine to nearly 0.
    max_shift: images are moved by up to so many pixels a side, >= 0; their border is repeated.
    flip: whether to mirror every other image, left to right: right for clothes, wrong for digits.
    architecture: layout of the network, `Architecture` or `FractalArchitecture`; None for the
      former with its defaults.
    progress: called after each epoch with (epochs done, num_epochs, mean loss of the epoch).

  Returns:
    The classifier after the last step.

  Raises:
    ValueError: if an argument is not as said above.
    FloatingPointError: if the loss of an epoch is not finite.
  """
  key = checks.key("key", key)
  inputs.images("images", images)
  if not len(images):
    raise ValueError("images: expected at least one image, got none")
  if num_classes is not None:
    checks.integer("num_classes", num_classes, 2)
  inputs.labels("labels", labels, len(images), num_classes)
  classes = int(np.max(labels)) + 1 if num_classes is None else num_classes
  if classes < 2:
    raise ValueError("labels: expected at least two classes, got 0 only")
  if classes > _MOST_CLASSES:
    raise ValueError(
      f"labels: expected at most {_MOST_CLASSES} classes, numbered from 0, got labels up to "
      f"{classes - 1}"
    )
  checks.integer("num_epochs", num_epochs, 1)
  checks.integer("batch_size", batch_size, 1)
  checks.integer("max_shift", max_shift, 0)
  learning_rate = checks.number("learning_rate", learning_rate, 0.0, above=True)
  checks.function("progress", progress)
  if architecture is not None:
    checks.instance("architecture", architecture, Layout)

  batch = min(batch_size, len(images))
  arch = Architecture() if architecture is None else architecture
  num_steps = num_epochs * (len(images) // batch)
  recipe = _Recipe(arch.network(classes), num_steps, learning_rate, max_shift, bool(flip))
  pixels, targets = jnp.asarray(images), jnp.asarray(labels, jnp.int32)
  variables = _train(key, pixels, targets, recipe, num_epochs, batch, progress)
  _, height, width, channels = pixels.shape
  return Classifier(variables, classes, (height, width, channels), arch)


@dataclasses.dataclass(frozen=True)
class _Recipe:
  """What a step is compiled for."""

  network: nn.Module
  num_steps: int
  learning_rate: float
  max_shift: int
  flip: bool


class _State(NamedTuple):
  """What a step changes: parameters, what is counted beside them, and the optimizer's moments."""

  params: Any
  counted: Any
  moments: optax.OptState

  @property
  def variables(self) -> dict[str, Any]:
    """As the network takes them."""
    return {"params": self.params, **self.counted}


def _optimizer(recipe: _Recipe) -> optax.GradientTransformation:
  peak = recipe.learning_rate
  return optax.adam(
    optax.warmup_cosine_decay_schedule(
      peak / 10, peak, recipe.num_steps // 5, recipe.num_steps, peak / 1000
    )
  )


def _train(
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  recipe: _Recipe,
  num_epochs: int,
  batch_size: int,
  progress: OnEpoch | None,
) -> Any:
  """Folds `_step` over the epochs and returns the network's variables."""
  init_key, order_key, step_key = jax.random.split(key, 3)
  state = _init(init_key, images[:1], recipe)
  steps = len(images) // batch_size
  for epoch in range(num_epochs):
    order = jax.random.permutation(jax.random.fold_in(order_key, epoch), len(images))
    batches = np.asarray(order)[: steps * batch_size].reshape(steps, batch_size)
    losses = []
    for step, positions in enumerate(batches):
      random = jax.random.fold_in(step_key, epoch * steps + step)
      state, loss = _step(state, random, images, labels, positions, recipe=recipe)
      losses.append(loss)
    mean_loss = float(np.mean(jax.device_get(losses)))
    if not math.isfinite(mean_loss):
      raise FloatingPointError(
        f"the loss is {mean_loss} in epoch {epoch + 1}: try a learning_rate below "
        f"{recipe.learning_rate}"
      )
    if progress is not None:
      progress(epoch + 1, num_epochs, mean_loss)
  return state.variables


@functools.partial(jax.jit, static_argnames="recipe")
def _init(key: jax.Array, images: jax.Array, recipe: _Recipe) -> _State:
  counted = dict(recipe.network.init(key, images, is_training=False))
  params = counted.pop("params")
  return _State(params, counted, _optimizer(recipe).init(params))


@functools.partial(jax.jit, static_argnames="recipe", donate_argnames="state")
def _step(
  state: _State,
  key: jax.Array,
  images: jax.Array,
  labels: jax.Array,
  positions: jax.Array,
  *,
  recipe: _Recipe,
) -> tuple[_State, jax.Array]:
  """One step of Adam on the images at `positions` [batch_size]; returns the loss before it."""
  augment_key, dropout_key = jax.random.split(key)
  batch = _augment(augment_key, images[positions], recipe.max_shift, recipe.flip)

  def loss(params: Any) -> tuple[jax.Array, Any]:
    (logits, _), counted = recipe.network.apply(
      {"params": params, **state.counted},
      batch,
      is_training=True,
      rngs={"dropout": dropout_key},
      mutable=["batch_stats"],
    )
    targets = labels[positions]
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), counted

  (value, counted), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
  updates, moments = _optimizer(recipe).update(gradient, state.moments, state.params)
  return _State(optax.apply_updates(state.params, updates), counted, moments), value


def _augment(key: jax.Array, images: jax.Array, max_shift: int, flip: bool) -> jax.Array:
  """Shifts each of the [n, H, W, C] images at random, and mirrors every other one if `flip`."""
  shift_key, flip_key = jax.random.split(key)
  offsets = jax.random.randint(shift_key, (len(images), 2), 0, 2 * max_shift + 1)
  border = (max_shift, max_shift)
  padded = jnp.pad(images, ((0, 0), border, border, (0, 0)), mode="edge")

  def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
    return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), images.shape[1:])

  shifted = jax.vmap(crop)(padded, offsets)
  if not flip:
    return shifted
  is_mirrored = jax.random.bernoulli(flip_key, shape=(len(images), 1, 1, 1))
  return jnp.where(is_mirrored, shifted[:, :, ::-1], shifted)
