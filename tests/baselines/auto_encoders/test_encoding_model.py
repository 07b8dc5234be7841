"""Auto-encoders: what a code depends on, losses by hand, drawn codes' moments, two that learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import baselines
from nsn_jax.baselines.auto_encoders.encoding_model import CodeMoments
from nsn_jax.pixel_range import from_signed, to_signed
from tests.baselines.helpers import KEY, begun, empty, noisy, small, trained


def test_codes_are_drawn_of_the_moments_that_were_seen():
  rng = np.random.default_rng(0)
  mixing = np.array([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])  # the last value is 400
  codes = (rng.normal(size=(20, 100, 3)) @ mixing.T + [1, -3, 400]).astype(np.float32)

  @jax.jit
  def found(batches):
    begin = CodeMoments(jnp.zeros(3), jnp.eye(3))
    moments, _ = jax.lax.scan(
      lambda moments, index: (moments.after(batches[index % 20]), None), begin, jnp.arange(3_000)
    )
    return moments.draw(KEY, 20_000)

  drawn = found(codes)
  codes = codes.reshape(-1, 3)
  # Means over some hundred batches, which are twenty over again, the last ones weighing more; the
  # standard errors of 20,000 draws of deviation 2 are 0.014 of a mean, 0.04 of a variance.
  np.testing.assert_allclose(drawn.mean(axis=0), codes.mean(axis=0), atol=0.07)
  np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.2)
  # What never changed is known to a thousandth, rounding of 400 the rest.
  np.testing.assert_allclose(drawn[:, 2], 400, atol=0.01)
  # By hand: a mean of 0, a variance of 1, and codes of 1 and 3.
  one = jax.jit(CodeMoments.after)(CodeMoments(jnp.zeros(1), jnp.eye(1)), np.float32([[1], [3]]))
  assert float(one.mean[0]) == pytest.approx(0.02)
  assert float(one.covariance[0, 0]) == pytest.approx(0.99 * 1 + 0.01 * 5 - 0.02**2)


def test_the_squared_error_by_hand():
  model = small("autoencoder")
  # No weights: all codes and all images are 0, grey.
  state = empty(model)
  images = jnp.stack([jnp.full((8, 8, 2), 0.5), jnp.zeros((8, 8, 2)).at[:, :, 1].set(1.0)])
  losses = jax.jit(model.losses)(state.decoder, jnp.zeros((2, 3)), images)
  np.testing.assert_allclose(losses, [0.25, 0.5], rtol=1e-6)


def test_a_pixel_depends_on_the_code_and_on_those_before_it_alone():
  model = small("pixelcnnae", width=6)
  decoder = noisy(empty(model).decoder)
  images = jax.random.uniform(KEY, (1, 6, 6, 1), minval=-1.0)
  codes = jnp.array([[0.5, -1.0, 2.0]])

  def one(images, codes):
    condition = model.condition(decoder, codes)
    return (model.stack.logits(decoder.stack, images, condition)[0, 3, 2] ** 2).sum(), condition

  slopes, condition = jax.jit(jax.grad(one, argnums=(0, 1), has_aux=True))(images, codes)
  of_images, of_codes = map(np.asarray, slopes)
  after = np.arange(36).reshape(6, 6) >= 3 * 6 + 2
  assert (of_images[0, :, :, 0][after] == 0).all() and of_images.any()
  assert (of_codes != 0).all()
  # The map tells where; a code by itself is the same everywhere.
  maps = np.asarray(condition.values)
  assert maps.shape == (1, 6, 6, 2) and maps.std(axis=(1, 2)).min() > 0.01
  plain = small("pixelcnnae", map_features=0)
  decoder = empty(plain).decoder
  assert decoder.map is None and decoder.conditions[0].vertical.shape == (3, 6)
  np.testing.assert_array_equal(plain.condition(decoder, codes).values, codes[:, None, None])


@pytest.mark.parametrize("name", ["autoencoder", "pixelcnnae"])
def test_what_is_given_back_is_the_image(name):
  pictures = np.zeros((3, 6, 6, 1), np.uint8)
  pictures[0, :2] = pictures[1, :, 3] = pictures[2, 4:, 1:5] = 255
  # With one layer the pixels before do not tell which picture it is, but for their own.
  changes = {"num_layers": 1, "width": 8} if name == "pixelcnnae" else {"width": 4}
  model = baselines.make(name, (6, 6, 1), latent=2, encoder_width=4, learning_rate=0.01, **changes)
  batch = to_signed(pictures)
  state = trained(model, begun(model), batch, 500)
  found = np.asarray(from_signed(jax.jit(model.reconstruct)(KEY, state, batch)))
  right = np.abs(found.astype(int) - pictures) < 64
  assert right.mean() > 0.98
  # The encoder is what tells: another's code gives the other picture.
  codes = jax.jit(model.encode)(state.encoder, batch)
  # The moments follow the codes, which move as they are learned.
  assert (np.asarray(state.moments.mean) * np.asarray(codes).mean(axis=0) > 0).all()
  other = np.asarray(from_signed(jax.jit(model.decode)(KEY, state.decoder, codes[::-1])))
  assert (np.abs(other.astype(int) - pictures[::-1]) < 64).mean() > 0.98


def test_errors():
  for name, field, value in (
    ("autoencoder", "latent", 0),
    ("autoencoder", "width", 0),
    ("pixelcnnae", "encoder_width", 0),
    ("pixelcnnae", "num_layers", 0),
    ("pixelcnnae", "map_features", -1),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected"):
      small(name, **{field: value})
  with pytest.raises(ValueError, match="image_shape: expected grey images"):
    baselines.make("pixelcnnae", (8, 8, 3))
  with pytest.raises(ValueError, match="image_shape: expected square images"):
    baselines.make("autoencoder", (8, 9, 3))
