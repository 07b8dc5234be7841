"""Samples of a baseline: which key gives which, and pixel values by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from tests.baselines.helpers import KEY, SHAPE, Constant, begun, small


def test_samples(images):
  model = small("dcgan")
  state = begun(model)
  first = baselines.sample(KEY, model, state, 7, batch_size=3)
  assert first.shape == (7, *SHAPE) and first.dtype == np.uint8
  np.testing.assert_array_equal(first, baselines.sample(KEY, model, state, 7, batch_size=3))
  assert (first[:3] != first[3:6]).any()
  assert (first != baselines.sample(jax.random.key(1), model, state, 7, batch_size=3)).any()
  with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1, got 0"):
    baselines.sample(KEY, model, state, 0)


def test_pixel_values_are_rounded_to_the_nearest():
  @dataclasses.dataclass(frozen=True)
  class Ramp(Constant):
    def generate(self, key, state, num_samples):
      return jnp.array([-1.5, -1.0, -0.001, 0.0, 0.999, 1.0, 7.0]).reshape(1, 7, 1, 1)

  found = baselines.sample(KEY, Ramp(), None, 1).ravel().tolist()
  assert found == [0, 0, 127, 128, 255, 255, 255]
