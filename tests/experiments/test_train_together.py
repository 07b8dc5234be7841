"""experiments.train on two processes: the first leaves what one alone does, the other is silent."""

import signal
import sys
import time

import pytest

import nsn_jax
from experiments.common import native_messages, network_training, runs
from tests import pair
from tests.experiments import helpers

_FLAGS = ("--dataset=digits", "--image_size=12", "--limit=101", "--num_samples=4")


def _network() -> nsn_jax.NetworkConfig:
  """Two layers of one filter: no growth to compile."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      max_filters=1,
      exchange_steps=0,
      max_passes=2,
      growth_patches=200,
      decoder="drawn",
    )
    for kernel, stride in ((4, 4), (3, 1))
  )
  return nsn_jax.NetworkConfig(layers=layers, exact_decoders=False)


#: The launcher, whose digits are trained by that network.
_LAUNCHER = f"""
{helpers.FROM_A_TERMINAL}
import runpy, sys
from nsn_jax import presets
from tests.experiments import test_train_together
presets._PRESETS["digits"] = test_train_together._network()
sys.argv[0] = "experiments.train"
runpy.run_module("experiments.train", run_name="__main__", alter_sys=True)
"""


def _start(folder, *arguments):
  """Both processes, the second of which sees another folder: it needs none."""

  def command(port, number):
    together = (f"--coordinator=localhost:{port}", "--num_processes=2", f"--process_id={number}")
    place = f"--workdir={folder if number == 0 else folder / 'nowhere'}"
    return [sys.executable, "-c", _LAUNCHER, "--distributed", *together, place, *arguments]

  return pair.start_both(command)


def _ends(running):
  """Exit codes, and what both wrote to standard error; to standard output neither writes."""
  found = [process.communicate(timeout=240) for process in running]
  assert [out for out, _ in found] == ["", ""]
  return [process.returncode for process in running], [errors for _, errors in found]


def _num_layers(folder):
  partial = folder / runs.PARTIAL
  return nsn_jax.load(partial).num_layers if partial.exists() else 0


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
  """A workdir whose second process was killed after the first layer, and how the first ended."""
  folder = tmp_path_factory.mktemp("together") / "run"
  running = _start(folder, *_FLAGS)
  until = time.monotonic() + 200
  while _num_layers(folder) < 1 and time.monotonic() < until:
    assert running[0].poll() is None, running[0].communicate()
    time.sleep(0.05)
  running[1].kill()
  before = time.monotonic()
  codes, errors = _ends(running)
  return folder, codes, errors, time.monotonic() - before


def test_a_lost_process_ends_the_other_by_one_line(lost):
  folder, codes, (first, second), seconds = lost
  assert codes[0] not in (0, None) and codes[1] == -signal.SIGKILL
  lines = first.splitlines()
  assert lines[-1] == native_messages.LOST
  assert len([line for line in lines if "error" in line]) == 1 and "layer 0" in lines[-2]
  assert second == ""
  assert seconds < 60
  assert (folder / runs.PARTIAL).exists() and not (folder / runs.MODEL).exists()


def test_goes_on_to_what_one_process_finds(lost, tmp_path):
  folder = lost[0]
  codes, (first, second) = _ends(_start(folder, *_FLAGS, "--resume"))
  assert codes == [0, 0], (first, second)
  assert "1 of them trained before" in first and second == ""
  spec = runs.DataSpec("digits", image_size=12, limit=101)
  network_training.train(
    tmp_path, runs.NetworkTraining(data=spec, network=_network()), num_samples=4
  )
  model = (folder / runs.MODEL).read_bytes()
  assert model == (tmp_path / runs.MODEL).read_bytes()
  assert {path.name for path in folder.iterdir()} == {path.name for path in tmp_path.iterdir()}

  codes, errors = _ends(_start(folder, *_FLAGS))
  assert codes == [1, 1]
  for text in errors:
    assert text.startswith("error: workdir: expected a folder without a model")
    assert len(text.splitlines()) == 1
