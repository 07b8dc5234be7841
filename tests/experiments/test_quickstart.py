"""What the quickstart adds to training, on a small network and few images."""

import pytest

import nsn_jax
from experiments import quickstart
from experiments.common import network_training, runs
from tests.experiments import helpers


class _AskedError(Exception):
  pass


def test_by_default_it_trains_the_preset_of_the_digits(tmp_path, monkeypatch):
  def asked(folder, config, *, num_samples, overwrite):
    assert (folder, num_samples, overwrite) == (tmp_path, 100, True)
    assert config.data == runs.DataSpec("digits") and config.preset == "digits"
    assert config.network == nsn_jax.presets.get("digits")
    raise _AskedError

  monkeypatch.setattr(network_training, "train", asked)
  with pytest.raises(_AskedError):
    quickstart.quickstart(tmp_path)


def test_quickstart_twice(tmp_path):
  for _ in range(2):
    found = quickstart.quickstart(tmp_path, helpers.mini_training(network=helpers.one_layer()))
    assert [path.name for path in found] == [
      "samples_grid.png",
      "growth.png",
      "filters_layer0.png",
    ]
    for path in found:
      assert min(helpers.picture_size(path)) > 30
      path.unlink()
