"""How DRAW draws: a picture of the canvas over time, whose end is the samples."""

import jax
import numpy as np
import pytest

from experiments.common import baseline_training, pictures, runs
from experiments.studies import strokes
from tests.experiments import helpers


def test_the_launcher_on_digits(tmp_path, monkeypatch, capsys):
  training = runs.BaselineTraining(
    data=runs.DataSpec("digits", image_size=8, limit=110),
    model="draw",
    options={"hidden": 4, "latent": 2, "num_steps": 20, "write_size": 3},
    num_epochs=1,
    score_every=0,
  )
  model, state = baseline_training.train(tmp_path / "run", training)
  shown, grid = [], pictures.grid

  def kept(images, *arguments, **named):
    shown.append(images)
    return grid(images, *arguments, **named)

  monkeypatch.setattr(pictures, "grid", kept)
  arguments = (f"--trained={tmp_path / 'run'}", f"--workdir={tmp_path}", "--num_samples=3")
  with helpers.given(strokes, *arguments):
    strokes._main()
  assert str(tmp_path / "strokes.png") in capsys.readouterr().out
  width, height = helpers.picture_size(tmp_path / "strokes.png")
  assert width > height > 0
  rows = shown[0].reshape(3, 16, 8, 8, 1)  # 16 of the 20 steps
  drawn = model.generate(jax.random.key(0), state, 3)
  # A pixel is rounded to 8 bits; one program sums in another order than the other.
  np.testing.assert_allclose(rows[:, -1], (np.asarray(drawn) + 1) * 127.5, atol=1.01)
  assert (rows[:, 0] != rows[:, -1]).any()


def test_other_models_are_refused(tmp_path):
  training = runs.BaselineTraining(
    data=runs.DataSpec("digits", image_size=8, limit=110),
    model="vae",
    options={"hidden": 3},
    num_epochs=1,
    score_every=0,
  )
  baseline_training.train(tmp_path / "run", training)
  with (
    helpers.given(strokes, f"--trained={tmp_path / 'run'}", f"--workdir={tmp_path}"),
    pytest.raises(ValueError, match="trained: expected a DRAW, got VAE in"),
  ):
    strokes._main()
