"""Two processes train one network, the one that one process finds; and what they refuse."""

import json
import sys

import jax
import numpy as np
import pytest

import nsn_jax
from tests import pair


@pytest.fixture(scope="module")
def both(tmp_path_factory):
  """What both processes found: texts and arrays of each."""
  out = tmp_path_factory.mktemp("pair")

  def command(port, number):
    return [sys.executable, "-m", "tests.pair", str(port), str(number), str(out)]

  running = pair.start_both(command)
  for process in running:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-4000:]
  return [
    (json.loads((out / f"{i}.json").read_text()), dict(np.load(out / f"{i}.npz"))) for i in range(2)
  ]


def test_one_network_on_all_processes(both):
  images, labels = pair.digits()
  alone = nsn_jax.fit(jax.random.key(0), images, pair.config(), labels=labels)
  assert alone.num_filters[1] > 2 and alone.filters[1].factors is not None
  for name, array in pair.network_arrays(alone).items():
    for _, found in both:
      np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_one_layer_grown_in_coordinates(both):
  alone, _ = nsn_jax.fit_layer(jax.random.key(0), pair.feature_maps(), pair.LAYER)
  for texts, found in both:
    assert "sample" in texts["layer phases"]
    np.testing.assert_array_equal(found["layer mean"], alone.mean)
    np.testing.assert_array_equal(found["layer variance"], alone.variance)


@pytest.mark.parametrize(
  ("case", "first", "second"),
  [
    ("no mesh", "mesh: expected one over the devices of all 2 processes, got None", None),
    ("a process left out", "of 2 processes, in the order of these, got .* processes [0]", None),
    ("out of order", "in the order of these, got devices of processes [1, 0]", None),
    ("shards", "whole shards of 2 each, got 2 devices", None),
    (
      "shards differ",
      "config.num_shards: expected the same .* got 16 on process 0 and 32 on",
      None,
    ),
    ("dtype", "images: expected the same .* got float32 [N, 8, 8, 1] on process 0 and uint8", None),
    (
      "size",
      "images: .* uint8 [N, 8, 8, 1] on process 0 and uint8 [N, 7, 8, 1] on process 1",
      None,
    ),
    ("values", "or float in [0, 1], got floats in .* (process 1)", "got floats in [0, 240]"),
    ("count", "images: expected [100, 100] of 200 .* local_rows says, got [98, 102]", None),
    ("threshold", "config.layers[1].threshold: .* got 1.0 on process 0 and 2.0 on process 1", None),
    ("key", "key: expected the same on all processes, got [0, 0] of .* and [0, 1] of", None),
    ("labels", "labels: expected the same on all processes, got none on process 0 and given", None),
    ("labels of one", "labels: expected classes from 0 .* (process 1)", "got -1 to 8"),
    ("budget", "memory_budget_gb: expected the same on all processes, got 1.0 on process 0", None),
    ("maps", "feature_maps: expected finite values, got NaN .* (process 1)", "finite values"),
    ("epsilon", "epsilon: expected the same on all processes, got 1.0 on process 0 and 2.0", None),
  ],
)
def test_refused_on_all_processes(both, case, first, second):
  for (texts, _), wanted in zip(both, (first, second or first), strict=True):
    given = texts[case]
    assert "\n" not in given
    for part in wanted.split(" .* "):
      assert part in given


def test_exchange(both):
  for _, found in both:
    assert found["joined"].dtype == np.int64
    np.testing.assert_array_equal(found["joined"][:, 0], (1 << 40) + np.arange(3))
    assert found["joined nothing"].shape == (0, 2)
    assert found["across"] == 0.1 + 1.1
    assert found["of first"].tobytes() == b"first"
    assert found["number of arrays of first"] == 1
    np.testing.assert_array_equal(found["arrays of first"], np.zeros(2, np.float32))
    np.testing.assert_array_equal(found["taken"], pair.TAKEN)
    assert not found["mean of first"].any()


def test_progress_comes_to_its_end(both):
  for texts, _ in both:
    fractions = json.loads(texts["fractions"])
    assert all(0 <= fraction <= 1 for fraction in fractions) and 1 in fractions


def test_a_process_that_dies_is_told_of(both):
  lost, dead = both[0][0], both[1][0]
  assert "lost" not in dead
  assert lost["lost"].startswith("processes: expected all 2 to go on, but another one has ended")
