"""The main job: trains a network and draws what it found.

    python -m experiments.train --dataset=mnist --data_dir=... --workdir=runs/mnist
    python -m experiments.train --workdir=runs/mnist --resume     # goes on after Ctrl-C, or a kill
    python -m experiments.train ... --distributed --coordinator=host:port --num_processes=2 \
      --process_id=0     # and the same with 1 elsewhere: two processes, one network

What the folder then holds: see `experiments.common.network_training`.
"""

import pathlib
import tempfile
from typing import NamedTuple

import jax
from absl import flags

import nsn_jax
from experiments.common import command_line, devices, following, network_training, runs
from nsn_jax import data, processes

__all__: list[str] = []


def _define_flags() -> None:
  command_line.define_workdir()
  command_line.define_data()
  flags.DEFINE_string(
    "preset",
    None,
    f"The network: {', '.join(nsn_jax.presets.names())}. By default the data set's own.",
  )
  command_line.define_seed("Seed of training.")
  flags.DEFINE_float("memory_budget_gb", 4.0, "For what training holds between passes.")
  flags.DEFINE_float(
    "checkpoint_seconds",
    60.0,
    "Between two states within a layer that are kept for --resume; 0: after each step.",
    lower_bound=0.0,
  )
  command_line.define_num_samples(100)
  command_line.define_resumption()
  command_line.define_devices()


class _Asked(NamedTuple):
  folder: str
  training: runs.NetworkTraining
  mesh: jax.sharding.Mesh | None


def _asked() -> _Asked:
  """What the flags ask for."""
  given = flags.FLAGS
  folder, stored, setting = command_line.resumption()
  if given.resume and not stored and not setting("dataset"):
    raise ValueError(f"resume: expected a workdir where training began, got {folder!r}")
  spec = command_line.data_spec(setting)
  preset = setting("preset")
  if preset is None:
    # A wrong name should be heard of as such, and not as a want of a preset.
    if not data.is_known(spec.name):
      raise ValueError(f"dataset: expected one of {', '.join(data.NAMES)}, got {spec.name!r}")
    preset = runs.preset_of(spec.name)
  training = runs.NetworkTraining.of_preset(
    preset, spec, seed=setting("seed"), memory_budget_gb=setting("memory_budget_gb")
  )
  mesh = devices.mesh(given.num_devices, training.network.num_shards)
  return _Asked(folder, training, mesh)


def _follow(asked: _Asked) -> None:
  """The part of a process that is not the first: it gives its images, and keeps nothing."""
  training, mesh = asked.training, asked.mesh
  with tempfile.TemporaryDirectory() as place:
    dataset = following.follow(training.data.load, pathlib.Path(place))
    partial, within = pathlib.Path(place, runs.PARTIAL), pathlib.Path(place, runs.STATE)
    initial = nsn_jax.load(partial) if partial.exists() else None
    state = nsn_jax.load_state(within) if within.exists() else None
  if dataset is None:
    return
  images, labels = following.share(dataset, mesh, training.network.num_shards)

  def fit(state: nsn_jax.TrainingState | None) -> None:
    nsn_jax.fit(
      jax.random.key(training.seed),
      images,
      training.network,
      initial=initial,
      labels=labels,
      memory_budget_gb=training.memory_budget_gb,
      mesh=mesh,
      state=state,
    )

  try:
    fit(state)
  except nsn_jax.StateError:  # The first process says so, and goes on without it, too.
    fit(None)


def _main() -> None:
  given = flags.FLAGS
  command_line.join()
  asked = processes.agreed(_asked)
  if not devices.is_first():
    _follow(asked)
    return
  network_training.train(
    asked.folder,
    asked.training,
    mesh=asked.mesh,
    num_samples=given.num_samples,
    resume=given.resume,
    overwrite=given.overwrite,
    checkpoint_seconds=given.checkpoint_seconds,
  )


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
