"""Classes of images in training: they stay with their images, and models without are as before."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import baseline_training, runs
from nsn_jax import baselines
from nsn_jax.baselines.baseline import Baseline
from nsn_jax.pixel_range import to_signed
from tests.baselines.helpers import KEY, SHAPE, same, small


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ByClass(Baseline):
  """Its metric is how far a batch's pixels are from ten times their classes; it draws nothing."""

  title = "by class"

  @property
  def uses_labels(self):
    return True

  def check_labels(self, labels):
    if (labels > 22).any():
      raise ValueError(f"labels: expected 22 at most, got {labels.max()}")

  def init(self, key):
    return jnp.zeros(23, jnp.int32)

  def step(self, key, state, images):
    raise AssertionError("without labels")

  def step_with_labels(self, key, state, images, labels):
    values = jnp.round((images.mean(axis=(1, 2, 3)) + 1) * 127.5)
    return state.at[labels].add(1), {"off": jnp.abs(values - 10 * labels).max()}

  def generate(self, key, state, num_samples):
    return jnp.zeros((num_samples, *self.image_shape), jnp.float32)

  def generating(self, state):
    return state


def test_labels_stay_with_their_images():
  model = _ByClass(image_shape=SHAPE, batch_size=5)
  labels = np.arange(23)[::-1]
  images = np.broadcast_to((10 * labels).astype(np.uint8)[:, None, None, None], (23, *SHAPE))
  seen = []
  state = baselines.train(
    KEY, model, images, num_epochs=2, labels=labels, on_epoch=lambda epoch, _: seen.append(epoch)
  )
  assert [epoch.metrics["off"] for epoch in seen] == [0, 0]
  # Each image at most once an epoch, and twenty an epoch.
  assert state.sum() == 40 and state.max() == 2


def test_a_model_without_labels_is_trained_as_ever(images, num_compiled):
  model = small("vae", hidden=7)
  key = jax.random.key(3)
  without = baselines.train(key, model, images, num_epochs=1)
  after = num_compiled()
  given = baselines.train(key, model, images, num_epochs=1, labels=np.arange(23))
  assert num_compiled() == after and same(without, given)
  # And as its own step alone trains it.
  init_key, epochs_key = jax.random.split(key)
  step_key, _ = jax.random.split(jax.random.fold_in(epochs_key, 0))
  order_key, step_key = jax.random.split(step_key)
  order = np.asarray(jax.random.permutation(order_key, 23))
  step = jax.jit(
    lambda state, batch, index: model.step(
      jax.random.fold_in(step_key, index), state, to_signed(batch)
    )
  )
  state = jax.jit(model.init)(init_key)
  for index in range(4):
    state, _ = step(state, images[order[5 * index : 5 * index + 5]], jnp.int32(index))
  assert same(without, state)


def test_a_model_without_labels_drops_them():
  class Told:
    def step(self, *arguments):
      return arguments

  assert Baseline.step_with_labels(Told(), "key", "state", "images", "labels") == (
    "key",
    "state",
    "images",
  )


def test_labels_that_are_refused():
  model = _ByClass(image_shape=SHAPE)
  for labels, got in (
    (np.zeros(4, int), r"got int64 \(4,\)"),
    (np.zeros((5, 1), int), r"got int64 \(5, 1\)"),
    (np.zeros(5), r"got float64 \(5,\)"),
    (np.zeros(5, bool), r"got bool \(5,\)"),
    (np.arange(-2, 3), "got -2 to 2"),
    (np.arange(5) + 2**31, "got 2147483648 to 2147483652"),
    (np.arange(20, 25), "22 at most, got 24"),
  ):
    with pytest.raises(ValueError, match=f"^labels: expected .*{got}$"):
      baselines.training_labels(model, labels, 5)
    assert baselines.training_labels(small("vae"), labels, 5) is None
  # None is unknown, of every image; the model says whether it may be.
  found = baselines.training_labels(model, None, 5)
  assert found.dtype == np.int32 and (found == -1).all()
  assert baselines.training_labels(model, [3, -1, 0], 3).tolist() == [3, -1, 0]


def test_a_launcher_hands_the_labels_on(tmp_path, monkeypatch):
  seen = []
  monkeypatch.setitem(baselines.MODELS, "byclass", _ByClass)
  monkeypatch.setattr(baselines, "train", lambda *a, labels, **o: seen.append(labels))

  def train(name, model="byclass"):
    spec = runs.DataSpec("digits", limit=150)
    config = runs.BaselineTraining(data=spec, model=model, num_epochs=1, score_every=0)
    return baseline_training.train(tmp_path / name, config), spec.load().labels

  _, expected = train("a")
  train("b", "vae")
  np.testing.assert_array_equal(seen[0], expected)
  assert seen[1] is None
  # What the model refuses is refused before the folder is begun.
  monkeypatch.setattr(_ByClass, "check_labels", lambda self, labels: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    train("c")
  assert not (tmp_path / "c" / "config.json").exists()
