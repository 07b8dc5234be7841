"""Sums of filters: those that must cancel, and indices that do not exist."""

import dataclasses

import jax
import numpy as np
import pytest

from nsn_jax import applications

KEY = jax.random.key(0)


def test_a_filter_plus_another_minus_that_is_itself(nsn):
  sampler = dataclasses.replace(nsn.config.sampler, gamma=1e4)
  found = applications.add_filters(KEY, nsn, (0, 2, 2), 2, sampler=sampler)
  assert found.terms.shape == (2, 3, 28, 28, 1) and found.result.shape == (2, 28, 28, 1)
  np.testing.assert_allclose(found.result, found.terms[:, 0], atol=1e-4)
  other = applications.add_filters(KEY, nsn, (0, 2, 1), 1, sampler=sampler)
  assert np.abs(np.asarray(other.result[0] - other.terms[0, 0])).max() > 0.05


def test_arithmetic_errors(nsn):
  with pytest.raises(ValueError, match=r"filters: expected three indices.* got \[0\]"):
    applications.add_filters(KEY, nsn, [0])
  with pytest.raises(ValueError, match="filters: expected an integer from 0"):
    applications.add_filters(KEY, nsn, [0, -1, 1])
