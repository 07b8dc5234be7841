"""What classes prefer: certainty by counting, and the launcher on digits."""

import json

import numpy as np
import pytest

from experiments.common import finding, judging
from experiments.studies import preferred
from tests.experiments import helpers


def test_certainty_is_the_mean_probability_of_the_class(judge):
  images, labels = judge.test.images[:60], judge.test.labels[:60]
  rows = judge.classifier.outputs(images).probabilities
  found = preferred.certainty(judge.classifier, images, labels)
  expected = [rows[labels == label, label].mean() for label in range(10)]
  np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_launcher_on_digits(judge, finder, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  monkeypatch.setattr(finding, "finder", lambda *_, **__: finder)
  arguments = ("--dataset=digits", f"--workdir={tmp_path}", "--num_starts=2", "--num_steps=2")
  with helpers.given(preferred, *arguments, "--training_steps=3", "--layers=3", "--limit=40"):
    preferred._main()
  told = capsys.readouterr().out
  found = json.loads((tmp_path / "preferred.json").read_text())
  assert [row["images"] for row in found["rows"]] == [
    "real test images",
    "preferred, layer 3 (32)",
  ]
  real, made = found["rows"]
  # Of classifiers that were trained in seconds.
  assert np.mean(real["judge"]) > 0.8 > np.mean(real["finder"]) > 0.3
  assert len(made["finder"]) == 10 and made["unexplained"] > 0.3  # of three steps
  width, height = helpers.picture_size(tmp_path / "layer_3.png")
  assert height > width  # ten rows of two
  assert "its worst class" in told and "layer_3.png" in told


@pytest.mark.parametrize("given", [["0"], ["4"], ["1", "x"], []])
def test_layers_that_are_not_there(given):
  with pytest.raises(ValueError, match="layers: expected integers from 1 to 3"):
    preferred._layers(given, 3)


def test_the_lowest_and_the_last_layer_are_what_nobody_names():
  assert preferred._layers(None, 4) == [1, 4] and preferred._layers(None, 1) == [1]
  assert preferred._layers(["2", "1"], 4) == [2, 1]
