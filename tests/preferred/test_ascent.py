"""The ascent: a case with a known optimum, steps that never fall, rows on their own."""

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import preferred


def test_linear_classifier_and_decoder_by_closed_form():
  # Of logits w D y less |y|^2 / 20 each value has its own parabola, cut at the box: at
  # 10 (D^T w), or at the nearer bound of [0, 3].
  rng = np.random.default_rng(0)
  decoder, classifier = rng.normal(size=(6, 8)), rng.normal(size=(2, 6)) / 5
  classes = np.array([0, 1, 1])
  slopes = (classifier @ decoder)[classes]
  expected = np.clip(10 * slopes, 0, 3)
  assert {0.0, 3.0} < set(expected.flat) and ((expected > 0) & (expected < 3)).sum() >= 5

  def objective(codes):
    images = codes @ decoder.T.astype(np.float32)
    return jnp.take_along_axis(images @ classifier.T, classes[:, None], axis=1)[:, 0]

  start = jnp.asarray(rng.uniform(-1, 5, (3, 8)), jnp.float32)  # Outside of the box, too.
  found = preferred.climb(objective, start, weight=1 / 20, upper=3.0, num_steps=200)
  # Where a step no longer shows in float32's value: its root.
  np.testing.assert_allclose(found.codes, expected, atol=3e-3)
  best = (slopes * expected - expected**2 / 20).sum(axis=1)
  np.testing.assert_allclose(found.values[-1], best, rtol=1e-5)


def _rugged(codes):
  """Waves too short for the first steps, and nothing beyond a wall."""
  return jnp.where(codes > 2.0, jnp.nan, jnp.sin(40 * codes) + 3 * codes).sum(axis=(1, 2))


def test_no_step_falls_and_codes_stay_in_the_box():
  start = jax.random.uniform(jax.random.key(0), (5, 2, 3))
  found = preferred.climb(_rugged, start, weight=0.0, upper=3.0, num_steps=60)
  values = np.asarray(found.values)
  assert values.shape == (61, 5) and found.codes.shape == (5, 2, 3)
  assert np.isfinite(values).all()  # Behind the wall nothing is taken.
  assert (np.diff(values, axis=0) >= 0).all()
  assert (values[-1] > values[0] + 1).all()
  assert found.codes.min() >= 0 and found.codes.max() <= 2
  np.testing.assert_allclose(values[-1], _rugged(found.codes), rtol=1e-6)
  raised = preferred.climb(
    lambda codes: codes.sum(axis=1), start[:, 0], weight=0.0, upper=0.5, num_steps=3
  )
  np.testing.assert_array_equal(raised.codes, 0.5)


def test_each_code_climbs_on_its_own():
  start = jax.random.uniform(jax.random.key(0), (4, 1, 3))
  together = preferred.climb(_rugged, start, weight=0.1, upper=3.0, num_steps=20)
  alone = preferred.climb(_rugged, start[2:3], weight=0.1, upper=3.0, num_steps=20)
  np.testing.assert_allclose(together.codes[2], alone.codes[0], rtol=1e-5)
  np.testing.assert_allclose(together.values[:, 2], alone.values[:, 0], rtol=1e-5)


def test_no_steps_are_the_start_clipped():
  start = jnp.asarray([[-1.0, 0.5, 4.0]])
  found = preferred.climb(
    lambda codes: codes.sum(axis=1), start, weight=1.0, upper=3.0, num_steps=0
  )
  np.testing.assert_array_equal(found.codes, [[0.0, 0.5, 3.0]])
  np.testing.assert_allclose(found.values, [[3.5 - 9.25]])
