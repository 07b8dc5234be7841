"""What InfoGAN's codes mean: accuracy by a critic that knows, pictures, other models refused."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import baseline_training, runs
from experiments.studies import codes
from tests.experiments import helpers

_SPEC = runs.DataSpec("digits", image_size=8, limit=130)


@pytest.mark.parametrize("num_images", [3, 501, 1_203])
def test_a_critic_that_reads_the_label_is_right_whatever_is_left_over(num_images):
  labels = np.random.default_rng(0).integers(0, 3, num_images)
  images = np.broadcast_to(labels[:, None, None, None] * 100, (num_images, 2, 2, 1))

  def told(_, images):
    # Category 2 - label, of an image as bright as its label.
    label = jnp.round((images[:, 0, 0, 0] + 1) * 127.5 / 100).astype(jnp.int32)
    return types.SimpleNamespace(category_logs=jax.nn.one_hot(2 - label, 4))

  model = types.SimpleNamespace(codes=told)
  key = jax.random.key(0)
  share, classes = codes.accuracy(key, model, None, images.astype(np.uint8), labels)
  assert share == 1.0
  assert {2 - label: label for label in set(labels)}.items() <= classes.items()


def test_the_launcher_on_digits(tmp_path, capsys):
  options = {"width": 2, "latent": 3, "continuous": 1}
  training = runs.BaselineTraining(
    data=_SPEC, model="infogan", options=options, num_epochs=1, score_every=0
  )
  baseline_training.train(tmp_path / "run", training)
  arguments = (f"--trained={tmp_path / 'run'}", f"--workdir={tmp_path}", "--num_images=60")
  with helpers.given(codes, *arguments):
    codes._main()
  found = json.loads((tmp_path / "codes.json").read_text())
  assert 0.1 <= found["accuracy"] < 1 and found["num_images"] == 60
  assert f"{found['accuracy']:.1%} of 60 test images" in capsys.readouterr().out
  for name in ("categories", "continuous_0"):
    width, height = helpers.picture_size(tmp_path / f"{name}.png")
    assert height > width > 10 * 8  # ten rows of ten images, and a title


def test_other_models_are_refused(tmp_path):
  training = runs.BaselineTraining(
    data=_SPEC, model="vae", options={"hidden": 3}, num_epochs=1, score_every=0
  )
  baseline_training.train(tmp_path / "run", training)
  with (
    helpers.given(codes, f"--trained={tmp_path / 'run'}", f"--workdir={tmp_path}"),
    pytest.raises(ValueError, match="trained: expected an InfoGAN, got VAE in"),
  ):
    codes._main()
