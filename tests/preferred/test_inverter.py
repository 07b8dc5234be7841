"""Inverters and what they are climbed to, of a small classifier of digits."""

import functools
import re
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import data, metrics, pixel_range, preferred
from nsn_jax.preferred import inverter as inverter_module

_OPTIONS = {"num_steps": 300, "batch_size": 16, "learning_rate": 5e-3, "width": 6}


class _Judge(NamedTuple):
  classifier: metrics.Classifier
  images: np.ndarray
  held_out: np.ndarray


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
  """A classifier of 12x12 digits with the weights that training begins with: they tell as much."""
  cache_dir = tmp_path_factory.mktemp("data")
  images, held_out = (
    data.load("digits", split=split, image_size=12, cache_dir=cache_dir, limit=limit).images
    for split, limit in (("train", 600), ("test", 100))
  )
  architecture = metrics.Architecture(channels=(4, 8), kernels=(5, 3), num_features=32)
  init = jax.jit(functools.partial(architecture.network(10).init, is_training=False))
  params = init(jax.random.key(0), images[:1])
  return _Judge(metrics.Classifier(params, 10, (12, 12, 1), architecture), images, held_out)


@pytest.fixture(scope="module")
def inverters(judge):
  """Of the lowest map, 6x6, and of the features."""
  return {
    layer: preferred.train_inverter(
      jax.random.key(layer), judge.classifier, judge.images, layer=layer, **_OPTIONS
    )
    for layer in (1, 3)
  }


def test_what_a_classifier_sees_layer_by_layer(judge):
  images = judge.held_out[:5]
  seen = metrics.look(judge.classifier, images)
  assert [layer.shape for layer in seen.layers] == [(5, 6, 6, 4), (5, 3, 3, 8), (5, 32)]
  outputs = judge.classifier.outputs(images)
  # Another program: rounding.
  np.testing.assert_allclose(seen.layers[-1], outputs.features, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(seen.logits, outputs.logits, rtol=1e-4, atol=1e-4)
  # The lowest map is the first convolution's, pooled, as numpy has it at one place.
  params = judge.classifier.params["params"]["Conv_0"]
  around = np.asarray(images[0, 2:8, 2:8, 0], np.float64) / 127.5 - 1
  windows = [around[i : i + 5, j : j + 5] for i in (0, 1) for j in (0, 1)]
  each = [np.einsum("ij,ijc->c", w, params["kernel"][:, :, 0]) for w in windows]
  expected = np.maximum(np.max(each, axis=0) + params["bias"], 0)
  np.testing.assert_allclose(seen.layers[0][0, 2, 2], expected, rtol=1e-4, atol=1e-5)


def test_codes_are_in_deviations(judge, inverters):
  images = judge.images
  values = np.concatenate(
    [
      np.asarray(metrics.look(judge.classifier, images[i : i + 500]).layers[2], np.float64)
      for i in range(0, len(images), 500)
    ]
  )
  deviations = values.std(axis=0)
  is_on = deviations >= 0.05 * deviations.max()
  assert not is_on.all()  # A unit that never changes is off, and 0 whatever it says.
  given = np.asarray(inverters[3].deviations)
  np.testing.assert_allclose(given[is_on], deviations[is_on], rtol=1e-3)  # float32
  assert not given[~is_on].any()
  codes = inverters[3].codes(judge.classifier, pixel_range.to_signed(images[:7]))
  np.testing.assert_allclose(
    codes[:, is_on], values[:7, is_on] / deviations[is_on], rtol=1e-3, atol=1e-3
  )
  assert not codes[:, ~is_on].any()
  means = values[:, is_on].mean(axis=0) / deviations[is_on]
  np.testing.assert_allclose(inverters[3].means[is_on], means, rtol=1e-3, atol=1e-3)


def test_it_gives_back_images_and_more_of_them_from_below(judge, inverters):
  images = judge.held_out
  lost = [preferred.unexplained(inverters[layer], judge.classifier, images) for layer in (1, 3)]
  assert lost[0] < 0.25 < lost[1] < 0.8
  # By numpy, of as many as one batch has.
  signed = np.asarray(images[:50] / 127.5 - 1)
  made = inverters[3].images(inverters[3].codes(judge.classifier, jnp.asarray(signed)))
  assert made.shape == (50, 12, 12, 1) and np.abs(made).max() <= 1
  expected = ((made - signed) ** 2).sum() / ((signed - signed.mean(axis=0)) ** 2).sum()
  given = preferred.unexplained(inverters[3], judge.classifier, images[:50])
  np.testing.assert_allclose(given, expected, rtol=1e-3)  # float32 sums


def test_features_weigh(judge, inverters):
  # Without its second term codes of what it makes are farther from those that it was given.
  bare = preferred.train_inverter(
    jax.random.key(3),
    judge.classifier,
    judge.images,
    layer=3,
    feature_weight=0.0,
    **_OPTIONS,
  )
  images = pixel_range.to_signed(judge.held_out[:200])

  def distance(inverter):
    codes = inverter.codes(judge.classifier, images)
    again = inverter.codes(judge.classifier, inverter.images(codes))
    values, expected = ((each * inverter.deviations) for each in (again, codes))
    found = ((values - expected) ** 2).mean() / (inverter.deviations**2).mean()
    np.testing.assert_allclose(inverter.distance(codes, again), found, rtol=1e-4)  # float32 sums
    return found

  assert distance(inverters[3]) < 0.9 * distance(bare)


def test_preferred_images_are_climbed_to(judge, inverters):
  found = preferred.preferred_images(
    jax.random.key(0), judge.classifier, inverters[3], num_starts=2, num_steps=30
  )
  assert found.images.shape == (10, 2, 12, 12, 1) and found.images.dtype == np.uint8
  assert found.codes.shape == (10, 2, 32) and found.values.shape == (10, 2, 31)
  assert (np.diff(found.values, axis=-1) >= 0).all()
  assert (found.values[..., -1] > found.values[..., 0]).all()
  assert 0 <= found.codes.min() < found.codes.max() <= 3
  logits = judge.classifier.outputs(found.images.reshape(-1, 12, 12, 1)).logits
  own = logits.reshape(10, 2, 10)[np.arange(10), :, np.arange(10)]
  # The objective is of the images that come out, up to their 8 bits.
  squares = 0.005 * (found.codes**2).sum(axis=-1)
  np.testing.assert_allclose(own - squares, found.values[..., -1], atol=0.1)
  assert not np.array_equal(found.codes[:, 0], found.codes[:, 1])


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"layer": 0}, "layer: expected an integer from 1 to 3, got 0"),
    ({"layer": 4}, "layer: expected an integer from 1 to 3, got 4"),
    ({"num_steps": 0}, "num_steps: expected an integer of at least 1, got 0"),
    ({"width": 0}, "width: expected an integer of at least 1, got 0"),
    ({"feature_weight": -1.0}, "feature_weight: expected a finite number of at least 0.0"),
    ({"images": np.zeros((3, 9, 9, 1), np.uint8)}, "images: expected shape [N, 12, 12, 1]"),
    ({"images": np.zeros((0, 12, 12, 1), np.uint8)}, "images: expected at least one image"),
    ({"classifier": 3}, "classifier: expected a Classifier, got int"),
  ],
)
def test_bad_input(judge, change, message):
  arguments = {
    "key": jax.random.key(0),
    "classifier": judge.classifier,
    "images": judge.images[:9],
    "layer": 1,
  }
  with pytest.raises(ValueError, match=re.escape(message)):
    preferred.train_inverter(**arguments | change)


def test_divergence_is_an_error(judge, monkeypatch):
  step = inverter_module._step

  def diverged(*given, **options):
    state, _ = step(*given, **options)
    return state, jnp.float32(np.nan)

  monkeypatch.setattr(inverter_module, "_step", diverged)
  with pytest.raises(FloatingPointError, match=r"nan after 2 steps: .* below 0\.005"):
    preferred.train_inverter(
      jax.random.key(3),
      judge.classifier,
      judge.images,
      layer=3,
      **_OPTIONS | {"num_steps": 2},
    )
