"""The stages of the whole report: commands that launchers take, of data that are there."""

import signal
import sys

import numpy as np
import pytest

from experiments.common import signals, workdir
from experiments.paper import stages
from nsn_jax import data, files
from tests.experiments import helpers


def _planned(folder, datasets, **options):
  options = {"data_dir": None, "limit": None, "num_samples": 1000, **options}
  return list(stages.plan(folder, datasets, **options))


def test_every_stage_is_a_command_that_its_launcher_takes(tmp_path, run_python):
  planned = _planned(tmp_path, ["digits"], limit=100)
  kinds = [stage.kind for stage in planned]
  assert kinds == [
    "train",
    "score",
    "sample_grids",
    "sampler_effects",
    "epsilon",
    "filling",
    "arithmetic",
    "styling",
    "tables34",
    "table1",
  ]
  assert len({stage.name for stage in planned}) == len(planned)
  # Parsing alone, in a process of its own, as flags are global.
  run_python(f"""
import importlib
from absl import flags
for launcher, arguments in {[(stage.launcher, stage.arguments) for stage in planned]!r}:
  before = set(flags.FLAGS)
  importlib.import_module(f"experiments.{{launcher}}")._define_flags()
  flags.FLAGS(["x", *arguments])
  for name in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, name)
""")


def test_stages_of_data_without_labels(tmp_path):
  np.savez(
    tmp_path / "x.npz",
    images=np.zeros((9, 28, 28, 1), np.uint8),
    test_images=np.zeros((3, 28, 28, 1), np.uint8),
  )
  with pytest.raises(ValueError, match="has none of its own"):
    _planned(tmp_path, [f"npz:{tmp_path / 'x.npz'}"])
  folder = workdir.dataset_folder
  assert folder("lsun/church_outdoor") == "church_outdoor"
  assert folder("folder:../a/buildings") == "buildings" and folder("mnist") == "mnist"


def test_data_sets_that_are_not_there_are_left_out_and_named(tmp_path, capsys):
  assert stages.present(["digits", f"folder:{tmp_path}"], None) == ["digits"]
  assert f"folder:{tmp_path} is left out: name: expected image files" in capsys.readouterr().out
  with pytest.raises(data.DataError, match="datasets: expected one that is there"):
    stages.present([f"folder:{tmp_path}"], None)


def test_a_stage_is_done_again_where_its_command_or_a_network_changed(tmp_path, monkeypatch):
  ran, code = [], 0
  monkeypatch.setattr(signals, "run", lambda command: ran.append(command) or code)
  one, other = tmp_path / "one", tmp_path / "other"

  def train(place, seconds):
    place.mkdir(exist_ok=True)
    files.write_json(place / workdir.CONFIG, {"seconds": seconds})

  def runs(stage):
    before = len(ran)
    found = stages.run(stage, tmp_path)
    assert found == (len(ran) > before)
    return found

  stage = stages.Stage("paper.filling", "digits/filling", ("--seed=1",), (one, other))
  train(one, 1.0)
  assert runs(stage) and not runs(stage)
  assert ran[0] == [sys.executable, "-m", "experiments.paper.filling", "--seed=1"]
  changed = stage._replace(arguments=("--seed=2",))
  assert runs(changed) and not runs(changed) and runs(stage) and not runs(stage)
  for place, seconds in ((one, 2.0), (other, 1.0)):  # Trained anew; trained at last.
    train(place, seconds)
    assert runs(stage) and not runs(stage)
  # What fails is not done, and what was done before is not forgotten.
  code = 3
  with pytest.raises(OSError, match=r"^digits/filling: filling ended with exit code 3$"):
    runs(changed)
  code = 0
  assert not runs(stage) and runs(changed)
  # Another's work is not its own.
  assert runs(changed._replace(name="clothes/filling"))


def test_a_trial_does_not_pass_for_a_whole_run(run_python, tmp_path):
  (tmp_path / "settings.json").write_text('{"limit": 60}')
  script = f"""
import sys, runpy
sys.argv = ["paper", "--datasets=digits", "--workdir={tmp_path}"]
runpy.run_module("experiments.paper", run_name="__main__")
"""
  with pytest.raises(AssertionError, match=r"limit: expected 60, as .*, got None: give another"):
    run_python(script)


def test_bad_stages_are_refused(run_python, tmp_path):
  script = f"""
import sys, runpy

from experiments.common import workdir
from experiments.paper import stages
from nsn_jax import data
sys.argv = ["paper", "--datasets=digits", "--workdir={tmp_path}", "--stages=train,sing"]
runpy.run_module("experiments.paper", run_name="__main__")
"""
  with pytest.raises(AssertionError, match=r"stages: expected some of train, score, .*got 'sing'"):
    run_python(script)


def _paper(folder, *arguments):
  return helpers.start("paper", "--datasets=digits", f"--workdir={folder}", *arguments)


def test_a_folder_that_another_paper_uses_is_left_alone(tmp_path):
  with workdir.using(tmp_path):
    _, err = (process := _paper(tmp_path)).communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1
    assert err.startswith("error: workdir: expected a folder that no other run uses, got ")
    assert [path.name for path in tmp_path.iterdir()] == [workdir.LOCK]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_paper_that_is_killed_takes_its_stage_with_it(number, tmp_path):
  process = _paper(tmp_path, "--limit=60", "--stages=train")
  # The stage is at work: its first line but that of the paper, which is on the other stream.
  assert process.stderr.readline().startswith("digits: 60 images of 28x28x1")
  assert (tmp_path / "digits" / "digits" / workdir.LOCK).exists()
  process.send_signal(number)
  # This returns when the stage, too, has closed it.
  out, err = process.communicate(timeout=90)
  assert "interrupted" in err and "--resume" in err  # the stage's own last line
  assert [path.name for path in (tmp_path / "digits" / "digits").iterdir()] == ["config.json"]
  if number == signal.SIGTERM:
    assert process.returncode == 128 + number
    assert err.splitlines()[-1].endswith("the same command goes on from there")
    assert "report.html" in out and not (tmp_path / workdir.LOCK).exists()
