"""The loop that teaches generators: its keys, its reports, where it stops; and its first image."""

import jax
import numpy as np
import pytest

from nsn_jax.baselines import teaching

KEY = jax.random.key(3)


def _run(num_steps, losses=lambda index: 1.0 / (index + 1), told=None):
  """The keys that the steps had; each step's loss is by its number."""

  def step(key, keys):
    return (*keys, key), np.float32(losses(len(keys)))

  def progress(*given):
    told.append(given)

  return teaching.run(
    KEY,
    step,
    (),
    num_steps=num_steps,
    learning_rate=0.5,
    progress=None if told is None else progress,
  )


@pytest.mark.parametrize(
  ("num_steps", "reported"), [(1, [1]), (50, [50]), (51, [50, 51]), (120, [50, 100, 120])]
)
def test_it_tells_now_and_then_and_in_the_end(num_steps, reported):
  told = []
  keys = _run(num_steps, told=told)
  assert told == [(done, num_steps, np.float32(1.0 / done)) for done in reported]
  assert len(keys) == len(_run(num_steps)) == num_steps
  assert keys[-1] == jax.random.fold_in(KEY, num_steps - 1)


def test_a_loss_that_is_no_number_ends_it():
  with pytest.raises(FloatingPointError, match=r"loss is nan after 50 steps: .* below 0\.5"):
    _run(120, losses=lambda index: np.nan if index >= 30 else 1.0)


def test_the_first_image_is_the_mean_and_black_is_within_reach():
  images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1)).astype(np.uint8)
  images[:, 0] = 0
  base = np.asarray(teaching.begun_at_mean(images))
  # Moved by a hundredth towards the middle.
  np.testing.assert_allclose(np.tanh(base), 0.99 * (images.mean(axis=0) / 127.5 - 1), atol=1e-6)
  assert np.isfinite(base).all()


def test_the_rate_falls_to_zero_by_a_cosine():
  optimizer = teaching.adam(0.1, 4)
  state = optimizer.init(np.zeros(1, np.float32))
  taken = []
  for _ in range(5):
    # Of a gradient that stays, Adam's steps are the rate.
    update, state = optimizer.update(np.ones(1, np.float32), state)
    taken.append(-float(update[0]))
  expected = 0.05 * (1 + np.cos(np.pi * np.arange(5) / 4))
  np.testing.assert_allclose(taken, expected, atol=1e-6)
