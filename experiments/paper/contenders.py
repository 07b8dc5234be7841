"""What Tables 1 and 2 compare: NSN's presets and the baselines, trained or found in a folder."""

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

import nsn_jax
from experiments import pictures, sample, train, train_gan
from experiments import workdir as work
from nsn_jax import baselines

#: What the rows are called. `nsn` is the data set's own preset, `nsn-plain` that on plain images.
NAMES = {
  "real": "real, held out",
  "dcgan": "DCGAN",
  "wgan": "WGAN",
  "lsgan": "LS-GAN",
  "vae": "VAE",
  "pixelcnn": "PixelCNN",
  "nsn": "NSN",
  "nsn-plain": "NSN, plain",
  "nsn-large": "NSN, large",
}


@dataclasses.dataclass(frozen=True)
class Contender:
  """A trained model.

  Attributes:
    sample: draws so many images by a key, uint8 [N, H, W, C].
    num_parameters: that sampling needs.
    facts: what training was asked for, on what it ran, and its time in seconds.
    model: an `NSN`, or a `Baseline`.
    state: the baseline's; None for an NSN.
  """

  sample: Callable[[jax.Array, int], npt.NDArray[np.uint8]]
  num_parameters: int
  facts: Mapping[str, Any]
  model: Any
  state: Any = None


def check(names: Sequence[str], known: Collection[str] = NAMES) -> None:
  """Raises ValueError for a name that is none of those known."""
  for name in names:
    if name not in known:
      raise ValueError(f"models: expected some of {', '.join(known)}, got {name!r}")


def find(
  name: str,
  folder: pathlib.Path,
  *,
  dataset: str,
  num_epochs: int | None = None,
  data_dir: str | None = None,
  image_size: int | None = None,
  limit: int | None = None,
  seed: int = 0,
) -> Contender:
  """A model, which is trained first where it is not there, or not to its end.

  Where a baseline is there, its own options stand, as `experiments.train_gan` was given them.

  Args:
    name: "nsn", "nsn-plain", "nsn-large" or a baseline's.
    folder: of the model.
    dataset: that it is trained on.
    num_epochs: of a baseline; None for those of a finished training, else for its default.
    data_dir: folder of the TFDS data sets.
    image_size: side to which images are resized.
    limit: number of training images at most.
    seed: of training.

  Returns:
    The trained model.

  Raises:
    ValueError: for arguments that do not fit what is in the folder.
    OSError: where the folder cannot be written.
  """
  stored = work.read_config(folder)
  shared: dict[str, Any] = {
    "workdir": folder,
    "dataset": dataset,
    "data_dir": data_dir,
    "image_size": image_size,
    "limit": limit,
    "seed": seed,
    "resume": stored != {},
  }
  if name.startswith("nsn"):
    if stored:
      work.check_same(shared, stored, ("dataset", "image_size", "limit", "seed"), folder)
    if not (folder / train.MODEL).is_file():
      preset = train.preset_of(dataset) + name.removeprefix("nsn")
      train.train(config=nsn_jax.configs.get(preset), preset=preset, **shared)
    nsn = sample.load_model(folder)
    return Contender(
      lambda key, count: pictures.to_uint8(nsn_jax.sample(key, nsn, count)),
      baselines.num_parameters(nsn),
      work.config_of_training(folder),
      nsn,
    )
  if num_epochs is None and stored.get("finished"):
    num_epochs = stored["num_epochs"]
  made, state = train_gan.train(
    model=name, num_epochs=num_epochs, options=stored.get("options"), score_every=0, **shared
  )
  return Contender(
    lambda key, count: baselines.sample(key, made, state, count),
    baselines.num_parameters(made.generating(state)),
    work.read_config(folder),
    made,
    state,
  )
