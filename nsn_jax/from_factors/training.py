"""The loop that trains a `FactorNetwork`, and its images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import teaching
from nsn_jax.baselines.teaching import OnStep
from nsn_jax.data import Factors, known_factors
from nsn_jax.from_factors.network import FactorNetwork, FactorState, Inputs
from nsn_jax.pixel_range import from_signed

__all__ = ["OnStep", "generate", "train"]

#: Images that are made at a time.
_AT_ONCE = 256


def train(
  key: jax.Array,
  model: FactorNetwork,
  factors: Factors,
  images: npt.NDArray[np.uint8] | jax.Array,
  *,
  progress: OnStep | None = None,
) -> FactorState:
  """Trains a network on images and their factors, and on nothing else.

  Args:
    key: PRNG key; decides the first weights and the batches.
    model: the network.
    factors: of N images, N >= 1.
    images: uint8 [N, H, W, C] of the model's shape; a batch is drawn of them with replacement.
    progress: called every 50 steps, and after the last.

  Raises:
    ValueError: if an argument is not as said above.
    FloatingPointError: if the training diverges.
  """
  key = checks.key("key", key)
  checks.instance("model", model, FactorNetwork)
  images = checks.images("images", images)
  if images.dtype != np.uint8 or images.shape[1:] != model.image_shape:
    raise ValueError(
      f"images: expected uint8 [N, {', '.join(map(str, model.image_shape))}], "
      f"got {images.dtype} {images.shape}"
    )
  factors = known_factors.checked("factors", factors, model.num_identities)
  if len(factors.identities) != len(images):
    raise ValueError(
      f"factors: expected those of {len(images)} images, got {len(factors.identities)}"
    )
  checks.function("progress", progress)
  init_key, batch_key = jax.random.split(key)
  factors, pixels = jax.tree.map(jnp.asarray, factors), jnp.asarray(images)
  state = _init(init_key, factors, pixels, model=model)
  return teaching.run(
    batch_key,
    lambda key, state: _step(key, state, factors, pixels, model=model),
    state,
    num_steps=model.num_steps,
    learning_rate=model.learning_rate,
    progress=progress,
  )


def generate(
  model: FactorNetwork, state: FactorState, wanted: Factors | Inputs
) -> npt.NDArray[np.uint8]:
  """Images of factors, or of inputs between those of factors: uint8 [N, H, W, C].

  Args:
    model: the network.
    state: trained.
    wanted: of N images.

  Raises:
    ValueError: for factors that are not as `Factors` says, or of other prototypes.
  """
  checks.instance("model", model, FactorNetwork)
  if isinstance(wanted, Factors):
    wanted = known_factors.checked("wanted", wanted, model.num_identities)
    wanted = model.inputs(state, wanted)
  checks.instance("wanted", wanted, Inputs)
  return np.asarray(_generate(state, wanted, model=model))


@functools.partial(jax.jit, static_argnames="model")
def _init(
  key: jax.Array, factors: Factors, images: jax.Array, *, model: FactorNetwork
) -> FactorState:
  return model.init(key, factors, images)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="state")
def _step(
  key: jax.Array, state: FactorState, factors: Factors, images: jax.Array, *, model: FactorNetwork
) -> tuple[FactorState, jax.Array]:
  rows = jax.random.randint(key, (model.batch_size,), 0, len(images))
  batch: Factors = jax.tree.map(lambda values: values[rows], factors)
  return model.step(state, batch, images[rows])


@functools.partial(jax.jit, static_argnames="model")
def _generate(state: FactorState, inputs: Inputs, *, model: FactorNetwork) -> jax.Array:
  def one(inputs: Inputs) -> jax.Array:
    batch = jax.tree.map(lambda values: values[None], inputs)
    return from_signed(model.generate(state, batch)[0])

  return jax.lax.map(one, inputs, batch_size=_AT_ONCE)
