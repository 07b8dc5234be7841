"""DCGAN: its losses by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.baselines.helpers import small


def test_dcgan_losses_by_hand():
  model = small("dcgan")
  real, fake = jnp.array([0.0, np.log(3.0)]), jnp.array([0.0, -np.log(3.0)])
  # Probabilities of the truth: 1/2 and 3/4 of both.
  expected = 2 * -np.log([1 / 2, 3 / 4]).mean()
  assert float(model.critic_loss(real, fake, None, None)) == pytest.approx(expected, rel=1e-6)
  # Taken for real: 1/2 and 1/4.
  expected = -np.log([1 / 2, 1 / 4]).mean()
  assert float(model.generator_loss(fake)) == pytest.approx(expected, rel=1e-6)
