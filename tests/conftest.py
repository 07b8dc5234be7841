"""Data and helpers that several test modules share."""

import gc
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import filelock
import jax
import numpy as np
import pytest
from absl import logging
from sklearn.datasets import load_digits

import nsn_jax
from experiments.common import judging
from nsn_jax import data, metrics
from tests import haste

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: Tests of something else than what the library's programs compute, to the last digit.
_IN_HASTE = (
  "applications",
  "baselines",
  "experiments",
  "from_factors",
  "fuzz",
  "kills",
  "metrics",
  "preferred",
  "test_arguments.py",
  "test_bad_calls.py",
  "test_decoder_choice.py",
  "test_growth_decisions.py",
  "test_precision_modes.py",  # of which values are float32: a matter of tracing
  "test_serialization.py",
  "test_training_resumed.py",  # by the programs that trained before, whoever compiled them
)
#: Of these, tests that train classifiers.
_FOR_LONG = ("metrics",)

#: One entry a program that XLA compiled since the tests began. JAX cannot take a listener back, so
#: there is one for all tests.
_COMPILED: list[str] = []


def _on_event(event: str, _seconds: float, **_kwargs: object) -> None:
  if event == "/jax/core/compile/backend_compile_duration":
    _COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_on_event)


_PROGRAMS = pytest.StashKey[tempfile.TemporaryDirectory]()


def pytest_configure(config: pytest.Config) -> None:
  """Programs are compiled once for all processes, also those that tests start."""
  if hasattr(config, "workerinput"):
    return
  # Of processes that are yet to start. Beside each other their threads wait in loops: the whitening
  # of an image of 28x28 takes three times as long by two threads as by one.
  os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
  os.environ.setdefault("OMP_NUM_THREADS", "1")
  if "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  config.stash[_PROGRAMS] = tempfile.TemporaryDirectory()
  settings = {
    "jax_compilation_cache_dir": config.stash[_PROGRAMS].name,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
  }
  for name, value in settings.items():
    os.environ[name.upper()] = str(value)  # of processes that are yet to start
    jax.config.update(name, value)


def pytest_collection_finish() -> None:
  """What is there now stays: it is not searched again and again for what nobody holds.

  Tracing makes and drops many small objects, which have JAX searched through by Python's defaults.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure(config: pytest.Config) -> None:
  """Deletes the programs."""
  if _PROGRAMS in config.stash:
    config.stash[_PROGRAMS].cleanup()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
  """Compiles the programs of some tests in haste."""
  tests = pathlib.Path(__file__).parent
  first = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else None
  with haste.compiled(in_haste=first in _IN_HASTE, for_long=first in _FOR_LONG):
    return (yield)


@pytest.fixture(autouse=True, scope="module")
def _few_programs() -> Iterator[None]:
  yield
  haste.let_go()


@pytest.fixture
def num_compiled() -> Iterator[Callable[[], int]]:
  """A function that tells how many programs were compiled since the test began."""
  start = len(_COMPILED)
  yield lambda: len(_COMPILED) - start


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
  """The warnings that are logged, as they are logged."""
  messages: list[str] = []
  monkeypatch.setattr(logging, "warning", lambda text, *args: messages.append(text % args))
  return messages


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
  """Fails the test where anything is unpickled."""

  def refuse(*_: object, **__: object) -> None:
    raise AssertionError("unpickled")

  for name in ("load", "loads", "Unpickler"):
    monkeypatch.setattr(pickle, name, refuse)
  monkeypatch.setattr(np.lib.format, "read_array", refuse)


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
  """scikit-learn's handwritten digits as they come: float32 [1797, 8, 8, 1] in [0, 1]."""
  return (load_digits().images[..., None] / 16.0).astype(np.float32)


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
  """A function that runs a script in a fresh interpreter, and returns what it prints."""

  def run(script: str, **environment: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(
      [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout

  return run


def _trained_once(
  factory: pytest.TempPathFactory, name: str, train: Callable[[], nsn_jax.NSN]
) -> nsn_jax.NSN:
  """A network that the first of all processes trains, in haste, and the others load."""
  folder = factory.getbasetemp()
  if "PYTEST_XDIST_WORKER" in os.environ:
    folder = folder.parent
  place = folder / f"{name}.safetensors"
  with filelock.FileLock(f"{place}.lock"):
    if not place.exists():
      with haste.compiled(in_haste=True):
        nsn_jax.save(place, train())
  return nsn_jax.load(place)


@pytest.fixture(scope="session")
def nsn(tmp_path_factory: pytest.TempPathFactory) -> nsn_jax.NSN:
  """A small network on the digits."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      threshold=threshold,
      growth_patches=800,
      exchange_steps=1,
      max_passes=2,
      max_filters=20,
    )
    for kernel, stride, threshold in ((14, 14, -1.0), (2, 1, 1.0))
  )
  config = nsn_jax.NetworkConfig(
    layers=layers,
    whitening_epsilon=1.0,
    sampler=nsn_jax.SamplerConfig(gamma=50.0),
    exact_decoders=False,
  )
  images = data.load("digits", limit=200).images
  return _trained_once(
    tmp_path_factory, "nsn", lambda: nsn_jax.fit(jax.random.key(0), images, config)
  )


@pytest.fixture(scope="session")
def judge() -> judging.Judge:
  """A quickly trained judge: these tests are about the launchers, not about its accuracy."""
  train, test = data.load("digits"), data.load("digits", split="test")
  architecture = metrics.Architecture(channels=(8, 16), kernels=(5, 3), num_features=32)
  with haste.compiled(in_haste=True, for_long=True):
    classifier = metrics.train_classifier(
      jax.random.key(0),
      train.images,
      train.labels,
      num_epochs=8,
      batch_size=32,
      architecture=architecture,
    )
  return judging.Judge(classifier, 0.0, train, test)


@pytest.fixture(scope="session")
def decoded_digits(
  digits: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nsn_jax.NSN, np.ndarray]:
  """A network with factors, prior, decoders and contrast, and the digits that it was trained on."""
  windows = ((3, 1, -0.3, 0), (2, 2, -1.0, 0), (3, 1, -0.5, 3))
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      threshold=threshold,
      growth_patches=1000,
      exchange_steps=0,
      max_passes=2,
      max_filters=40,
      min_patches=4,
      rank=rank,
      decoder="drawn" if rank else "corrected",
      num_features=12,
    )
    for kernel, stride, threshold, rank in windows
  )
  config = nsn_jax.NetworkConfig(
    layers=layers, sampler=nsn_jax.SamplerConfig(gamma=(400.0, 400.0, 140.0), prior="mixture")
  )
  images, labels = digits[:600], load_digits().target[:600]

  def train() -> nsn_jax.NSN:
    return nsn_jax.fit(jax.random.key(0), images, config, labels=labels)

  return _trained_once(tmp_path_factory, "decoded_digits", train), images
