"""The conditional PixelCNN: what a pixel depends on, densities by enumeration, classes it draws."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from nsn_jax import baselines
from nsn_jax.pixel_range import from_signed, to_signed
from tests.baselines.helpers import KEY, begun, empty, noisy, small


def test_a_pixel_depends_on_its_class_and_on_those_before_it_alone():
  # Three layers reach six rows up: all of them, so that there is no blind spot to be hidden.
  model = small("condpixelcnn", num_layers=3, width=4)
  params = noisy(jax.eval_shape(model.first, KEY))
  images = jax.random.uniform(KEY, (1, 6, 5, 1), minval=-1.0)
  weights = jax.random.normal(KEY, (256,))

  def one(images, params, y, x):
    return (model.logits(params, images, jnp.ones(1, jnp.int32))[0, y, x] * weights).sum()

  slopes = jax.jit(jax.grad(one, argnums=(0, 1)))
  for y, x in ((0, 0), (0, 3), (2, 0), (3, 2), (5, 4)):
    of_images, (_, of_classes) = slopes(images, params, y, x)
    found = np.asarray(of_images)[0, :, :, 0]
    before = np.arange(30).reshape(6, 5) < y * 5 + x
    assert (found[~before] == 0).all() and (found[before] != 0).all()
    for index, layer in enumerate(of_classes):
      # Of three classes the own alone; the last layer's vertical gate is seen by none.
      for which, slope in enumerate(layer):
        seen = which == 1 or (index < 2 and y > 0)
        assert (np.asarray(slope[1]) != 0).all() == seen
        assert (np.asarray(slope)[[0, 2]] == 0).all()


@pytest.fixture(scope="module")
def pair() -> tuple[baselines.CondPixelCNN, object]:
  """Images of two pixels, each black, grey or white for almost certain, by three classes."""
  model = dataclasses.replace(small("condpixelcnn", width=4), image_shape=(1, 2, 1))
  (layers, head), classes = noisy(jax.eval_shape(model.first, KEY))
  bias = jnp.full(256, -60.0).at[jnp.array([0, 128, 255])].set(jnp.array([0.5, 0.0, -0.5]))
  head = head._replace(logits_bias=bias, logits=8 * head.logits)
  return model, ((layers, head), jax.tree.map(lambda x: 4 * x, classes))


_LEVELS = np.array([0, 128, 255], np.uint8)
_PAIRS = np.array([[a, b] for a in _LEVELS for b in _LEVELS]).reshape(9, 1, 2, 1)


def _joint(model: baselines.CondPixelCNN, params: object) -> np.ndarray:
  """p(x, y) of the nine images, by the chain rule: [9, 3]."""
  logits = jax.jit(model.logits)
  found = np.zeros((9, 3))
  for label in range(3):
    logs = special.log_softmax(
      np.asarray(logits(params, to_signed(_PAIRS), jnp.full(9, label)), np.float64), axis=-1
    )
    for index, image in enumerate(_PAIRS):
      found[index, label] = sum(logs[index, 0, x, image[0, x, 0]] for x in (0, 1))
  return np.exp(found) / 3


def test_the_density_is_the_mean_over_classes(pair):
  model, params = pair
  joint = _joint(model, params)
  assert joint.sum() == pytest.approx(1, abs=1e-6)  # The 256^2 images but nine have e^-60 each.
  assert np.abs(joint - joint.mean(axis=1, keepdims=True)).max() > 0.01  # The class matters.
  images = to_signed(_PAIRS)
  # float32, of logs of up to ten.
  np.testing.assert_allclose(np.exp(jax.jit(model.joint_logs)(params, images)), joint, rtol=1e-5)
  found = jax.jit(model.class_logs)(params, images)
  np.testing.assert_allclose(np.exp(found), joint / joint.sum(axis=1, keepdims=True), rtol=1e-5)
  bits = -np.log2(joint.sum(axis=1)) / 2
  state = baselines.AutoregressiveState(params, None)
  density = model.held_out_density(KEY, state, _PAIRS)
  assert density.kind == "exact, bits a value"
  assert density.bits == pytest.approx(bits.mean(), rel=1e-5)
  np.testing.assert_allclose(jax.jit(model.marginal_bits)(params, images), bits, rtol=1e-5)
  # What a step without labels goes by; what it changes is not asked for, nor compiled.
  state = jax.tree.map(jnp.asarray, empty(model)._replace(params=params))
  metrics = jax.jit(lambda state: model.step(KEY, state, images)[1])(state)
  assert float(metrics["bits"]) == pytest.approx(bits.mean(), rel=1e-5)


def test_samples_have_the_density(pair):
  model, params = pair
  joint = _joint(model, params)
  state = baselines.AutoregressiveState(params, None)
  num = 6_000

  def shares(images):
    values = np.asarray(from_signed(images)).reshape(num, 2)
    return [(values == image.reshape(2)).all(axis=1).sum() for image in _PAIRS]

  labels = jnp.full(num, 2)
  found = shares(jax.jit(model.generate_with)(KEY, state, labels))
  # A true draw fails in one of a thousand keys; this one is always the same.
  assert stats.chisquare(found, num * joint[:, 2] * 3, sum_check=False).pvalue > 1e-3
  assert stats.chisquare(found, num * joint[:, 1] * 3, sum_check=False).pvalue < 1e-9
  found = shares(jax.jit(model.generate, static_argnums=2)(KEY, state, num))
  assert stats.chisquare(found, num * joint.sum(axis=1), sum_check=False).pvalue > 1e-3


def test_each_class_is_learned():
  # Of no pixel alone: white ones are in the same places in both, but of two rows.
  pictures = np.zeros((2, 4, 4, 1), np.uint8)
  pictures[0, 0] = pictures[1, 3] = pictures[:, 1, ::2] = 255
  model = baselines.make(
    "condpixelcnn", (4, 4, 1), width=6, num_layers=1, num_classes=2, learning_rate=0.03
  )
  labels = jnp.array([0, 1, 1, 0])
  batch = to_signed(pictures[labels])

  def learned(state):
    return jax.lax.scan(
      lambda state, _: (model.step_with_labels(KEY, state, batch, labels)[0], None),
      state,
      length=120,
    )[0]

  state = jax.jit(learned)(begun(model))
  asked = jnp.array([1, 0, 1, 1, 0, 0, 1, 0])
  found = from_signed(jax.jit(model.generate_with)(KEY, state, asked))
  np.testing.assert_array_equal(found, pictures[asked])
  # One image of two, 16 pixels: a bit over 16, and almost certain of it.
  density = model.held_out_density(KEY, state, pictures)
  assert 1 / 16 < density.bits < 1 / 16 + 0.01


def test_labels_that_are_refused():
  model = small("condpixelcnn")
  for labels, got in (
    (None, "expected the class of each image, got none"),
    ([0, -1, 2, 1], "expected the class of each image, got 25.0% unknown"),
    ([0, 3, 1, 2], "expected 0 to 2, as num_classes is 3, got up to 3"),
  ):
    with pytest.raises(ValueError, match=f"^labels: {got}"):
      baselines.training_labels(model, labels, 4)
  assert baselines.training_labels(model, [0, 2, 1, 1], 4).tolist() == [0, 2, 1, 1]
  with pytest.raises(ValueError, match="num_classes: expected"):
    small("condpixelcnn", num_classes=0)
  with pytest.raises(ValueError, match="image_shape: expected grey images"):
    baselines.make("condpixelcnn", (8, 8, 3))
