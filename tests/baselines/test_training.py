"""The loop that trains all baselines: resumption bit for bit, reports, divergence and collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines import training
from tests.baselines.helpers import KEY, Constant, same, shape_of, small


@pytest.mark.parametrize("name", sorted(baselines.MODELS))
def test_training_goes_on_as_if_it_had_never_stopped(name, images):
  model = small(name, **({"head_start": 0, "critic_steps": 2} if name == "wgan" else {}))
  height, width, channels = shape_of(name)
  images = images[:, :height, :width, :channels]
  labels = np.arange(len(images)) % 2  # which most models leave aside
  kept = []

  def on_epoch(epoch, state):
    # A copy: the next step takes the state's memory.
    kept.append((epoch, jax.tree.map(np.array, state)))

  whole = baselines.train(KEY, model, images, num_epochs=3, labels=labels, on_epoch=on_epoch)
  assert [epoch.epoch for epoch, _ in kept] == [0, 1, 2]
  state = jax.tree.map(jnp.asarray, kept[0][1])
  again = baselines.train(
    KEY, model, images, num_epochs=3, labels=labels, state=state, first_epoch=1
  )
  assert same(whole, again)
  assert same(state, kept[0][1])  # The caller's state is the caller's still.
  other = baselines.train(jax.random.key(1), model, images, num_epochs=3, labels=labels)
  assert not same(whole, other)


def test_epochs_compile_once(images, num_compiled):
  model = small("dcgan", width=3)
  key = jax.random.key(5)  # Made by programs too, which no test before this one may have compiled.
  baselines.train(KEY, model, images, num_epochs=1)
  after = num_compiled()
  baselines.train(key, model, images, num_epochs=2)
  assert num_compiled() == after


def test_reports_cover_each_epoch(images, monkeypatch):
  monkeypatch.setattr(training, "_REPORT_STEPS", 3)
  seen: list[baselines.EpochProgress] = []
  baselines.train(KEY, small("vae"), images, num_epochs=2, report=seen.append)
  # Four whole batches of 5 in 23 images.
  assert [(at.epoch, at.step, at.num_steps) for at in seen] == [
    (0, 3, 4),
    (0, 4, 4),
    (1, 3, 4),
    (1, 4, 4),
  ]
  assert seen[0].metrics.keys() == {"reconstruction", "divergence"}


def test_divergence_is_an_error(images):
  model = small("vae", learning_rate=1e30)
  with pytest.raises(baselines.DivergedError, match="diverged in epoch 1, before step 4 of 4: "):
    baselines.train(KEY, model, images, num_epochs=1)


@pytest.mark.parametrize(("spread", "collapsed"), [(0.0, True), (0.05, True), (1.0, False)])
def test_collapse_is_told(images, spread, collapsed):
  seen = []
  baselines.train(
    KEY, Constant(spread=spread), images, num_epochs=1, on_epoch=lambda e, _: seen.append(e)
  )
  assert seen[0].collapsed == collapsed
  # Uniform noise beside uniform noise; 8 bits and the mean of 12 images are the rest.
  assert seen[0].diversity == pytest.approx(spread, abs=0.1)


def test_training_errors(images):
  model = small("dcgan")
  with pytest.raises(ValueError, match=r"images: expected uint8 \[N, 8, 8, 2\], got uint8 \(23, 8"):
    baselines.train(KEY, model, images[:, :, :, :1], num_epochs=1)
  with pytest.raises(ValueError, match="got float32"):
    baselines.train(KEY, model, images / np.float32(255), num_epochs=1)
  with pytest.raises(ValueError, match="images: expected at least one batch of 5, got 4"):
    baselines.train(KEY, model, images[:4], num_epochs=1)
  with pytest.raises(ValueError, match="num_epochs"):
    baselines.train(KEY, model, images, num_epochs=0)
  with pytest.raises(ValueError, match="first_epoch: expected 0 where no state is given, got 5"):
    baselines.train(KEY, model, images, num_epochs=6, first_epoch=5)
