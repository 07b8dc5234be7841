"""BUILD.md's recipe for a baseline, done: one file and one entry, and everything knows it."""

import importlib.util
import sys

import jax
import numpy as np
import pytest

from experiments.common import baseline_training, judging, runs
from experiments.paper import layouts, table1, table2
from nsn_jax import baselines, data
from nsn_jax.pixel_range import to_signed
from tests.experiments.helpers import ROOT

SPEC = runs.DataSpec("digits", limit=300)


@pytest.fixture
def added(tmp_path, monkeypatch: pytest.MonkeyPatch) -> str:
  """The name under which the recipe's file stands in the registry."""
  text = (ROOT / "BUILD.md").read_text()
  recipe = text.partition("<!-- a baseline -->")[2].partition("```python\n")[2].partition("```")[0]
  path = tmp_path / "pixel_normal.py"
  path.write_text(recipe)
  spec = importlib.util.spec_from_file_location("pixel_normal", path)
  module = importlib.util.module_from_spec(spec)
  monkeypatch.setitem(sys.modules, "pixel_normal", module)
  spec.loader.exec_module(module)
  monkeypatch.setitem(baselines.MODELS, "pixelnormal", module.PixelNormal)
  return "pixelnormal"


def test_it_is_trained_scored_and_goes_on(added, judge: judging.Judge, tmp_path, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  config = runs.BaselineTraining(data=SPEC, model=added, score_samples=100)
  model, state = baseline_training.train(tmp_path / "run", config)
  (row,) = runs.read_epochs(tmp_path / "run")  # its own default
  assert row["scores"]["num_images"] == 100 and np.isfinite(row["metrics"]["nats"])
  more = runs.BaselineTraining(data=SPEC, model=added, num_epochs=2, score_every=0)
  baseline_training.train(tmp_path / "run", more, resume=True)
  assert len(runs.read_epochs(tmp_path / "run")) == 2
  # A mean of few batches of 64 differs from that of all by a pixel's deviation, 1 at most, over 8.
  mean = to_signed(data.load("digits", limit=300).images).mean(axis=0)
  np.testing.assert_allclose(state[0], mean, atol=0.4)
  assert baselines.sample(jax.random.key(0), model, state, 5).shape == (5, 28, 28, 1)


def test_tables_1_and_2_have_its_rows(added, judge: judging.Judge, tmp_path, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  settings = table1.Settings("digits", num_seeds=2, num_samples=60, limit=300)
  (row,) = table1.make_table(tmp_path / "1", [added], settings, judge)
  assert row["num_networks"] == row["num_steps"] == row["num_epochs"] == 1
  assert row["density"]["kind"] == "normal, bits a value" and row["num_collapsed"] is None
  assert "pixels, normal" in (tmp_path / "1" / "table1.txt").read_text()
  found = table2.make_table(tmp_path / "2", [SPEC], ["real", added], num_samples=100)
  assert [row["model"] for row in found] == ["real", added]
  assert "pixels, normal" in layouts.table2.as_text(found)
  # An opponent like any other.
  nsn = found[1] | {"model": "nsn", "fid": found[1]["fid"] + 1}
  (verdict,) = layouts.table2.verdicts([*found, nsn])
  assert "worse than pixels, normal's by 1.00" in verdict


def test_a_width_that_it_does_not_have_is_one_line(added, run_python, tmp_path):
  script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import pixel_normal
from absl import flags
from nsn_jax import baselines
baselines.MODELS["pixelnormal"] = pixel_normal.PixelNormal
from experiments import train_baseline
train_baseline._define_flags()
flags.FLAGS(["x", "--model=pixelnormal", "--dataset=digits", "--width=3", "--workdir=run"])
try:
  train_baseline._main()
except ValueError as error:
  print(error)
"""
  assert run_python(script).strip() == "width: expected none, as pixelnormal has no width, got 3"
