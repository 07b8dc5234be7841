"""What auto-encoders give back: sharpness and rows by hand, the launcher, sets that do not fit."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.common import baseline_training, judging, pictures
from experiments.studies import reconstructions
from nsn_jax import baselines
from tests.experiments import helpers


def test_sharpness_by_hand():
  image = np.array([[0, 100], [255, 100]], np.uint8)[None, :, :, None]
  assert reconstructions.sharpness(image) == (255 + 0 + 100 + 155) / 4
  # Not square: each step counts once. A row of three has two, of 10 each.
  image = np.array([[0, 10, 20], [0, 10, 20]], np.uint8)[None, :, :, None]
  assert reconstructions.sharpness(image) == pytest.approx(4 * 10 / 7)
  assert reconstructions.sharpness(np.full((2, 3, 3, 1), 7, np.uint8)) == 0


@dataclasses.dataclass(frozen=True)
class _Negative:
  """Gives back the negative."""

  def reconstruct(self, key, state, images):
    return -images


@pytest.mark.parametrize("num_images", [7, 230])  # More than are given back at a time.
def test_each_image_is_given_back_once(num_images):
  images = np.random.default_rng(0).integers(0, 256, (num_images, 2, 2, 1)).astype(np.uint8)
  found = reconstructions.reconstruct(jax.random.key(0), _Negative(), None, images)
  np.testing.assert_array_equal(found, 255 - images)


def test_the_launcher_on_digits(judge: judging.Judge, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  small = {"latent": 2, "encoder_width": 1, "width": 2}
  facts = {"dataset": "digits", "data_dir": None, "image_size": None, "options": small}
  model = baselines.make("pixelcnnae", (28, 28, 1), num_layers=1, map_features=0, **small)
  plain = baselines.make("autoencoder", (28, 28, 1), **small)
  places = {"a": model, "b": plain}
  others = dict(facts)

  def load(place):
    made = places[place.name]
    return made, jax.jit(made.init)(jax.random.key(0)), others if place.name == "b" else facts

  # The plain one gives back half of each value's contrast, the other noise.
  monkeypatch.setattr(baseline_training, "load", load)
  monkeypatch.setattr(
    baselines.ConvAutoEncoder, "reconstruct", lambda self, key, state, images: images / 2
  )
  shown, grid = [], pictures.grid
  monkeypatch.setattr(pictures, "grid", lambda images, *a: shown.append(images) or grid(images, *a))
  arguments = (f"--trained={tmp_path / 'a'}", f"--beside={tmp_path / 'b'}", "--num_images=30")
  with helpers.given(reconstructions, *arguments, f"--workdir={tmp_path}"):
    reconstructions._main()
    others["dataset"] = "mnist"
    with pytest.raises(ValueError, match=r"^beside: expected one of digits .*, got mnist"):
      reconstructions._main()
  swapped = (f"--trained={tmp_path / 'b'}", f"--workdir={tmp_path}")
  with (
    helpers.given(reconstructions, *swapped),
    pytest.raises(ValueError, match="trained: expected a PixelCNN auto-encoder, got auto-encoder"),
  ):
    reconstructions._main()
  found = json.loads((tmp_path / "reconstructions.json").read_text())
  real, means, drawn = found["rows"]
  assert [row["images"] for row in found["rows"]] == ["test images", plain.title, model.title]
  assert real["root_mean_square_error"] == 0 and real["same_class"] > 0.5
  # Half of the contrast has half of the steps, but for rounding to 8 bits; noise has more.
  assert means["sharpness"] == pytest.approx(real["sharpness"] / 2, rel=0.02)
  assert drawn["sharpness"] > real["sharpness"]
  assert drawn["root_mean_square_error"] > means["root_mean_square_error"] > 10
  assert drawn["fid"] > real["fid"]
  assert "PixelCNN auto-encoder" in capsys.readouterr().out
  rows = shown[0].reshape(10, 8, 28, 28, 1)
  np.testing.assert_allclose(rows[:, 1], rows[:, 0] / 2 + 63.75, atol=1)
  assert (rows[:, 2] != rows[:, 3]).any()  # Draws differ.
