"""A finished training that the launchers' tests share."""

import pathlib

import pytest

from experiments.common import network_training
from tests.experiments import helpers


@pytest.fixture(scope="session")
def trained(
  tmp_path_factory: pytest.TempPathFactory,
) -> tuple[pathlib.Path, network_training.Result]:
  """A finished workdir. Tests that change one copy it or make their own."""
  folder = tmp_path_factory.mktemp("trained")
  return folder, helpers.train(folder)
