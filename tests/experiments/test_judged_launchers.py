"""Launchers that take a model: on the images of its training, and not on too few."""

import json
import subprocess
import sys

import pytest

from experiments.paper import filling, sample_grids
from experiments.studies import growth_vs_kmeans
from tests.experiments import helpers
from tests.experiments.helpers import ROOT


def test_they_take_the_images_of_the_training(trained, tmp_path, capsys):
  # Of 12x12 pixels, 120 of them: with the data set's own of 28x28 each of these would fail.
  model = f"--model={trained[0] / 'model.safetensors'}"
  for launcher, *arguments in (
    (sample_grids, f"--workdir={tmp_path}", "--num_samples=5"),
    (filling, f"--workdir={tmp_path}", "--num_images=2"),
    (growth_vs_kmeans,),
  ):
    capsys.readouterr()
    with helpers.given(launcher, model, *arguments):
      launcher._main()
  assert " on 120 images of digits: " in capsys.readouterr().out
  assert (tmp_path / "sample_grids.json").is_file() and (tmp_path / "filling.json").is_file()
  (trained[0] / "model.growth_vs_kmeans.json").unlink()


_ASKED = """
import importlib, json, sys
from absl import flags
from experiments.common import finding, judging
from nsn_jax import data


class Asked(Exception):
  pass


def judge(name, **asked):
  raise Asked(name, asked["image_size"])


judging.judge = judge
finding.finder = lambda name, _, **asked: judge(name, **asked)
load = data.load
limits = []
data.load = lambda *given, **asked: limits.append(asked["limit"]) or load(*given, **asked)
for name, *arguments in json.loads(sys.stdin.read()):
  launcher = importlib.import_module(f"experiments.{name}")
  before = set(flags.FLAGS)
  launcher._define_flags()
  flags.FLAGS(["x", *arguments])
  limits.clear()
  try:
    launcher._main()
  except (Asked, ValueError) as error:
    print(json.dumps([type(error).__name__, *error.args, limits]))
  for flag in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, flag)
"""


#: What each launcher asks for first, by its name.
Asked = dict[str, list]


@pytest.fixture(scope="module")
def asked(trained, tmp_path_factory) -> tuple[Asked, Asked]:
  """As they are called, and with too few samples; all in one process."""
  model, folder = (
    f"--model={trained[0] / 'model.safetensors'}",
    tmp_path_factory.mktemp("asked"),
  )
  place = f"--workdir={folder}"
  judged = [
    ["score", model],
    ["tune_sampler", model],
    ["paper.sampler_effects", model, place],
    ["studies.epsilon", model, place],
  ]
  tables = [
    ["paper.table1", "--dataset=digits", place],
    ["paper.table2", "--datasets=digits", place],
    ["paper.__main__", "--datasets=digits", place],
  ]
  few = [[*command, "--num_samples=9"] for command in (*judged, *tables)]
  done = subprocess.run(
    [sys.executable, "-c", _ASKED],
    cwd=ROOT,
    input=json.dumps([*judged, *few]),
    capture_output=True,
    text=True,
    check=True,
  )
  found = [json.loads(line) for line in done.stdout.splitlines()]
  assert len(found) == len(judged) + len(few)
  return tuple(
    {command[0]: row for command, row in zip(commands, rows, strict=True)}
    for commands, rows in ((judged, found[: len(judged)]), (few, found[len(judged) :]))
  )


def test_their_judges_are_of_the_trainings_size_and_of_all_images(asked):
  found = asked[0]
  assert [row[:-1] for row in found.values()] == [["Asked", "digits", helpers.SIDE]] * 4
  # The network's own images are what pixels and other networks are compared with; test images are
  # never left out.
  limits = [row[-1] for row in found.values()]
  assert limits == [[120, None], [None, None], [], [120, None]]


def test_too_few_samples_are_told_of_before_a_judge_is_trained(asked):
  told = "num_samples: expected at least 10, one for each split of the inception score, got 9"
  assert [row[:-1] for row in asked[1].values()] == [["ValueError", told]] * 7
