"""Classifiers that several test modules look at: one of real digits, one of noise."""

import functools

import jax
import numpy as np
import pytest

from nsn_jax import data, metrics
from nsn_jax.metrics.classifier import training
from tests.metrics.classifier.helpers import TINY

#: Small enough for a test; the default one is for MNIST's 60,000 images.
_ARCHITECTURE = metrics.Architecture(channels=(16, 32, 64), num_features=64, dropout=0.1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
  """(train, test) of scikit-learn's digits: real images, 1,438 and 359."""
  cache_dir = tmp_path_factory.mktemp("data")
  return tuple(data.load("digits", split=split, cache_dir=cache_dir) for split in ("train", "test"))


@pytest.fixture(scope="session")
def trained(digits):
  train, _ = digits
  return metrics.train_classifier(
    jax.random.key(0),
    *train,
    num_epochs=15,
    batch_size=32,
    max_shift=1,
    architecture=_ARCHITECTURE,
  )


@pytest.fixture(scope="session")
def noise():
  """40 images of 6x7 RGB noise with 3 labels."""
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (40, 6, 7, 3), np.uint8)
  return images, (np.arange(40) % 3).astype(np.int32)


@pytest.fixture(scope="session")
def tiny(noise):
  return metrics.train_classifier(jax.random.key(0), *noise, **TINY)


@pytest.fixture
def trainings(monkeypatch, tiny):
  """One entry for each training, which takes no time: it gives `tiny`, whatever the arguments."""
  calls = []

  @functools.wraps(training.train_classifier)  # The cache reads the signature.
  def train(*args, **options):
    calls.append((args, options))
    return tiny

  monkeypatch.setattr(training, "train_classifier", train)
  return calls
