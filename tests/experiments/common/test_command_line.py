"""Flags that launchers share."""

import pytest
from absl import flags as absl_flags

from experiments.common import command_line


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
