"""What a conditional PixelCNN makes of classes: rows by hand, shares, other models refused."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import baseline_training, judging, pictures
from experiments.studies import classes
from nsn_jax import baselines
from tests.experiments import helpers


def _brightness(images):
  return jnp.round((images[:, 0, 0, 0] + 1) * 127.5 / 50).astype(jnp.int32)


#: Images are fifty times as bright as their class, 0 to 2.
_MODEL = types.SimpleNamespace(
  num_classes=3,
  image_shape=(2, 2, 1),
  generate_with=lambda _key, _state, labels: jnp.tile(
    (labels * 50 / 127.5 - 1)[:, None, None, None], (1, 2, 2, 1)
  ),
  class_logs=lambda _params, images: jax.nn.one_hot(_brightness(images), 3),
)


@pytest.mark.parametrize("num_samples", [1, 45])  # 135 in all: more than are drawn at a time.
def test_each_class_is_drawn_in_turn_whatever_is_left_over(num_samples):
  images, labels = classes.draw(jax.random.key(0), _MODEL, None, num_samples)
  np.testing.assert_array_equal(labels, np.repeat([0, 1, 2], num_samples))
  np.testing.assert_array_equal(images[:, 1, 1, 0], 50 * labels)


def test_the_likeliest_class_is_compared():
  labels = np.arange(250) % 3
  images = np.broadcast_to((50 * labels).astype(np.uint8)[:, None, None, None], (250, 2, 2, 1))
  state = baselines.AutoregressiveState(None, None)
  assert classes.accuracy(_MODEL, state, images, labels) == 1
  others = np.where(np.arange(250) < 225, labels, (labels + 1) % 3)
  assert classes.accuracy(_MODEL, state, images, others) == pytest.approx(0.9)


def test_the_launcher_on_digits(judge: judging.Judge, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  model = baselines.make("condpixelcnn", (28, 28, 1), width=2, num_layers=1)
  state = jax.jit(model.init)(jax.random.key(0))
  facts = {"dataset": "digits", "data_dir": None, "image_size": None, "options": {"width": 2}}
  monkeypatch.setattr(baseline_training, "load", lambda _: (model, state, facts))
  shown, grid = [], pictures.grid
  monkeypatch.setattr(pictures, "grid", lambda images, *a: shown.append(images) or grid(images, *a))
  arguments = [f"--trained={tmp_path}", f"--workdir={tmp_path}"]
  with helpers.given(classes, *arguments, "--num_samples=11", "--num_images=20"):
    classes._main()
  found = json.loads((tmp_path / "classes.json").read_text())
  assert found["num_samples"] == 110 and found["num_images"] == 20
  # Nothing was trained: all samples are noise, of one class to the judge or some.
  assert 0 <= found["judged"] < 0.5 and 0 <= found["accuracy"] <= 1
  assert f"{found['judged']:.1%} of 110 samples" in capsys.readouterr().out
  assert shown[0].shape == (100, 28, 28, 1) and (tmp_path / "classes.png").exists()


def test_other_models_are_refused(tmp_path, monkeypatch):
  model = baselines.make("pixelcnn", (8, 8, 1))
  monkeypatch.setattr(baseline_training, "load", lambda _: (model, None, {}))
  with (
    helpers.given(classes, f"--trained={tmp_path}", f"--workdir={tmp_path}"),
    pytest.raises(ValueError, match="trained: expected a conditional PixelCNN, got PixelCNN in"),
  ):
    classes._main()
