"""Interpolation: a path's ends against the decoder itself, and indices that do not exist."""

import dataclasses

import jax
import numpy as np
import pytest

import nsn_jax
from nsn_jax import applications

KEY = jax.random.key(0)


def test_a_path_begins_and_ends_at_its_filters(nsn):
  sampler = dataclasses.replace(nsn.config.sampler, gamma=1e4)
  found = np.asarray(
    applications.interpolate(KEY, nsn, 1, 3, num_steps=5, num_draws=2, sampler=sampler)
  )
  assert found.shape == (2, 5, 28, 28, 1)
  one_hot = np.eye(nsn.num_filters[-1], dtype=np.float32)[:, None, None]
  ends = np.asarray(nsn_jax.decode(KEY, nsn, one_hot, sampler))
  # Sharp and without noise, so that a filter decodes to one image whatever the key.
  np.testing.assert_allclose(found[:, 0], np.stack([ends[1]] * 2), atol=1e-4)
  np.testing.assert_allclose(found[:, -1], np.stack([ends[3]] * 2), atol=1e-4)


def test_interpolation_errors(nsn):
  last = nsn.num_filters[-1] - 1
  with pytest.raises(ValueError, match=f"second: expected an integer from 0 to {last}"):
    applications.interpolate(KEY, nsn, 0, last + 1)
  with pytest.raises(ValueError, match="num_steps: expected an integer of at least 2, got 1"):
    applications.interpolate(KEY, nsn, 0, 1, 1)
