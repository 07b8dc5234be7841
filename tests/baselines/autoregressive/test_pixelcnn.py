"""PixelCNN: what a pixel depends on, by gradients; its density, by sums and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from tests.baselines.helpers import KEY, begun, empty, noisy, small


@pytest.fixture(scope="module")
def pixelcnn() -> tuple[baselines.PixelCNN, object]:
  """A small one of all dilations whose biases are no zeros."""
  model = small("pixelcnn", num_layers=4, width=4)
  noise = jax.random.normal(KEY, (50,))
  params = jax.tree.map(
    lambda x: x + 0.3 * noise[: x.size] if x.ndim == 1 and x.size <= 50 else x,
    begun(model).params,
  )
  return model, params


def test_pixels_depend_on_those_before_them_alone(pixelcnn):
  model, params = pixelcnn
  images = jax.random.uniform(KEY, (1, 6, 5, 1), minval=-1.0)
  weights = jax.random.normal(KEY, (256,))

  def one(images, y, x):
    return (model.logits(params, images)[0, y, x] * weights).sum()

  slope = jax.jit(jax.grad(one))
  for y, x in ((0, 0), (0, 3), (2, 0), (3, 2), (5, 4)):
    found = np.asarray(slope(images, y, x))[0, :, :, 0]
    before = np.arange(30).reshape(6, 5) < y * 5 + x
    # No blind spot within the eleven pixels that these windows reach.
    assert (found[~before] == 0).all() and (found[before] != 0).all()


def test_dilated_windows_reach_far():
  model = small("pixelcnn", num_layers=4, width=4)
  params = begun(model).params
  images = jax.random.uniform(KEY, (1, 13, 5, 1), minval=-1.0)
  slope = jax.jit(jax.grad(lambda x: (model.logits(params, x)[0, 12, 2] ** 2).sum()))(images)
  slope = slope[0, :, :, 0]
  # Up: 4 of the first window, which ends above the pixel, then 1, 2 and 4 of the 3 x 3 ones.
  assert (slope[0] == 0).all() and (slope[1] != 0).any() and (slope[2:12] != 0).all()


def test_a_drawn_pixel_has_the_density_of_the_whole_pass(pixelcnn):
  model, params = pixelcnn
  state = baselines.AutoregressiveState(params, None)
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 3)
  logits = jax.jit(model.logits)(params, drawn)
  for y in range(6):
    for x in range(5):
      key = jax.random.fold_in(jax.random.fold_in(KEY, y), x)
      # The same noise on the same logits: the same pixel, but for a tie within rounding.
      values = jax.random.categorical(key, logits[:, y, x])
      expected = np.asarray(values) / 127.5 - 1
      np.testing.assert_allclose(drawn[:, y, x, 0], expected, atol=1e-6)
  assert len(np.unique(drawn)) > 30


def test_completions_keep_what_is_known_and_are_given_it():
  model = small("pixelcnn")
  # Logits far apart, so that a draw tells them from others.
  state = baselines.AutoregressiveState(noisy(empty(model).params, 1.0), None)
  complete = jax.jit(model.complete)
  nothing = np.zeros((3, 6, 5), bool)
  drawn = jax.jit(model.generate, static_argnums=2)(KEY, state, 3)
  # With nothing known they are samples; what is not known has no part in anything.
  blank = jnp.full((3, 6, 5, 1), jnp.nan)
  np.testing.assert_array_equal(complete(KEY, state, blank, nothing), drawn)
  known = np.tile(np.arange(30).reshape(6, 5) < 13, (3, 1, 1))  # two rows and a half
  given = jnp.where(known[..., None], drawn, jnp.nan)
  # By the same key what comes after a sample's own beginning is its own end, and no other's.
  np.testing.assert_allclose(complete(KEY, state, given, known), drawn, atol=1e-6)
  other = np.asarray(complete(KEY, state, given[::-1], known))
  np.testing.assert_array_equal(other[known], drawn[::-1][known])
  assert (other[0][~known[0]] != drawn[0][~known[0]]).any()
  # What is known later has no part in what is drawn before it.
  last = np.asarray(complete(KEY, state, -drawn, ~known))
  np.testing.assert_allclose(last[known], drawn[known], atol=1e-6)
  np.testing.assert_array_equal(last[~known], -drawn[~known])


def test_densities_sum_to_one(pixelcnn):
  model, params = pixelcnn
  rest = jnp.zeros((1, 6, 5, 1))
  first, second = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
  # All values of the last two pixels, by the chain rule: the logits of the last depend on the one
  # before it.
  images = jnp.tile(rest, (256, 1, 1, 1)).at[:, 5, 3, 0].set(np.arange(256) / 127.5 - 1)
  logits = jax.nn.log_softmax(jax.jit(model.logits)(params, images))
  # Each image's own value: a pixel that saw itself would not sum to 1.
  values = np.arange(256)
  own = np.asarray(logits[values, 5, 3, values])
  joint = np.exp(own[first] + np.asarray(logits[:, 5, 4])[first, second])
  assert joint.sum() == pytest.approx(1, abs=1e-5)
  assert np.abs(np.diff(logits[:, 5, 4], axis=0)).max() > 1e-4


def test_bits_by_hand():
  model = small("pixelcnn")
  params = jax.tree.map(jnp.zeros_like, begun(model).params)
  images = jax.random.uniform(KEY, (2, 6, 5, 1), minval=-1.0)
  bits = jax.jit(model.bits)
  np.testing.assert_allclose(bits(params, images), 8, rtol=1e-6)  # 256 values, all alike
  # One logit of log 255 makes its value's probability 1/2.
  layers, head = params
  head = head._replace(logits_bias=jnp.zeros(256).at[255].set(np.log(255.0)))
  np.testing.assert_allclose(bits((layers, head), jnp.ones((2, 6, 5, 1))), 1, rtol=1e-6)
  found = bits((layers, head), -jnp.ones((2, 6, 5, 1)))
  np.testing.assert_allclose(found, 1 + np.log2(255), rtol=1e-6)


def test_colour_is_refused():
  with pytest.raises(ValueError, match=r"image_shape: expected grey images, \[H, W, 1\], got"):
    baselines.make("pixelcnn", (8, 8, 3))
