"""Densities of trained baselines: what they are of, by the models' own numbers, and refusals."""

import json
import math
import pathlib

import jax
import numpy as np
import pytest

from experiments.common import baseline_training, runs
from experiments.paper import layouts
from experiments.studies import densities
from nsn_jax import data
from tests.experiments import helpers

_FEW = {"sampling_steps": 2, "num_temperatures": 20, "num_chains": 3}
_OPTIONS = {"vae": {"hidden": 6, "latent": 2}, "rbm": {"hidden": 4, **_FEW}, "gan": {"width": 5}}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
  """Folders of models of an epoch."""
  found = {name: tmp_path_factory.mktemp(name) for name in _OPTIONS}
  for name, place in found.items():
    spec = runs.DataSpec("digits", image_size=8, limit=100)
    training = runs.BaselineTraining(
      data=spec, model=name, options=_OPTIONS[name], num_epochs=1, score_every=0
    )
    baseline_training.train(place, training)
  return found


def _flags(places, *names):
  return f"--workdirs={','.join(str(places[name]) for name in names)}"


def test_rows_are_of_the_models_own_numbers(places, tmp_path, capsys):
  arguments = (f"--workdir={tmp_path}", "--num_images=30", "--num_draws=7")
  with helpers.given(densities, _flags(places, "vae", "rbm"), *arguments):
    densities._main()
  told = capsys.readouterr().out
  of_vae, of_rbm = rows = json.loads((tmp_path / "densities.json").read_text())["rows"]
  images = data.load("digits", split="test", image_size=8, limit=30).images
  key = jax.random.key(0)
  model, state, _ = baseline_training.load(places["vae"])
  density = model.importance_density(key, state, images, num_draws=7)
  assert of_vae["kind"] == density.kind and "k=7" in density.kind
  assert of_vae["nats"] == pytest.approx(density.bits * 64 * math.log(2))
  model, state, _ = baseline_training.load(places["rbm"])
  logs, partition = model.log_likelihoods(key, state, images)
  assert of_rbm["nats"] == pytest.approx(-np.mean(logs), rel=1e-6)
  assert of_rbm["log_z_error"] == pytest.approx(partition.standard_error)
  assert [row["num_images"] for row in rows] == [30, 30]
  assert all("binarised pixels" in row["kind"] for row in rows)
  assert f"{of_vae['nats']:.2f}" in told and "hidden=4" in told
  head, *lines = layouts.densities.cells(rows)
  assert len(lines) == 2 and all(len(line) == len(head) for line in lines)


def test_others_are_refused(places, tmp_path):
  with pytest.raises(ValueError, match=r"workdirs: expected models with a density .*, got GAN in"):
    densities.measure(jax.random.key(0), [str(places["vae"]), str(places["gan"])], 10, 2)
  with pytest.raises(ValueError, match=r"workdirs: expected models of one data set.*, got none"):
    densities.measure(jax.random.key(0), [], 10, 2)
  with pytest.raises(OSError, match="expected a folder with a trained baseline"):
    densities.measure(jax.random.key(0), [str(tmp_path)], 10, 2)
