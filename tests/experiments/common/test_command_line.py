"""Flags that launchers share, and errors of one line."""

import json
import os
import subprocess
import sys

import pytest
from absl import flags as absl_flags

from experiments.common import command_line, runs
from tests.experiments.helpers import ROOT


def test_sampler_flags():
  numbers = command_line._Numbers
  assert numbers(float).parse("200,200,2e1") == (200.0, 200.0, 20.0)
  assert numbers(int).parse("3") == 3
  for kind, text in ((float, "200,"), (int, "1.5"), (float, "")):
    with pytest.raises(ValueError, match="one a layer separated by commas, got"):
      numbers(kind).parse(text)
  assert "gamma" not in absl_flags.FLAGS  # importing a launcher defines no flag


def test_a_models_own_data_set_is_the_default(run_python, tmp_path):
  (tmp_path / "config.json").write_text('{"dataset": "digits"}')
  (tmp_path / "other").mkdir()
  script = """
import pathlib
from absl import flags
from experiments.common import command_line
command_line.define_judged_model()
model = pathlib.Path("{}") / "model.safetensors"
for arguments in ([], ["--dataset=mnist"]):
  flags.FLAGS(["x", f"--model={model}", *arguments])
  try:
    print(command_line.judged_dataset())
  except (ValueError, OSError) as error:
    print(error)
"""

  def found(folder):
    return run_python(script.replace("{}", str(folder))).splitlines()

  assert "model: expected a model file, found none at" in found(tmp_path)[0]
  for folder in (tmp_path, tmp_path / "other"):
    (folder / "model.safetensors").touch()
  assert found(tmp_path) == ["digits", "mnist"]
  assert "dataset: expected one of digits" in found(tmp_path / "other")[0]


_JUDGED = """
import json, sys
from absl import flags
from experiments.common import command_line
command_line.define_judged_model()
for arguments in json.loads(sys.stdin.read()):
  flags.FLAGS.unparse_flags()
  for name in ("model", "dataset", "data_dir", "image_size", "limit"):
    flags.FLAGS[name].unparse()
  flags.FLAGS(["x", *arguments])
  print(json.dumps(command_line.judged_data().as_dict()))
"""


def test_a_model_is_judged_on_the_images_that_it_was_trained_on(tmp_path):
  (tmp_path / "data").mkdir()
  (tmp_path / "model.safetensors").touch()
  trained = runs.DataSpec("digits", str(tmp_path / "data"), image_size=12, limit=60)
  (tmp_path / "config.json").write_text(json.dumps(trained.as_dict() | {"finished": True}))
  (tmp_path / "moved").mkdir()
  (tmp_path / "moved" / "model.safetensors").touch()
  gone = trained.replace(data_dir=str(tmp_path / "gone"))
  (tmp_path / "moved" / "config.json").write_text(json.dumps(gone.as_dict()))
  model = f"--model={tmp_path / 'model.safetensors'}"
  cases = [
    ([model], trained),
    ([model, "--dataset=digits"], trained),
    # A flag has the last word.
    ([model, "--limit=70"], trained.replace(limit=70)),
    ([model, "--image_size=16"], trained.replace(image_size=16)),
    ([model, "--data_dir=other"], trained.replace(data_dir="other")),
    # Of another data set the training says nothing but where data sets lie.
    ([model, "--dataset=mnist"], runs.DataSpec("mnist", trained.data_dir)),
    ([model, "--dataset=mnist", "--limit=7"], runs.DataSpec("mnist", trained.data_dir, limit=7)),
    ([model.replace("model.s", "moved/model.s")], trained.replace(data_dir=None)),
  ]
  done = subprocess.run(
    [sys.executable, "-c", _JUDGED],
    cwd=ROOT,
    input=json.dumps([arguments for arguments, _ in cases]),
    capture_output=True,
    text=True,
    check=True,
  )
  found = [json.loads(line) for line in done.stdout.splitlines()]
  assert found == [spec.as_dict() for _, spec in cases]


_LAUNCHER = """
import sys
from absl import flags
from experiments.common import command_line
command_line.define_workdir()
flags.DEFINE_list("folders", [], "Some.")
flags.DEFINE_string("error", None, "What goes wrong.")

def main():
  given = flags.FLAGS
  if given.error == "MemoryError":
    raise MemoryError
  if given.error == "RecursionError":
    def deeper():
      deeper()
    deeper()
  if given.error == "OSError":
    raise OSError("two\\nlines")
  print(given.workdir, *given.folders)

command_line.run(main)
"""


def _launch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
  return subprocess.run(
    [sys.executable, "-c", _LAUNCHER, *arguments],
    env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    capture_output=True,
    text=True,
    check=False,
  )


def test_a_home_folder_is_put_for_its_sign(tmp_path):
  # Shells leave it as it is where it stands in a flag.
  done = _launch("--workdir=~/runs", "--folders=~/a,b,~/c", HOME=str(tmp_path))
  assert done.stdout.split() == [f"{tmp_path}/runs", f"{tmp_path}/a", "b", f"{tmp_path}/c"]
  done = _launch("--workdir=./~", HOME=str(tmp_path))
  assert done.stdout.strip() == "./~"
  done = _launch("--workdir=~nosuchuser/runs")
  assert done.returncode == command_line.USAGE_ERROR and done.stderr.count("\n") == 1
  assert done.stderr.startswith("error: workdir: expected ~ or ~USER of a user that there is, got")


@pytest.mark.parametrize(
  ("error", "told"),
  [
    ("MemoryError", "out of memory"),
    ("RecursionError", "recursion depth"),
    ("OSError", "two lines"),
  ],
)
def test_errors_are_one_line(error, told):
  done = _launch(f"--error={error}")
  assert done.returncode == command_line.ERROR
  assert done.stderr.startswith("error: ") and told in done.stderr
  assert done.stderr.count("\n") == 1
