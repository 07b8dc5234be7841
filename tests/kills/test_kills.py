"""Trainings that are killed at random instants end with the same bytes.

Most of the kills are of this process's own making: from an instant on, nothing that touches a file
is done any more. A few are of real processes.
"""

import signal
from collections.abc import Iterator

import numpy as np
import pytest

from experiments.common import runs
from tests.experiments import helpers
from tests.kills import campaign, folders, instants


def _train(folder, **options) -> None:
  helpers.train(
    folder,
    num_samples=1,
    network=helpers.mini_network(exact_decoders=False),
    resume=True,
    **options,
  )


@pytest.fixture(scope="module")
def untouched(tmp_path_factory) -> tuple[dict, list[str]]:
  """What a training leaves that is never killed, and its instants."""
  folder, happened = tmp_path_factory.mktemp("untouched"), []
  with instants.counted(lambda _, what: happened.append(what)):
    _train(folder, checkpoint_seconds=0.0)
  return folders.left(folder), happened


def test_instants_are_around_every_change_of_a_file(untouched):
  _, happened = untouched
  assert len(happened) > 300
  for what in (
    "half of state.safetensors is written",
    "before state.safetensors is moved",
    "before state.safetensors is removed",
    "after model.partial.safetensors is moved",
    "half of the records are written",
    "half of model.safetensors is written",
    "before model.partial.safetensors is removed",
    "step 1 of growth in layer 0 is done",
    "step 2 of em in layer 1 is done",
  ):
    assert what in happened, what


def _numbers(random: np.random.Generator, happened: list[str], kills: int) -> Iterator[int]:
  """Instants to die at, as each process counts them, so that a training is killed a few times."""
  for _ in range(kills):
    yield int(random.integers(1, len(happened) // 2))


def test_killed_at_random_instants(untouched, tmp_path, capsys):
  expected, happened = untouched
  killed = within = 0
  for number in _numbers(np.random.default_rng(3), happened, 10):
    try:
      with instants.counted(instants.dying_at(number)):
        _train(tmp_path, checkpoint_seconds=0.0)
    except instants.Killed:
      killed += 1
      folders.check_whole(tmp_path)
    within += "in part; on" in capsys.readouterr().err
  _train(tmp_path)
  assert folders.left(tmp_path) == expected
  assert killed >= 5 and within >= 2


@pytest.mark.parametrize(
  "what",
  [
    "after model.partial.safetensors is moved",  # the whitening alone
    "half of state.safetensors is written",
    "half of the records are written",
    "before state.safetensors is removed",  # of a layer that is finished
    "after model.safetensors is moved",
  ],
)
def test_killed_where_it_hurts(untouched, tmp_path, what, capsys):
  expected, happened = untouched
  last = len(happened) - happened[::-1].index(what)
  with pytest.raises(instants.Killed), instants.counted(instants.dying_at(last)):
    _train(tmp_path, checkpoint_seconds=0.0)
  folders.check_whole(tmp_path)
  capsys.readouterr()
  _train(tmp_path)
  assert folders.left(tmp_path) == expected
  said = capsys.readouterr().err
  if what == "before state.safetensors is removed":
    assert not (tmp_path / runs.STATE).exists()
  assert "Traceback" not in said


def test_real_processes_are_killed(tmp_path):
  said: list[str] = []
  found = campaign.run(3, 7, tmp_path, said.append)
  assert not found.faults, found.faults
  assert found.kills == 3 and found.trainings >= 1, said
  assert any(signal.SIGKILL.name in line for line in said)
