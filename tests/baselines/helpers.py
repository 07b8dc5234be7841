"""Small models of each kind, and one that learns nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import baselines

KEY = jax.random.key(0)
SHAPE = (8, 8, 2)  # 4 -> 8: one doubling, the smallest there is.
_FEW_STEPS = {"sampling_steps": 3, "num_temperatures": 20, "num_chains": 3}
_OPTIONS = {
  "gan": {"width": 6, "pieces": 3, "latent": 3},
  "infogan": {"width": 2, "latent": 3, "categories": 3, "continuous": 1},
  "improvedgan": {"width": 2, "latent": 3, "kernels": 3, "kernel_size": 2},
  "semigan": {"widths": (6, 5), "num_classes": 3, "hidden": 4, "latent": 3},
  "lapgan": {"coarsest": 4, "width": 2, "hidden": 6, "latent": 3},
  "vae": {"hidden": 6, "latent": 3},
  "draw": {"hidden": 5, "latent": 3, "num_steps": 2, "write_size": 3},
  "convdraw": {"width": 2, "hidden": 4, "latent": 2, "num_steps": 2},
  "pixelcnn": {"width": 3, "num_layers": 2},
  "rowlstm": {"hidden": 3, "num_layers": 1},
  "diagonalbilstm": {"hidden": 2, "num_layers": 1},
  "multiscale": {"hidden": 2, "num_layers": 1, "factor": 2},
  "condpixelcnn": {"width": 3, "num_layers": 2, "num_classes": 3},
  "autoencoder": {"width": 2, "encoder_width": 2, "latent": 3},
  "pixelcnnae": {"width": 3, "num_layers": 2, "encoder_width": 2, "latent": 3, "map_features": 2},
  "rbm": {"hidden": 6, **_FEW_STEPS},
  # One epoch of four steps a stage.
  "dbm": {"hidden": 6, "top": 4, "first_steps": 4, "second_steps": 4, **_FEW_STEPS},
}


#: Of images whose pixels come one after the other; else SHAPE.
_SHAPES = {
  "pixelcnn": (6, 5, 1),
  "rowlstm": (4, 5, 2),
  "diagonalbilstm": (3, 4, 1),
  "multiscale": (3, 4, 1),
  "condpixelcnn": (6, 5, 1),
  "pixelcnnae": (6, 6, 1),
}


def shape_of(name: str) -> tuple[int, int, int]:
  """Shape of the images that the small model of this name is for."""
  return _SHAPES.get(name, SHAPE)


def small(name: str, **changes: object) -> baselines.Baseline:
  """A model of a few weights."""
  options = _OPTIONS.get(name, {"width": 2, "latent": 3})
  shape = changes.pop("image_shape", shape_of(name))
  return baselines.make(name, shape, **{"batch_size": 5, **options, **changes})


def begun(model: baselines.Baseline, key: jax.Array = KEY) -> baselines.State:
  """The model's first state, by one program: value by value it takes dozens."""
  return jax.jit(model.init)(key)


def empty(model: baselines.Baseline) -> baselines.State:
  """A state of zeros, for a test to fill; no program makes it."""
  return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(model.init, KEY))


def noisy(tree: baselines.State, scale: float = 0.3) -> baselines.State:
  """Noise of these shapes: weights none of which is 0, biases among them; no program makes it."""
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), tree)


def trained(
  model: baselines.Baseline, state: baselines.State, batch: jax.Array, num_steps: int
) -> baselines.State:
  """The state after steps on one batch, by one program."""

  def step(state: baselines.State, index: jax.Array) -> tuple[baselines.State, None]:
    return model.step(jax.random.fold_in(KEY, index), state, batch)[0], None

  return jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(num_steps))[0])(state)


def same(left: object, right: object) -> bool:
  """Whether two pytrees hold the same values, to the bit."""
  equal = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), left, right)
  return all(jax.tree.leaves(equal))


@dataclasses.dataclass(frozen=True)
class Constant:
  """Samples that are all alike, or noise."""

  image_shape: tuple[int, int, int] = SHAPE
  batch_size: int = 5
  spread: float = 0.0
  uses_labels: bool = False

  def init(self, key):
    return jnp.zeros(1)

  def informed(self, state, images):
    return state

  def step(self, key, state, images):
    return state, {"loss": jnp.float32(0)}

  def generate(self, key, state, num_samples):
    return self.spread * jax.random.uniform(key, (num_samples, *SHAPE), minval=-1.0)

  def generating(self, state):
    return state
