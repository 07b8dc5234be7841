"""Few labels: errors by a model that knows, what each network sees, and the launcher on digits."""

import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.studies import few_labels
from nsn_jax import baselines, data
from tests.experiments import helpers


@pytest.mark.parametrize("num_images", [3, 1_003])
def test_errors_are_counted_whatever_is_left_over(num_images):
  labels = np.random.default_rng(0).integers(0, 3, num_images)
  images = np.broadcast_to(labels[:, None, None, None] * 100, (num_images, 2, 2, 1))

  def logits(_, images):
    # Of the class of an image's brightness.
    return jax.nn.one_hot(jnp.round((images[:, 0, 0, 0] + 1) * 1.275).astype(jnp.int32), 4)

  model = types.SimpleNamespace(logits=logits)
  others = labels.copy()
  others[[0, -1]] += 1
  images = images.astype(np.uint8)
  assert few_labels.num_errors(model, None, images, labels) == 0
  assert few_labels.num_errors(model, None, images, others) == 2


def test_what_each_network_sees(monkeypatch):
  seen = []

  def train(key, model, images, **given):
    seen.append((model, images.ravel().tolist(), given["labels"].tolist(), given["num_epochs"]))

  monkeypatch.setattr(baselines, "train", train)
  model = baselines.SemiSupervisedGAN(image_shape=(1, 1, 1), batch_size=2)
  loaded = data.Dataset(np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1), np.array([5, 6, 7, 8]))
  few_labels.together(jax.random.key(0), model, loaded, np.array([1, 3]), 9)
  few_labels.alone(jax.random.key(0), model, loaded, np.array([1, 3]), 3)
  assert seen[0] == (model, [0, 1, 2, 3, 1, 3, 1, 3], [-1, -1, -1, -1, 6, 8, 6, 8], 9)
  classifier, *rest = seen[1]
  assert classifier.unlabelled_weight == 0 and classifier.widths == model.widths
  # Three steps of two.
  assert rest == [[1, 3, 1, 3, 1, 3], [6, 8, 6, 8, 6, 8], 1]


def test_the_launcher_on_digits(tmp_path, capsys, monkeypatch):
  small = functools.partial(
    baselines.SemiSupervisedGAN, widths=(20, 10), hidden=5, latent=3, batch_size=50
  )
  monkeypatch.setattr(baselines, "SemiSupervisedGAN", small)
  arguments = ("--dataset=digits", "--num_labels=50", "--num_epochs=2", "--alone_steps=40")
  with helpers.given(few_labels, *arguments, f"--workdir={tmp_path}"):
    few_labels._main()
  found = json.loads((tmp_path / "few_labels.json").read_text())
  out = capsys.readouterr().out
  assert f"alone: {found['alone']:,} errors of {found['num_images']:,}" in out
  assert len(found["curve"]) == 2 and found["curve"][-1] == found["together"]
  # Nine tenths by chance.
  assert found["alone"] < 0.6 * found["num_images"]
  assert found["together"] < 0.6 * found["num_images"]
  width, height = helpers.picture_size(tmp_path / "samples.png")
  assert width > 10 * 8 and height > 10 * 8
