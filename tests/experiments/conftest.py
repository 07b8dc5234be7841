"""A finished training and a finder that the launchers' tests share."""

import pathlib

import jax
import pytest

from experiments.common import finding, network_training
from experiments.common.halves import halves
from nsn_jax import data, metrics
from nsn_jax.metrics import evaluation
from tests import haste
from tests.experiments import helpers


@pytest.fixture(autouse=True)
def _small_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
  """KID is what takes most of the time of scoring: launchers hand on what it comes to."""
  monkeypatch.setattr(evaluation, "_SUBSET_SIZE", 100)


@pytest.fixture(scope="session")
def trained(
  tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, network_training.Result]:
  """A finished workdir. Tests that change one copy it or make their own."""
  folder = tmp_path_factory.mktemp("trained")
  return folder, helpers.train(folder)


@pytest.fixture(scope="session")
def finder() -> finding.Finder:
  """A quickly trained finder of digits."""
  images, labels = data.load("digits")
  part = halves(len(images)).first
  with haste.compiled(in_haste=True, for_long=True):
    classifier = metrics.train_classifier(
      jax.random.key(1),
      images[part],
      labels[part],
      num_epochs=8,
      batch_size=32,
      architecture=metrics.Architecture(channels=(12,), kernels=(7,), num_features=24),
    )
  features = classifier.outputs(images[part]).features
  return finding.Finder(classifier, 0.0, features, metrics.feature_statistics(features))
