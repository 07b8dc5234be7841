"""The network by numpy, its loss and steps by differences, and what it learns."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nsn_jax import data, from_factors, pixel_range
from nsn_jax.from_factors import training

_SHAPE = (6, 6, 1)
_MODEL = from_factors.FactorNetwork(
  image_shape=_SHAPE,
  num_identities=2,
  hidden=16,
  width=4,
  batch_size=8,
  num_steps=400,
  learning_rate=5e-3,
)


@pytest.fixture(scope="module")
def taught() -> tuple[data.Factors, np.ndarray]:
  """Two shapes at three angles and two widths: 12 images of 6x6."""
  shapes = np.zeros((2, *_SHAPE), np.uint8)
  shapes[0, 1:5, 2] = shapes[0, 4, 2:5] = shapes[1, 1:5, 2:4] = 255
  grid = data.FactorGrid(
    num_identities=2, angles=(0.0, 90.0, 180.0), widths=(0.7, 1.0), thicknesses=(0.0,)
  )
  factors = grid.factors()
  return factors, data.render(shapes, factors)


@pytest.fixture(scope="module")
def trained(taught) -> from_factors.FactorState:
  return from_factors.train(jax.random.key(0), _MODEL, *taught)


def _by_numpy(params, base, factors, means, deviations):
  """Images of factors in float64, layer by layer and pixel by pixel."""
  tree = jax.tree.map(lambda x: np.asarray(x, np.float64), params)["params"]

  def dense(x, number):
    y = x @ tree[f"Dense_{number}"]["kernel"] + tree[f"Dense_{number}"]["bias"]
    return np.where(y > 0, y, 0.2 * y)

  radians = np.deg2rad(factors.angles.astype(float))
  given = (
    np.eye(_MODEL.num_identities)[factors.identities],
    np.stack([np.sin(radians), np.cos(radians)], axis=1),
    (np.stack([factors.widths, factors.thicknesses], axis=1) - means) / deviations,
  )
  streams = [dense(dense(x, 2 * number), 2 * number + 1) for number, x in enumerate(given)]
  x = dense(dense(np.concatenate(streams, axis=1), 6), 7)
  x = np.maximum(x @ tree["Dense_8"]["kernel"] + tree["Dense_8"]["bias"], 0).reshape(-1, 3, 3, 4)
  kernel = tree["Doubling_0"]["kernel"]
  # Unpooled by 2, one row and column beyond, then a window of 4x4 about each value.
  wide = np.zeros((len(x), 8, 8, 1))
  for row in range(3):
    for column in range(3):
      window = np.tensordot(x[:, row, column], kernel, 1)
      wide[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += window
  return np.tanh(base + wide[:, 1:7, 1:7] + tree["Doubling_0"]["bias"])


def _oracle(state, factors):
  constants = (np.asarray(x, np.float64) for x in (state.means, state.deviations))
  return _by_numpy(state.params, np.asarray(state.base, float), factors, *constants)


def test_images_are_numpys(trained, taught):
  factors, _ = taught
  factors = factors._replace(angles=factors.angles + 17, widths=factors.widths * 1.3)
  expected = _oracle(trained, factors)
  found = _MODEL.generate(trained, _MODEL.inputs(trained, factors))
  np.testing.assert_allclose(found, expected, atol=1e-4)  # float32
  assert expected.std(axis=0).max() > 0.5  # They are not all alike.
  eight_bits = from_factors.generate(_MODEL, trained, factors)
  np.testing.assert_allclose(eight_bits, (expected + 1) * 127.5, atol=0.55)
  # Images on their own, and of arrays of jax.
  few = jax.tree.map(jnp.asarray, factors.rows(np.array([5])))
  np.testing.assert_allclose(from_factors.generate(_MODEL, trained, few), eight_bits[5:6], atol=1)


def test_it_begins_at_the_mean_image(taught):
  factors, images = taught
  state = _MODEL.init(jax.random.key(0), factors, images)
  mean = 0.99 * (images.astype(float).mean(axis=0) / 127.5 - 1)
  np.testing.assert_allclose(np.tanh(state.base), mean, atol=1e-6)
  # The last layer's weights are of deviation 0.02.
  np.testing.assert_allclose(_oracle(state, factors), np.broadcast_to(mean, images.shape), atol=0.3)
  scales = np.stack([factors.widths, factors.thicknesses], axis=1)
  np.testing.assert_allclose(state.means, scales.mean(axis=0), rtol=1e-6)
  np.testing.assert_allclose(state.deviations, [scales[:, 0].std(), 1.0], rtol=1e-5)


def test_inputs_by_hand(taught):
  state = _MODEL.init(jax.random.key(0), *taught)
  factors = data.Factors(np.array([1]), np.array([210.0]), np.array([1.0]), np.array([0.5]))
  identity, view, transform = _MODEL.inputs(state, factors)
  assert identity.tolist() == [[0, 1]]
  np.testing.assert_allclose(view, [[-0.5, -np.sqrt(0.75)]], atol=1e-6)
  np.testing.assert_allclose(transform, [[1.0, 0.5]], rtol=1e-5)  # of widths 0.7 and 1


def test_a_step_is_adams_on_the_squared_error(taught):
  factors, images = taught
  state = _MODEL.init(jax.random.key(0), factors, images)
  stepped, loss = jax.jit(_MODEL.step)(state, factors, images)
  real = images / 127.5 - 1

  def expected_loss(params):
    return ((_oracle(state._replace(params=params), factors) - real) ** 2).mean()

  assert float(loss) == pytest.approx(expected_loss(state.params), rel=1e-4)
  # Adam's first step is the rate times the gradient's sign; its slope is the gradient's sum.
  moves = jax.tree.map(lambda a, b: np.asarray(b - a, np.float64), state.params, stepped.params)
  sizes = np.concatenate([np.abs(x).ravel() for x in jax.tree.leaves(moves)])
  assert sizes.max() == pytest.approx(_MODEL.learning_rate, rel=1e-3)
  shift = 1e-3  # of the step: small enough to be straight, in float64
  moved = jax.tree.map(lambda a, b: np.asarray(a, np.float64) + shift * b, state.params, moves)
  slope = (expected_loss(moved) - expected_loss(state.params)) / shift

  def by_jax(params):
    made = _MODEL.generate(state._replace(params=params), _MODEL.inputs(state, factors))
    return ((made - real) ** 2).mean()

  gradient = jax.jit(jax.grad(by_jax))(state.params)
  products = jax.tree.map(lambda g, m: (np.asarray(g, float) * m).sum(), gradient, moves)
  assert slope < 0
  # A leaky unit that turns on the way makes it bend.
  assert slope == pytest.approx(sum(jax.tree.leaves(products)), rel=0.02)
  assert optax.tree_utils.tree_get(stepped.optimizer, "count", filtering=_of_adam) == 1


def _of_adam(path, _):
  return any("ScaleByAdamState" in str(getattr(entry, "tuple_name", "")) for entry in path)


def test_a_few_images_are_learnt_by_heart(trained, taught):
  factors, images = taught
  found = from_factors.generate(_MODEL, trained, factors)
  error = np.sqrt(((found.astype(float) - images) ** 2).mean())
  assert error < 8 < 60 < np.sqrt(((images - images.mean(axis=0)) ** 2).mean())


def test_training_is_told_of_and_the_keys(taught, trained):
  told = []
  old = from_factors.train(
    jax.random.PRNGKey(0),
    _MODEL,
    jax.tree.map(jnp.asarray, taught[0]),
    jnp.asarray(taught[1]),
    progress=lambda *given: told.append(given),
  )
  jax.tree.map(np.testing.assert_array_equal, old, trained)
  assert [given[:2] for given in told] == [(done, 400) for done in range(50, 401, 50)]
  assert told[-1][2] < 0.1 * told[0][2]


def test_between_inputs(trained, taught):
  first, second = (
    jax.tree.map(lambda x, i=i: x[i : i + 1], _MODEL.inputs(trained, taught[0])) for i in (0, 6)
  )
  half = jax.tree.map(lambda a, b: (a + b) / 2, first, second)
  assert half.identity.tolist() == [[0.5, 0.5]]
  images = [from_factors.generate(_MODEL, trained, x).astype(int) for x in (first, half, second)]
  assert all(np.abs(images[1] - other).max() > 20 for other in (images[0], images[2]))


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"key": 3}, "key: expected one PRNG key"),
    ({"model": 3}, "model: expected a FactorNetwork, got int"),
    (
      {"images": np.zeros((12, 5, 5, 1), np.uint8)},
      "images: expected uint8 [N, 6, 6, 1], got uint8",
    ),
    (
      {"images": np.zeros((12, *_SHAPE), np.float32)},
      "images: expected uint8 [N, 6, 6, 1], got float",
    ),
    ({"images": np.zeros((0, *_SHAPE), np.uint8)}, "images: expected at least one value"),
    ({"images": np.zeros((3, *_SHAPE), np.uint8)}, "factors: expected those of 3 images, got 12"),
    ({"progress": 3}, "progress: expected a function or None, got int"),
  ],
)
def test_bad_trainings(taught, change, message):
  factors, images = taught
  given = {"key": jax.random.key(0), "model": _MODEL, "factors": factors, "images": images}
  with pytest.raises(ValueError, match=re.escape(message)):
    from_factors.train(**given | change)


def test_factors_that_the_network_has_not(trained, taught):
  other = taught[0]._replace(identities=taught[0].identities + 1)
  with pytest.raises(
    ValueError, match=r"factors\.identities: expected positions from 0 to 1, got 1 to 2"
  ):
    from_factors.train(jax.random.key(0), _MODEL, other, taught[1])
  with pytest.raises(
    ValueError, match=r"wanted\.identities: expected positions from 0 to 1, got 1 to 2"
  ):
    from_factors.generate(_MODEL, trained, other)
  with pytest.raises(ValueError, match="wanted: expected a Inputs, got int"):
    from_factors.generate(_MODEL, trained, 3)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      {"image_shape": (4, 4, 1)},
      "image_shape: expected square images of at least 5 x 5, got 4 x 4",
    ),
    ({"image_shape": [6, 6, 1]}, "image_shape: expected a tuple (H, W, C)"),
    ({"num_identities": 0}, "num_identities: expected an integer of at least 1, got 0"),
    ({"hidden": 0}, "hidden: expected an integer of at least 1, got 0"),
    ({"width": 1.5}, "width: expected an integer of at least 1, got 1.5"),
    ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
    ({"num_steps": 0}, "num_steps: expected an integer of at least 1, got 0"),
    ({"learning_rate": 0.0}, "learning_rate: expected a finite number above 0.0"),
  ],
)
def test_bad_networks(change, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    from_factors.FactorNetwork(**{"image_shape": _SHAPE, "num_identities": 2} | change)


def test_divergence_is_an_error(taught, monkeypatch):
  step = training._step

  def diverged(*given, **options):
    return step(*given, **options)[0], jnp.float32(np.nan)

  monkeypatch.setattr(training, "_step", diverged)
  with pytest.raises(FloatingPointError, match=r"nan after 50 steps: .* below 0\.005"):
    from_factors.train(jax.random.key(0), _MODEL, *taught)


def test_signed_images_are_what_it_learns(taught):
  # The loss of a state that makes the images themselves is 0.
  _, images = taught
  signed = pixel_range.to_signed(images[:1])
  base = jnp.arctanh(jnp.clip(signed[0], -0.9999, 0.9999))
  state = _MODEL.init(jax.random.key(0), *taught)._replace(base=base)
  state = state._replace(params=jax.tree.map(jnp.zeros_like, state.params))
  _, loss = _MODEL.step(state, taught[0].rows(np.array([0])), images[:1])
  assert float(loss) < 1e-6
