"""A training small enough for seconds, and launchers started as a shell starts them."""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

import nsn_jax
from experiments.common import network_training, runs

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Digits of 12x12: a second layer of 5x5 windows ends at 1x1, and fewer programs are compiled.
SIDE = 12


def mini_network(**changes: Any) -> nsn_jax.NetworkConfig:
  """Bottom and top of the MNIST preset, small enough to train in seconds."""
  config = nsn_jax.presets.get("mnist")
  layers = tuple(
    dataclasses.replace(
      layer,
      kernel=kernel,
      threshold=threshold,
      growth_patches=2000,
      seeds_per_step=8,
      exchange_steps=2,
      max_filters=24,
      max_passes=2,
      min_patches=4,
    )
    for layer, kernel, threshold in zip(
      (config.layers[0], config.layers[-1]), (4, 5), (-0.5, -0.5), strict=True
    )
  )
  sampler = nsn_jax.SamplerConfig(gamma=(200.0, 100.0), beta=1.5)
  network = dataclasses.replace(config, layers=layers, whitening_epsilon=0.5, sampler=sampler)
  return dataclasses.replace(network, **changes)


def one_layer() -> nsn_jax.NetworkConfig:
  """A layer over whole digits, where two would teach nothing more."""
  layer = nsn_jax.LayerConfig(
    kernel=SIDE, stride=1, growth_patches=200, exchange_steps=0, max_filters=8, max_passes=1
  )
  return nsn_jax.NetworkConfig(layers=(layer,), exact_decoders=False)


def mini_training(**changes: Any) -> runs.NetworkTraining:
  """Of few digits; `changes` are of the training, or of its data."""
  of_data = {name: changes.pop(name) for name in ("name", "image_size", "limit") if name in changes}
  spec = runs.DataSpec("digits", image_size=SIDE, limit=120).replace(**of_data)
  return runs.NetworkTraining(**{"data": spec, "network": mini_network()} | changes)


def train(
  place: str | os.PathLike[str], *, num_samples: int = 7, report: Any = None, **changes: Any
) -> network_training.Result:
  """Trains it in a folder; `changes` are of the training, its data, or of how it goes on."""
  names = ("resume", "overwrite", "checkpoint_seconds")
  how = {name: changes.pop(name) for name in names if name in changes}
  return network_training.train(
    place, mini_training(**changes), num_samples=num_samples, report=report, **how
  )


@contextlib.contextmanager
def given(launcher: ModuleType, *arguments: str) -> Iterator[None]:
  """A launcher's flags, as its command line would set them, as long as the block goes on."""
  before = set(flags.FLAGS)
  launcher._define_flags()  # type: ignore[attr-defined]
  try:
    flags.FLAGS(["x", *arguments])
    yield
  finally:
    for name in set(flags.FLAGS) - before:
      delattr(flags.FLAGS, name)


def write_scenes(rng: np.random.Generator, folder: pathlib.Path, each: int) -> None:
  """Labelled photographs of noise, so many of each of two classes and both splits."""
  for split in ("train", "test"):
    for name in ("sea", "street"):
      (folder / split / name).mkdir(parents=True)
      for number in range(each):
        pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / split / name / f"{number}.png")


def picture_size(path: pathlib.Path) -> tuple[int, int]:
  """Width and height of a picture that can be read to its end."""
  with Image.open(path) as picture:
    picture.load()
    return picture.size


#: Python code that has signals handled as a terminal starts a program: a shell's background job, or
#: one under nohup, as tests may be, hands them on ignored.
FROM_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
for ending in (signal.SIGTERM, signal.SIGHUP):
  signal.signal(ending, signal.SIG_DFL)
"""
#: As `python -m`.
_AS_MAIN = f"""{FROM_A_TERMINAL}
import runpy, sys
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
  """Starts a launcher."""
  return subprocess.Popen(
    [sys.executable, "-c", _AS_MAIN, f"experiments.{module}", *arguments],
    cwd=ROOT,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    env=os.environ | {"PYTHONUNBUFFERED": "1"},
  )
