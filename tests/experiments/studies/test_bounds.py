"""Where samples lose: rows by hand, and the launcher on digits."""

import json

import jax
import numpy as np

import nsn_jax
from experiments.common import finding, runs
from experiments.studies import bounds
from nsn_jax import data
from tests.experiments import helpers


def test_images_come_back_less_alike_from_higher_layers(nsn):
  images = data.load("digits", limit=120).images
  found = bounds.bounds(jax.random.key(0), nsn, images)
  last = nsn.num_layers - 1
  assert list(found) == [
    "real images",
    *(f"their maps of layer {layer}" for layer in range(last)),
    f"these as layer {last} keeps them",
    "samples",
  ]
  np.testing.assert_array_equal(found["real images"], images)
  errors = []
  for made in found.values():
    assert made.shape == images.shape and made.dtype == np.uint8
    errors.append(np.mean((made.astype(float) - images) ** 2))
  # Decoded images are of the digits that were encoded, samples of any.
  assert errors[0] == 0 < errors[1] < errors[-2] < errors[-1]
  # Two batches or one: each image is decoded from its own map.
  again = bounds.bounds(jax.random.key(0), nsn, images[:100])
  name = list(found)[1]
  np.testing.assert_array_equal(again[name], found[name][:100])


def test_the_launcher_on_digits(nsn, finder, tmp_path, capsys, monkeypatch):
  model = tmp_path / runs.MODEL
  nsn_jax.save(model, nsn)
  monkeypatch.setattr(finding, "finder", lambda *_, **__: finder)
  with helpers.given(bounds, f"--model={model}", "--dataset=digits", "--num_images=60"):
    bounds._main()
  told = capsys.readouterr().out
  found = json.loads((tmp_path / "model.bounds.json").read_text())
  assert found["num_images"] == 60 and found["command"]
  assert [found["rows"][i]["from"] for i in (0, -1)] == ["real images", "samples"]
  assert all(row["fid"] >= 0 and 0 <= row["recall"] <= 1 for row in found["rows"])
  assert "their maps of layer 0" in told and "model.bounds.json" in told
