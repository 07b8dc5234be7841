"""Fig 3, 4 and 8: samples beside their nearest images, and the check for copies."""

import jax

from experiments.paper import sample_grids
from nsn_jax import data

KEY = jax.random.key(0)


def test_samples(nsn, tmp_path):
  training = data.load("digits", limit=100).images
  found = sample_grids.draw(KEY, nsn, training, tmp_path, 20)
  assert found["nearest"] > 0
  assert {path.name for path in tmp_path.iterdir()} == {"layer0.png", "layer1.png", "nearest.png"}
  # Images of the training set are their own nearest.
  assert sample_grids.beside_nearest(training[:30], training, tmp_path / "x.png") < 1e-3


def test_samples_are_checked_for_copies(nsn):
  training = data.load("digits", limit=100).images
  checks = sample_grids.check_copies(KEY, nsn, training, data.load("digits", split="test").images)
  # Such a small network's filters are means of few images, and still no image.
  assert 0 < checks["distance"].generated < 28 and 0.3 < checks["relative"].generated < 1
  assert checks["relative"].held_out < 1
  # Held-out images that were trained on are their own nearest, and no sample is nearer.
  seen = sample_grids.check_copies(KEY, nsn, training, training)["relative"]
  assert seen.held_out < 1e-3 and seen.suspected == 0
