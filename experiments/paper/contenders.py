"""What Tables 1 and 2 compare: NSN's presets and the baselines, trained or found in a folder."""

import dataclasses
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

import nsn_jax
from experiments.common import baseline_training, network_training, runs, workdir
from experiments.paper.layouts import names
from nsn_jax import baselines, density, pixel_range
from nsn_jax.metrics import evaluation

__all__ = ["Contender", "check", "find", "of_baseline", "of_network"]

Images = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, eq=False)
class Contender:
  """A trained model, and what Table 1 asks of it.

  Attributes:
    sample: draws so many images by a key, uint8 [N, H, W, C].
    num_parameters: that sampling needs.
    num_networks: that were trained.
    sequential_steps: of a sample, one after the other.
    density: of held-out images by a key: the kind of number, and plain values: "layers", of each
      layer's map as `nsn_jax.density.layer_fits` has them, or "bits", of pixels.
    family: of a baseline; None of an NSN.
    num_filters: found in each layer; None where the size is given.
    facts: what training was asked for, on what it ran, and its time in seconds.
  """

  sample: evaluation.Sampler
  num_parameters: int
  num_networks: int
  sequential_steps: int
  density: Callable[[jax.Array, Images], dict[str, Any]]
  family: baselines.Family | None
  num_filters: tuple[int, ...] | None
  facts: Mapping[str, Any]


def check(given: Sequence[str], known: Collection[str]) -> None:
  """Raises ValueError for a name that is none of those known."""
  for name in given:
    if name not in known:
      raise ValueError(f"models: expected some of {', '.join(known)}, got {name!r}")


def find(
  name: str,
  folder: pathlib.Path,
  data: runs.DataSpec,
  *,
  num_epochs: int | None = None,
  seed: int = 0,
) -> Contender:
  """A model, which is trained first where it is not there, or not to its end.

  Where a baseline is there, its own options stand, as `experiments.train_baseline` was given them.

  Args:
    name: "nsn", "nsn-plain", "nsn-large", "nsn-best" or a baseline's.
    folder: of the model.
    data: that it is trained on.
    num_epochs: of a baseline; None for those of a finished training, else for its default.
    seed: of training.

  Returns:
    The trained model.

  Raises:
    ValueError: for arguments that do not fit what is in the folder.
    OSError: where the folder cannot be written.
  """
  stored = workdir.read_config(folder)
  if name in names.NSN:
    if stored:
      # A network that is there is taken, whatever the preset has become.
      asked = runs.TrainConfig(data=data, seed=seed)
      workdir.check_same(asked.as_dict(), stored, asked.decisive, folder)
    if not (folder / runs.MODEL).is_file():
      preset = runs.preset_of(data.name) + name.removeprefix("nsn")
      training = runs.NetworkTraining.of_preset(preset, data, seed=seed)
      network_training.train(folder, training, resume=stored != {})
    return of_network(runs.load_model(folder), workdir.config_of_training(folder))
  if num_epochs is None and stored.get("finished"):
    num_epochs = stored["num_epochs"]
  model, state = baseline_training.train(
    folder,
    runs.BaselineTraining(
      data=data,
      seed=seed,
      model=name,
      options=stored.get("options", {}),
      num_epochs=num_epochs,
      score_every=0,
    ),
    resume=stored != {},
  )
  return of_baseline(model, state, workdir.read_config(folder))


def of_network(nsn: nsn_jax.NSN, facts: Mapping[str, Any]) -> Contender:
  """A trained NSN."""

  def layer_densities(_: jax.Array, images: Images) -> dict[str, Any]:
    fits = [fit._asdict() for fit in density.layer_fits(nsn, images)]
    return {"kind": "mixture a layer, nats a value", "layers": fits}

  return Contender(
    sample=lambda key, count: pixel_range.to_uint8(nsn_jax.sample(key, nsn, count)),
    num_parameters=baselines.num_parameters(nsn),
    num_networks=1,
    sequential_steps=nsn.num_layers,
    density=layer_densities,
    family=None,
    num_filters=nsn.num_filters,
    facts=facts,
  )


def of_baseline(
  model: baselines.Baseline, state: baselines.State, facts: Mapping[str, Any]
) -> Contender:
  """A trained baseline."""

  def held_out(key: jax.Array, images: Images) -> dict[str, Any]:
    found = model.held_out_density(key, state, images)
    return {"kind": "none"} if found is None else found._asdict()

  return Contender(
    sample=lambda key, count: baselines.sample(key, model, state, count),
    num_parameters=baselines.num_parameters(model.generating(state)),
    num_networks=model.num_networks,
    sequential_steps=model.sequential_steps,
    density=held_out,
    family=model.family,
    num_filters=None,
    facts=facts,
  )
