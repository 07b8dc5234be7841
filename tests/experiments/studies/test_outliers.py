"""Densities as outlier scores: AUROC by counting, shifts by hand, and all of it small on digits."""

import dataclasses
import json

import jax
import numpy as np
import pytest

import nsn_jax
from experiments.common import runs
from experiments.paper import layouts
from experiments.studies import outliers
from nsn_jax import data
from tests.experiments import helpers


def test_auroc_counts_pairs():
  own, others = [3.0, 1.0, 2.0, 5.0], [0.0, 2.0, 4.0]
  pairs = [(a > b) + 0.5 * (a == b) for a in own for b in others]
  assert outliers.auroc(own, others) == pytest.approx(np.mean(pairs))
  assert outliers.auroc(own, np.subtract(others, 10)) == 1.0


def test_shifted_images_by_hand():
  image = np.arange(1, 10, dtype=np.uint8).reshape(1, 3, 3, 1)
  found = outliers.shifted(jax.random.key(0), np.repeat(image, 200, axis=0), 1)
  kinds = {one.tobytes() for one in found}
  up, down_right = [4, 5, 6, 7, 8, 9, 0, 0, 0], [0, 0, 0, 0, 1, 2, 0, 4, 5]
  # To eight sides, and none stays where it was.
  assert len(kinds) == 8 and image.tobytes() not in kinds
  assert {bytes(up), bytes(down_right)} < kinds
  with pytest.raises(ValueError, match=r"^shift: expected 1 to 2 pixels, as images are 3x3, got 3"):
    outliers.shifted(jax.random.key(0), image, 3)


def test_a_mixture_scores_by_its_coordinates():
  rng = np.random.default_rng(0)
  train = rng.integers(100, 110, (400, 4, 4, 1)).astype(np.uint8)
  found = outliers.mixture(train, 0)
  assert found.of == "16 principal components, by 2 normals"
  # All 16 directions are kept: far from the training images is unlikely.
  near, far = (found.log_density(images).mean() for images in (train, train + 100))
  assert near > far + 1


def test_the_launcher_on_digits(trained, tmp_path, capsys):
  place, _ = trained
  arguments = (f"--model={place / runs.MODEL}", f"--workdir={tmp_path}", "--num_images=60")
  with helpers.given(outliers, *arguments, "--num_epochs=2", "--shift=3"):
    outliers._main()
    told = capsys.readouterr().out
    found = json.loads((tmp_path / "outliers.json").read_text())
    before = (tmp_path / "vae" / "config.json").stat().st_mtime_ns
    outliers._main()  # The VAE is found.
  assert (tmp_path / "vae" / "config.json").stat().st_mtime_ns == before
  again = json.loads((tmp_path / "outliers.json").read_text())
  assert again["rows"] == found["rows"]
  assert found["num_images"] == 60 and found["command"] and found["seconds"] > 0
  assert found["num_outliers"] == {"shifted by 3": 60, "inverted": 60}
  assert [row["density"] for row in found["rows"]] == ["NSN", "VAE", "mixture on PCA"]
  for row in found["rows"]:
    assert row["auroc"]["inverted"] > 0.99 and 0 <= row["auroc"]["shifted by 3"] <= 1
  assert "60 test images of digits" in told
  head, *lines = layouts.outliers.cells(found["rows"])
  assert head[-2:] == ["shifted by 3", "inverted"] and len(lines) == 3


def test_what_cannot_be_compared_is_one_line(trained, tmp_path):
  _, result = trained
  spec = runs.DataSpec("digits", image_size=helpers.SIDE)
  own = data.load("digits", split="test", image_size=helpers.SIDE, limit=3).images
  colour = tmp_path / "colour.npz"
  np.savez(colour, images=np.zeros((3, 12, 12, 3), np.uint8), test_images=np.zeros((3, 12, 12, 3)))

  def sets(*others):
    return outliers.outlier_sets(jax.random.key(0), own, spec, others, 1)

  with pytest.raises(ValueError, match=r"others: .* other than the network's own, got 'digits'"):
    sets("digits")
  with pytest.raises(ValueError, match=r"others: expected images of shape \[12, 12, 1\], .* 3\]"):
    sets(f"npz:{colour}")
  without = tmp_path / "model.safetensors"
  nsn_jax.save(without, dataclasses.replace(result.nsn, prior=None))
  with (
    helpers.given(outliers, f"--model={without}", "--dataset=digits", f"--workdir={tmp_path}"),
    pytest.raises(ValueError, match=r"^model: expected a network with a prior, got one without"),
  ):
    outliers._main()
  assert not (tmp_path / "vae").exists()
