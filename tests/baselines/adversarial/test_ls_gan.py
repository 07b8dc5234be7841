"""LS-GAN: its losses by hand, and its margin as its author has it."""

import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from tests.baselines.helpers import SHAPE, small


def test_ls_gan_losses_by_hand():
  model = small("lsgan", margin=2.0)
  real_images = jnp.zeros((3, *SHAPE))
  fake_images = jnp.stack([jnp.full(SHAPE, value) for value in (0.5, -1.0, 0.0)])
  # Margins 1, 2, 0; losses below 0 count as 0.
  real, fake = jnp.array([0.5, -1.0, 3.0]), jnp.array([2.0, 0.5, 1.0])
  expected = np.mean([max(0, 1 + 0.5 - 2), max(0, 2 + 0 - 0.5), max(0, 0 + 3 - 1)])
  found = float(model.critic_loss(real, fake, real_images, fake_images))
  assert found == pytest.approx(expected)
  assert float(model.generator_loss(jnp.array([2.0, -4.0]))) == pytest.approx(1.0)


def test_ls_gan_margin_is_its_authors_at_his_size():
  # 2e-4 times the sum over 64 x 64 x 3 values.
  model = baselines.make("lsgan", (64, 64, 3))
  distance = 0.3
  zero = jnp.zeros((1, 64, 64, 3))
  found = model.critic_loss(jnp.zeros(1), jnp.zeros(1), zero, zero + distance)
  assert float(found) == pytest.approx(2e-4 * 64 * 64 * 3 * distance, rel=1e-5)
