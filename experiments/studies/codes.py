"""What InfoGAN's codes mean: how they agree with classes, and strips of images along each of them.

    python -m experiments.studies.codes --trained=runs/infogan --workdir=runs/codes

`--trained` is a workdir of `experiments.train_baseline --model=infogan`. The category that the
critic tells test images by is matched to their classes, each to another one; `codes.json` holds
the share that agrees. `categories.png` has a row a category, a column a draw of noise;
`continuous_0.png` and so on a column a value of the code, from -2 to 2 as the paper shows it, where
training drew it from -1 to 1, a row a draw of noise and a category.
"""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments.common import (
  baseline_training,
  command_line,
  pictures,
  provenance,
  workdir,
)
from nsn_jax import baselines
from nsn_jax.pixel_range import from_signed, to_signed

__all__ = ["accuracy", "draw"]

#: Images whose codes are told at a time: mixed, as the critic normalises a batch by its moments.
_AT_ONCE = 500
#: Draws of noise that are shown, and values of a continuous code, from the first to the last.
_SHOWN, _VALUES, _REACH = 10, 10, 2.0


def accuracy(
  key: jax.Array,
  model: baselines.InfoGAN,
  state: baselines.GANState,
  images: Any,
  labels: Any,
) -> tuple[float, dict[int, int]]:
  """The share of images whose category is their class's, and each category's class.

  Args:
    key: PRNG key, of the order in which images are told.
    model: trained.
    state: of it.
    images: uint8 [N, H, W, C].
    labels: integers [N].
  """
  order = np.asarray(jax.random.permutation(key, len(images)))
  told = jax.jit(lambda state, images: model.codes(state, images).category_logs.argmax(axis=1))
  size = min(_AT_ONCE, len(order))
  found = np.empty(len(order), np.int32)
  for start in range(0, len(order), size):
    # The last ones among others that were told before.
    rows = order[min(start, len(order) - size) :][:size]
    found[rows] = told(state, to_signed(images[rows]))
  return baselines.matched_accuracy(found, labels)


def draw(
  key: jax.Array, model: baselines.InfoGAN, state: baselines.GANState, folder: pathlib.Path
) -> list[pathlib.Path]:
  """Draws the strips, and returns the pictures' paths.

  Args:
    key: PRNG key, of the noise.
    model: trained.
    state: of it.
    folder: where pictures are put.
  """
  rest = jax.random.uniform(key, (_SHOWN, model.latent), jnp.float32, minval=-1.0)
  number = model.categories
  none = jnp.zeros((number * _SHOWN, model.continuous), jnp.float32)
  each = jnp.repeat(jnp.arange(number), _SHOWN)
  made = [folder / "categories.png"]
  images = model.generate_with(state, jnp.tile(rest, (number, 1)), each, none)
  pictures.grid(
    np.asarray(from_signed(images)), made[0], "a row a category, a column a draw of noise", _SHOWN
  )
  values = jnp.linspace(-_REACH, _REACH, _VALUES)
  for code in range(model.continuous):
    given = jnp.zeros((_SHOWN * _VALUES, model.continuous), jnp.float32)
    given = given.at[:, code].set(jnp.tile(values, _SHOWN))
    category = jnp.repeat(jnp.arange(_SHOWN) % number, _VALUES)
    images = model.generate_with(state, jnp.repeat(rest, _VALUES, axis=0), category, given)
    made.append(folder / f"continuous_{code}.png")
    title = f"continuous code {code}, from {-_REACH:g} to {_REACH:g}; a row a category and noise"
    pictures.grid(np.asarray(from_signed(images)), made[-1], title, _VALUES)
  return made


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("trained", None, "Workdir of a trained InfoGAN.")
  flags.DEFINE_integer("num_images", None, "Test images at most; all.", lower_bound=1)
  command_line.define_seed("Seed of the noise.")


def _main() -> None:
  """Prints the accuracy, writes it, and draws."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  place = command_line.required("trained", "the workdir of a trained InfoGAN")
  model, state, facts = baseline_training.load_kind(
    "trained", place, baselines.InfoGAN, "an InfoGAN"
  )
  spec = baseline_training.held_out(facts, given.num_images)
  test = spec.load("test")
  order_key, noise_key = jax.random.split(jax.random.key(given.seed))
  found: dict[str, Any] = {"dataset": spec.name, "options": facts["options"]}
  if test.labels is not None:
    share, classes = accuracy(order_key, model, state, test.images, test.labels)
    print(f"{share:.1%} of {len(test.images):,} test images are of the class of their category")
    found |= {"num_images": len(test.images), "accuracy": share}
    found["classes"] = {str(category): int(label) for category, label in classes.items()}
  for path in draw(noise_key, model, state, folder):
    print(path)
  provenance.write_result(folder / "codes.json", found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
