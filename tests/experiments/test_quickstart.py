"""What the quickstart adds to training, on a small network and few images."""

from experiments import quickstart
from tests.experiments import helpers


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
