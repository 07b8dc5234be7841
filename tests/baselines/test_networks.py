"""The networks: XLA's transposed convolution, shapes of the maps, parameters counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines import networks
from tests.baselines.helpers import KEY


@pytest.mark.parametrize("side", [10, 9])
def test_doubling_equals_xlas_transposed_convolution(side):
  layer = networks.Doubling(3, side)
  x = jax.random.normal(KEY, (2, 5, 5, 6))
  params = layer.init(KEY, x)
  kernel = params["params"]["kernel"].transpose(1, 2, 0, 3)  # [4, 4, in, out]
  expected = jax.lax.conv_transpose(
    x, kernel[::-1, ::-1], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
  )
  found = layer.apply(params, x)
  assert found.shape == (2, side, side, 3)
  # float32 sums of 24 products of either order.
  np.testing.assert_allclose(found, expected[:, :side, :side], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
  ("side", "expected"),
  [(28, (28, 14, 7, 4)), (64, (64, 32, 16, 8, 4)), (8, (8, 4)), (27, (27, 14, 7, 4)), (5, (5, 3))],
)
def test_sides_of_the_maps(side, expected):
  assert networks.map_sides((side, side, 1)) == expected
  noise, images = jnp.zeros((2, 5)), jnp.zeros((2, side, side, 1))
  generator, critic = (net((side, side, 1), 2) for net in (networks.Generator, networks.Critic))
  made, _ = jax.eval_shape(lambda: generator.init_with_output(KEY, noise, is_training=True))
  scores, variables = jax.eval_shape(lambda: critic.init_with_output(KEY, images))
  assert made.shape == images.shape and scores.shape == (2,)
  # The critic's dense layer sees the whole smallest map.
  channels = 2 << (len(expected) - 2)
  assert variables["params"]["Dense_0"]["kernel"].shape == (channels * expected[-1] ** 2, 1)


@pytest.mark.parametrize("shape", [(28, 32, 1), (4, 4, 1), (2, 2, 1)])
def test_images_that_no_doublings_make(shape):
  with pytest.raises(ValueError, match=f"image_shape: .*got {shape[0]} x {shape[1]}"):
    networks.map_sides(shape)


def test_parameters_counted_by_hand():
  model = baselines.make("dcgan", (28, 28, 1), width=64)
  state = jax.eval_shape(model.init, KEY)
  # Dense to 4 x 4 x 256, doublings to 128 and 64 channels, one to 1 with a bias; scale and shift of
  # each normalisation.
  generator = 100 * 16 * 256 + 2 * 256 + 16 * 256 * 128 + 2 * 128
  generator += 16 * 128 * 64 + 2 * 64 + 16 * 64 + 1
  assert baselines.num_parameters(model.generating(state)) == generator
  critic = 16 * 64 + 64 + 16 * 64 * 128 + 2 * 128 + 16 * 128 * 256 + 2 * 256 + 16 * 256 + 1
  assert baselines.num_parameters(state.critic) == critic
  vae = baselines.make("vae", (28, 28, 1))
  decoder = 21 * 500 + 501 * 500 + 501 * 784
  assert baselines.num_parameters(vae.generating(jax.eval_shape(vae.init, KEY))) == decoder
