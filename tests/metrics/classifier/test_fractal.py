"""FractalNet: its recursion by hand and by numpy, drop-path, and one that learns digits."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from scipy import signal

from nsn_jax import data, metrics
from nsn_jax.metrics.classifier import fractal, storage

#: Trains in seconds.
_SMALL = metrics.FractalArchitecture(channels=(8, 24), columns=2, dropout=0.0)
_OPTIONS = {
  "num_epochs": 7,
  "batch_size": 32,
  "learning_rate": 0.01,
  "max_shift": 0,
  "architecture": _SMALL,
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
  """(train, test) of scikit-learn's digits, 8x8 in a frame: 12x12."""
  cache_dir = tmp_path_factory.mktemp("data")
  return tuple(
    data.load("digits", split=split, image_size=12, cache_dir=cache_dir)
    for split in ("train", "test")
  )


@pytest.fixture(scope="module")
def found(digits, tmp_path_factory):
  """The small one, from the cache's hands, and the cache."""
  folder = tmp_path_factory.mktemp("cache")
  train, test = digits
  key = jax.random.key(0)
  given = metrics.trained_classifier(key, "digits", train, test, cache_dir=folder, **_OPTIONS)
  return given, folder


def _block(columns, width=1, drop_path=0.0):
  return fractal.FractalBlock(width=width, columns=columns, drop_path=drop_path)


def _init(block, z):
  return jax.jit(lambda z: block.init(jax.random.key(1), z, None, is_training=False))(z)


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_a_block_has_all_convolutions_but_one_of_a_power_of_two(columns):
  variables = jax.eval_shape(
    lambda: _block(columns, width=2).init(
      jax.random.key(0), jnp.ones((1, 4, 4, 2)), None, is_training=False
    )
  )
  sizes = [leaf.size for leaf in jax.tree.leaves(variables["params"])]
  # 3x3 from 2 to 2 channels, and scale and bias of the normalisation.
  assert sum(sizes) == (2**columns - 1) * (3 * 3 * 2 * 2 + 2 + 2)


def _doubling(columns):
  """Variables of a block whose convolutions each double what comes, and hence count themselves."""
  block = _block(columns)
  variables = jax.eval_shape(lambda: _init(block, jnp.ones((1, 3, 3, 1))))

  def leaf(path, shape):
    name = path[-1].key
    if name == "kernel":
      return jnp.zeros(shape.shape).at[1, 1].set(2.0)
    # The normalisation undone: variance 1 and its epsilon.
    values = {"scale": np.sqrt(1 + 1e-5), "bias": 0.0, "mean": 0.0, "var": 1.0}
    return jnp.full(shape.shape, values[name])

  return block, jax.tree_util.tree_map_with_path(leaf, variables)


def _through(block, variables, route, z=None, **options):
  z = jnp.ones((1, 3, 3, 1)) if z is None else z
  return np.asarray(block.apply(variables, z, route, is_training=False, **options))


def test_paths_by_hand():
  block, variables = _doubling(3)
  # The first half ends in the mean of 4 and 2, which is 3; the second makes 12 and 6 of it, and the
  # short column has 2: the joins of the second half and of the whole are one, of three.
  np.testing.assert_allclose(_through(block, variables, None), (12 + 6 + 2) / 3, rtol=1e-6)
  # So many convolutions in series: 1, 2, and 4, which is 2^(C-1), the longest path.
  for column, doublings in ((1, 1), (2, 2), (3, 4)):
    np.testing.assert_allclose(_through(block, variables, column), 2**doublings, rtol=1e-6)


def test_a_join_is_the_mean_as_numpy_has_it():
  rng = np.random.default_rng(0)
  block, z = _block(2, width=2), rng.normal(size=(1, 5, 4, 3)).astype(np.float32)
  variables = jax.tree.map(
    lambda leaf: rng.uniform(0.3, 1.0, leaf.shape).astype(np.float32), _init(block, z)
  )

  def conv(number, x):
    name, norm = f"Conv_{number}", f"RouteNorm_{number}"
    kernel = variables["params"][name]["kernel"]
    y = np.stack(
      [
        sum(
          signal.correlate2d(x[..., i], kernel[..., i, o], mode="same") for i in range(x.shape[-1])
        )
        for o in range(kernel.shape[-1])
      ],
      axis=-1,
    )
    learnt, counted = variables["params"][norm], variables["batch_stats"][norm]
    y = (y - counted["mean"][0]) / np.sqrt(counted["var"][0] + 1e-5)
    return np.maximum(y * learnt["scale"] + learnt["bias"], 0)

  expected = (conv(2, conv(1, z[0])) + conv(0, z[0])) / 2
  # float32 sums of tens of values.
  np.testing.assert_allclose(_through(block, variables, None, z)[0], expected, rtol=1e-4)


@pytest.fixture(scope="module")
def random_block():
  """A block of three columns, of random weights, and what it is given."""
  z = jax.random.normal(jax.random.key(3), (2, 4, 4, 2))
  block = _block(3, width=4, drop_path=0.5)
  return block, _init(block, z), z


def test_global_drop_path_is_that_column_alone(random_block):
  block, variables, z = random_block
  through = jax.jit(
    lambda column, key: block.apply(
      variables,
      z,
      fractal.Path(jnp.bool_(True), column),
      is_training=False,
      rngs={"dropout": key},
    )
  )
  alone = [_through(block, variables, column, z) for column in (1, 2, 3)]
  for column in (1, 2, 3):
    given = through(jnp.int32(column), jax.random.key(column))
    # To rounding: others' share is exactly 0.
    np.testing.assert_allclose(given, alone[column - 1], rtol=1e-5, atol=1e-6)
  assert np.abs(alone[0] - alone[1]).max() > 0.1 and np.abs(alone[1] - alone[2]).max() > 0.1


def test_local_drop_path_is_one_of_the_ways_there_are():
  block, variables = _doubling(2)
  block = dataclasses.replace(block, drop_path=0.5)
  path = fractal.Path(jnp.bool_(False), jnp.int32(1))
  through = jax.jit(
    jax.vmap(
      lambda key: block.apply(
        variables, jnp.ones((1, 3, 3, 1)), path, is_training=False, rngs={"dropout": key}
      )[0, 1, 1, 0]
    )
  )
  found = np.asarray(through(jax.random.split(jax.random.key(0), 4000)))
  # The long column alone, the short one, and both: a path that is dropped has no part in the mean.
  ways, counts = np.unique(found.round(4), return_counts=True)
  np.testing.assert_allclose(ways, [2, 3, 4])
  # A quarter has both; a half one that was drawn; none in a quarter, where either stays. Three
  # standard errors of 4,000 draws.
  np.testing.assert_allclose(counts / 4000, [3 / 8, 1 / 4, 3 / 8], atol=0.023)


@pytest.mark.parametrize(("num_inputs", "drop_path"), [(1, 0.6), (3, 0.6)])
def test_local_drop_path_keeps_the_share_it_should_and_never_none(num_inputs, drop_path):
  keys = jax.random.split(jax.random.key(0), 20_000)
  keep = jax.jit(jax.vmap(lambda key: fractal.kept(key, num_inputs, drop_path)))
  kept = np.asarray(keep(keys))
  assert kept.any(axis=1).all()
  expected = (1 - drop_path) + drop_path**num_inputs / num_inputs
  # Four standard errors of 20,000 draws.
  np.testing.assert_allclose(kept.mean(axis=0), expected, atol=4 * 0.5 / 20_000**0.5)


def test_moments_are_counted_for_each_route_apart():
  norm = fractal.RouteNorm(columns=2)
  x = np.random.default_rng(0).normal(3.0, 2.0, (5, 2, 2, 1)).astype(np.float32)
  variables = norm.init(jax.random.key(0), x, None, is_training=False)
  path = fractal.Path(jnp.bool_(True), jnp.int32(2))
  y, counted = norm.apply(variables, x, path, is_training=True, mutable=["batch_stats"])
  np.testing.assert_allclose(y, (x - x.mean()) / x.std(), rtol=1e-4, atol=1e-4)  # float32, epsilon
  # A tenth of the way for the column that the batch went through, and none for the others.
  moments = counted["batch_stats"]
  np.testing.assert_allclose(moments["mean"][:, 0], [0, 0, 0.1 * x.mean()], rtol=1e-5)
  np.testing.assert_allclose(moments["var"][:, 0], [1, 1, 0.9 + 0.1 * x.var()], rtol=1e-5)
  for route, mean in ((None, 0.0), (1, 0.0), (2, 0.1 * x.mean())):
    given = norm.apply({**variables, **counted}, x, route, is_training=False)
    variance = moments["var"][route or 0, 0]
    np.testing.assert_allclose(given, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-4, atol=1e-4)


def test_nothing_is_dropped_in_evaluation(random_block):
  block, variables, z = random_block
  # Without any stream of randomness, where half of all paths would be dropped in training.
  np.testing.assert_array_equal(
    _through(block, variables, None, z), _through(block, variables, None, z)
  )
  with pytest.raises(Exception, match="dropout"):
    _through(block, variables, fractal.Path(jnp.bool_(False), jnp.int32(1)), z)


def test_it_learns_digits_and_its_deepest_column_alone_does(found, digits):
  classifier = found[0].classifier
  assert found[0].test_accuracy >= 0.9
  alone = [
    metrics.accuracy(metrics.column_alone(classifier, column), *digits[1]) for column in (1, 2)
  ]
  # The shallow one, of a convolution a block, is far behind.
  assert alone[1] >= max(found[0].test_accuracy - 0.15, alone[0])
  whole = metrics.column_alone(metrics.column_alone(classifier, 1), None)
  np.testing.assert_array_equal(
    whole.outputs(digits[1].images).logits, classifier.outputs(digits[1].images).logits
  )


def test_outputs_are_those_of_any_classifier(found, digits):
  images = digits[1].images[:7]
  classifier = found[0].classifier
  given = classifier.outputs(images)
  assert given.logits.shape == (7, 10) and given.features.shape == (7, 24)
  assert given.features.min() >= 0
  np.testing.assert_allclose(given.probabilities.sum(axis=1), 1, rtol=1e-12)
  # The logits are the last layer on the features.
  last = classifier.params["params"]["Dense_0"]
  np.testing.assert_allclose(
    given.features @ last["kernel"] + last["bias"],
    given.logits,
    rtol=1e-4,
    atol=1e-4,  # float32 sums of 24
  )
  # Images are not normalised by each other.
  one_by_one = classifier.outputs(images, batch_size=1).logits
  np.testing.assert_allclose(one_by_one, given.logits, rtol=1e-4, atol=1e-4)


def test_saved_and_loaded_it_is_the_same(found, digits, tmp_path):
  classifier = metrics.column_alone(found[0].classifier, 2)
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, classifier)
  loaded = metrics.load_classifier(path)
  assert loaded.architecture == classifier.architecture
  images = digits[1].images[:50]
  np.testing.assert_array_equal(loaded.outputs(images).logits, classifier.outputs(images).logits)


def test_the_cache_knows_it_by_what_it_is(found, digits, monkeypatch):
  train, test = digits
  key, folder = jax.random.key(0), found[1]
  monkeypatch.setattr(
    "nsn_jax.metrics.classifier.training._train", lambda *_: pytest.fail("trained")
  )

  def again(**change):
    options = _OPTIONS | {"architecture": dataclasses.replace(_SMALL, **change)}
    return metrics.trained_classifier(key, "digits", train, test, cache_dir=folder, **options)

  assert again().from_cache
  for change in ({"drop_path": 0.2}, {"column": 2}, {"global_share": 0.4}):
    with pytest.raises(pytest.fail.Exception, match="trained"):
      again(**change)


def _static(path):
  with safetensors.safe_open(path, framework="numpy") as file:
    return json.loads(json.loads(file.metadata()["nsn_jax.classifier"])["static"])


def test_files_of_before_stay_as_they_were(tiny, found, tmp_path, monkeypatch):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  assert _static(path)["architecture"] == {
    "channels": [2],
    "kernels": [3],
    "num_features": 4,
    "dropout": 0.3,
  }
  metrics.save_classifier(path, found[0].classifier)
  assert _static(path)["architecture"]["kind"] == "fractal"
  # As a version that does not know it.
  monkeypatch.delitem(storage.LAYOUTS, "fractal")
  with pytest.raises(ValueError, match=r"expected the fields of a classifier .*'fractal'"):
    metrics.load_classifier(path)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"channels": ()}, "channels: expected those of one block at least, got none"),
    ({"channels": [8]}, "channels: expected a tuple, as it is hashed, got [8]"),
    ({"columns": 0}, "columns: expected an integer from 1 to 6, got 0"),
    ({"drop_path": 1.0}, "drop_path: expected a number in [0, 1), got 1.0"),
    ({"dropout": -0.1}, "dropout: expected a number in [0, 1), got -0.1"),
    ({"global_share": 1.5}, "global_share: expected a number in [0, 1], got 1.5"),
    ({"column": 4}, "column: expected an integer from 1 to 3, got 4"),
  ],
)
def test_bad_architecture(change, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.FractalArchitecture(**change)


def test_a_column_of_what_has_none(tiny, found):
  with pytest.raises(ValueError, match="architecture: expected a FractalArchitecture, got Archit"):
    metrics.column_alone(tiny, 1)
  with pytest.raises(ValueError, match="column: expected an integer from 1 to 2, got 3"):
    metrics.column_alone(found[0].classifier, 3)
