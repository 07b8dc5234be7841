"""`nsn_jax.metrics`: the score against closed forms, and the classifier on real digits."""

import functools
import re

import jax
import numpy as np
import pytest
import safetensors.numpy
from scipy import special, stats

from nsn_jax import data, metrics
from nsn_jax.metrics import classifier as classifier_lib
from nsn_jax.metrics import classifier_training

#: Small enough for a test; the default one is for MNIST's 60,000 images.
_ARCHITECTURE = metrics.Architecture(channels=(16, 32, 64), num_features=64, dropout=0.1)
#: For tests that look at files and shapes, not at accuracy.
_TINY = {
  "num_epochs": 1,
  "architecture": metrics.Architecture(channels=(2,), kernels=(3,), num_features=4),
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
  """(train, test) of scikit-learn's digits: real images, 1,438 and 359."""
  cache_dir = tmp_path_factory.mktemp("data")
  return tuple(data.load("digits", split=split, cache_dir=cache_dir) for split in ("train", "test"))


@pytest.fixture(scope="module")
def trained(digits):
  train, _ = digits
  return metrics.train_classifier(
    jax.random.key(0),
    *train,
    num_epochs=15,
    batch_size=32,
    max_shift=1,
    architecture=_ARCHITECTURE,
  )


@pytest.fixture(scope="module")
def noise():
  """40 images of 6x7 RGB noise with 3 labels."""
  random = np.random.default_rng(0)
  images = random.integers(0, 256, (40, 6, 7, 3), np.uint8)
  return images, (np.arange(40) % 3).astype(np.int32)


@pytest.fixture(scope="module")
def tiny(noise):
  return metrics.train_classifier(jax.random.key(0), *noise, **_TINY)


@pytest.fixture
def trainings(monkeypatch, tiny):
  """One entry for each training, which takes no time: it gives `tiny`, whatever the arguments."""
  calls = []

  @functools.wraps(classifier_training.train_classifier)  # The cache reads the signature.
  def train(*args, **options):
    calls.append((args, options))
    return tiny

  monkeypatch.setattr(classifier_training, "train_classifier", train)
  return calls


def _dirichlet(num_rows, num_classes, seed=0):
  return np.random.default_rng(seed).dirichlet(np.full(num_classes, 0.3), num_rows)


# ---- Inception score ----


@pytest.mark.parametrize("num_classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("num_splits", [1, 3, 10])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_one_hot_and_even_is_the_number_of_classes(num_classes, num_splits, dtype):
  rows = np.tile(np.eye(num_classes, dtype=dtype), (num_splits, 1))
  score = metrics.inception_score(rows, num_splits=num_splits)
  np.testing.assert_allclose(score, (num_classes, 0), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("row", [[1.0], [1.0, 0.0], [0.2, 0.3, 0.5]])
def test_equal_rows_score_one(row):
  score = metrics.inception_score(np.tile(row, (20, 1)))
  np.testing.assert_allclose(score, (1, 0), atol=1e-12)


def test_two_rows_by_hand():
  # p(y) = (5/8, 3/8). Row (1, 0): log(8/5). Row (1/4, 3/4): log(2/5)/4 + 3 log(2)/4.
  # Their sum is 4 log(2) - 5 log(5)/4, their mean's exponential 4 / 5**(5/8).
  expected = 4 / 5 ** (5 / 8)
  score = metrics.inception_score([[1, 0], [0.25, 0.75]], num_splits=1)
  np.testing.assert_allclose(score, (expected, 0), rtol=1e-14)
  # The reverse divergence KL(p(y) || p(y|x)) of these rows is infinite: a swap would show.


@pytest.mark.parametrize(("num_rows", "num_splits"), [(1, 1), (2, 2), (50, 10), (53, 10), (200, 1)])
def test_agrees_with_scipy_entropy(num_rows, num_splits):
  rows = _dirichlet(num_rows, 7)
  # Contiguous; the remainder goes to the first splits, one each.
  sizes = [num_rows // num_splits + (i < num_rows % num_splits) for i in range(num_splits)]
  ends = np.cumsum(sizes)
  scores = []
  for start, end in zip(ends - sizes, ends, strict=True):
    part = rows[start:end]
    marginal = sum(part) / len(part)
    scores.append(np.exp(np.mean([stats.entropy(row, marginal) for row in part])))
  mean = sum(scores) / num_splits
  deviation = (sum((score - mean) ** 2 for score in scores) / num_splits) ** 0.5
  score = metrics.inception_score(rows, num_splits=num_splits)
  np.testing.assert_allclose(score, (mean, deviation), rtol=1e-10, atol=1e-12)


def test_deviation_is_the_populations():
  # Splits of score 2 (both classes) and 1 (one class): mean 1.5, deviation 0.5 with divisor 2.
  rows = np.eye(2)[[0, 1, 0, 0]]
  np.testing.assert_allclose(metrics.inception_score(rows, num_splits=2), (1.5, 0.5), rtol=1e-14)


def test_log_score_is_the_mutual_information():
  # mean KL(p(y|x) || p(y)) = H(y) - H(y|x), by entropies alone.
  rows = _dirichlet(300, 12)
  expected = special.entr(rows.mean(axis=0)).sum() - special.entr(rows).sum(axis=1).mean()
  assert np.log(metrics.inception_score(rows, num_splits=1).mean) == pytest.approx(expected)


def test_order_of_classes_does_not_matter():
  rows = _dirichlet(100, 10)
  order = np.random.default_rng(1).permutation(10)
  np.testing.assert_allclose(
    metrics.inception_score(rows[:, order]), metrics.inception_score(rows), rtol=1e-12
  )


def test_order_within_a_split_does_not_matter_but_splits_are_contiguous():
  rows = np.eye(2)[[0, 1, 0, 1]]
  assert metrics.inception_score(rows, num_splits=2).mean == pytest.approx(2)
  assert metrics.inception_score(rows[[1, 0, 2, 3]], num_splits=2).mean == pytest.approx(2)
  assert metrics.inception_score(rows[[0, 2, 1, 3]], num_splits=2).mean == pytest.approx(1)


def test_score_takes_device_arrays_and_returns_floats():
  score = metrics.inception_score(jax.nn.softmax(jax.random.normal(jax.random.key(0), (30, 5))))
  assert isinstance(score.mean, float) and isinstance(score.deviation, float)
  assert 1 < score.mean < 5


@pytest.mark.parametrize(
  ("rows", "num_splits", "message"),
  [
    (
      np.ones(5),
      1,
      "probabilities: expected shape [N, classes] with N and classes of at least 1, got (5,)",
    ),
    (np.ones((0, 5)), 1, "got (0, 5)"),
    (np.ones((5, 0)), 1, "got (5, 0)"),
    (np.ones((4, 2)) / 2, 0, "num_splits: expected an integer of at least 1, got 0"),
    (np.ones((4, 2)) / 2, 2.0, "num_splits: expected an integer of at least 1, got 2.0"),
    (
      np.ones((4, 2)) / 2,
      5,
      "num_splits: expected at most the number of rows of probabilities, 4, got 5",
    ),
    (
      np.array([[0.5, 0.5], [0.5, 0.502]]),
      1,
      "probabilities: expected rows that sum to 1 within 0.001, got 1.002 in row 1",
    ),
    (np.array([[0.5, 0.5], [0.1, 0.1]]), 1, "got 0.2 in row 1"),
    (np.array([[np.nan, 0.5], [0.5, 0.5]]), 1, "expected finite values, got NaN or infinity in 1"),
    (np.array([[np.inf, 0.5], [0.5, -np.inf]]), 1, "got NaN or infinity in 2 rows"),
    (np.array([[1.5, -0.5]]), 1, "probabilities: expected values in [0, 1], got [-0.5, 1.5]"),
    (np.ones((4, 2)) * (0.5 + 0j), 1, "expected real numbers, got dtype complex128"),
  ],
)
def test_bad_probabilities(rows, num_splits, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.inception_score(rows, num_splits=num_splits)


def test_rows_may_be_off_by_rounding():
  rows = np.array([[0.5, 0.5009], [0.5, 0.4991]])
  assert metrics.inception_score(rows, num_splits=1).mean == pytest.approx(1, abs=2e-3)


# ---- Classifier ----


def test_learns_digits(trained, digits):
  _, test = digits
  assert metrics.accuracy(trained, *test) >= 0.97
  assert trained.num_classes == 10
  assert trained.image_shape == (28, 28, 1)


def test_real_digits_score_near_ten(trained, digits):
  _, test = digits
  score = metrics.inception_score(trained.outputs(test.images).probabilities, num_splits=1)
  assert 9 < score.mean <= 10


def test_outputs(trained, digits):
  images = digits[1].images[:7]
  logits = trained.outputs(images).logits
  assert logits.shape == (7, 10) and logits.dtype == np.float32
  values = trained.outputs(images).features
  assert values.shape == (7, 64) and values.dtype == np.float32 and values.min() >= 0
  rows = trained.outputs(images).probabilities
  assert rows.shape == (7, 10) and rows.dtype == np.float64
  np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
  np.testing.assert_allclose(rows, jax.nn.softmax(logits), atol=1e-6)  # float32 there
  # The logits are the last dense layer on the features.
  last = trained.params["params"]["Dense_1"]
  np.testing.assert_allclose(
    values @ last["kernel"] + last["bias"],
    logits,
    rtol=1e-4,
    atol=1e-4,  # float32 sums of 64
  )


def test_accuracy_is_the_share_of_right_labels(tiny, noise):
  images, _ = noise
  guesses = tiny.outputs(images).logits.argmax(axis=1)
  assert metrics.accuracy(tiny, images, guesses) == 1
  wrong = guesses.copy()
  wrong[:10] = (wrong[:10] + 1) % 3
  assert metrics.accuracy(tiny, images, wrong) == 0.75


@pytest.mark.parametrize("batch_size", [1, 7, 39, 40, 41])
def test_batch_size_does_not_matter(tiny, noise, batch_size):
  images, _ = noise
  whole = tiny.outputs(images).logits
  # Equal but for the order of float32 sums.
  np.testing.assert_allclose(
    tiny.outputs(images, batch_size=batch_size).logits, whole, rtol=1e-5, atol=1e-5
  )


def test_no_images_no_rows(tiny, noise):
  images, _ = noise
  assert tiny.outputs(images[:0]).logits.shape == (0, 3)
  assert tiny.outputs(images[:0]).features.shape == (0, 4)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_max_pool_of_odd_sizes(side):
  x = np.random.default_rng(0).normal(size=(2, side, 4, 3))
  expected = [
    [x[:, row : row + 2, column : column + 2].max(axis=(1, 2)) for column in (0, 2)]
    for row in range(0, side, 2)
  ]
  np.testing.assert_allclose(
    classifier_lib._max_pool(x),
    np.moveaxis(expected, 2, 0),
    rtol=1e-6,  # float32 there
  )


def test_outputs_compile_once(tiny, noise):
  images, _ = noise
  before = classifier_lib._forward._cache_size()
  for num_images in (40, 23, 13, 1):
    tiny.outputs(images[:num_images], batch_size=13)
  tiny.outputs(images, batch_size=13)
  assert classifier_lib._forward._cache_size() == before + 1


def test_training_compiles_one_step(noise):
  before = classifier_training._step._cache_size()
  for seed in range(2):
    metrics.train_classifier(jax.random.key(seed), *noise, **_TINY, batch_size=7, flip=True)
  assert classifier_training._step._cache_size() == before + 1


def test_same_key_same_weights_other_key_others(noise):
  def weights(seed):
    trained = metrics.train_classifier(jax.random.key(seed), *noise, **_TINY)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)])

  np.testing.assert_array_equal(weights(1), weights(1))
  assert np.abs(weights(1) - weights(2)).max() > 0.01


def test_progress_reports_a_falling_loss(noise):
  reports = []
  metrics.train_classifier(
    jax.random.key(0),
    *noise,
    num_epochs=30,
    learning_rate=0.01,
    max_shift=0,
    batch_size=20,
    architecture=metrics.Architecture(channels=(8,), kernels=(3,), num_features=16, dropout=0.0),
    progress=lambda *report: reports.append(report),
  )
  assert [report[:2] for report in reports] == [(epoch + 1, 30) for epoch in range(30)]
  losses = [report[2] for report in reports]
  assert losses[-1] < 0.1 * losses[0]  # 40 images are learnt by heart.


def test_classifier_is_a_pytree(tiny, noise):
  images, _ = noise
  doubled = jax.tree.map(lambda leaf: 2 * leaf, tiny)
  assert doubled.architecture == tiny.architecture
  assert not np.allclose(doubled.outputs(images).logits, tiny.outputs(images).logits)


@pytest.mark.parametrize("max_shift", [0, 1, 2])
def test_augmentation_shifts_and_mirrors(max_shift):
  image = np.zeros((9, 9, 1), np.uint8)
  image[4, 2] = 255  # Left of the middle, so a mirrored one shows.
  batch = np.tile(image, (200, 1, 1, 1))
  moved = np.asarray(classifier_training._augment(jax.random.key(0), batch, max_shift, True))
  assert (moved.sum(axis=(1, 2, 3)) == 255).all()
  _, rows, columns, _ = np.nonzero(moved)
  span = set(range(-max_shift, max_shift + 1))
  assert set(rows - 4) == span
  assert set(columns) == {2 + shift for shift in span} | {6 + shift for shift in span}
  plain = np.asarray(classifier_training._augment(jax.random.key(0), batch, max_shift, False))
  assert set(np.nonzero(plain)[2] - 2) == span


def test_divergence_is_an_error(noise):
  with pytest.raises(FloatingPointError, match="learning_rate below 1e\\+30"):
    metrics.train_classifier(
      jax.random.key(0), *noise, **_TINY | {"num_epochs": 5}, learning_rate=1e30
    )


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (
      {"images": np.zeros((40, 6, 7), np.uint8)},
      "images: expected images of shape [N, H, W, C], got (40, 6, 7)",
    ),
    ({"images": np.zeros((40, 6, 7, 3))}, "images: expected uint8 in 0-255, got float64"),
    ({"images": "a.png"}, "images: expected an array [N, H, W, C], got str"),
    ({"images": np.zeros((0, 6, 7, 3), np.uint8), "labels": np.zeros(0, int)}, "got none"),
    ({"labels": np.zeros(39, int)}, "labels: expected one for each image, shape (40,), got (39,)"),
    ({"labels": np.zeros(40)}, "labels: expected integers, got float64"),
    ({"labels": np.full(40, -1)}, "labels: expected labels from 0, got -1 to -1"),
    ({"labels": np.zeros(40, int)}, "labels: expected at least two classes"),
    ({"num_classes": 2}, "labels: expected labels from 0 and below 2, got 0 to 2"),
    ({"num_classes": 1}, "num_classes: expected an integer of at least 2, got 1"),
    ({"num_epochs": 0}, "num_epochs: expected an integer of at least 1, got 0"),
    ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
    ({"max_shift": -1}, "max_shift: expected an integer of at least 0, got -1"),
    ({"learning_rate": 0.0}, "learning_rate: expected a number above 0, got 0.0"),
    ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0, got nan"),
    ({"key": 0}, "key: expected one PRNG key"),
  ],
)
def test_bad_training_input(noise, change, message):
  images, labels = noise
  arguments = {"key": jax.random.key(0), "images": images, "labels": labels, **_TINY, **change}
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.train_classifier(**arguments)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"channels": (8, 8)}, "kernels: expected one for each of channels (8, 8), got (5, 5, 3)"),
    ({"channels": (), "kernels": ()}, "kernels: expected one for each of channels ()"),
    ({"channels": [8, 8, 8]}, "channels: expected a tuple, as it is hashed, got [8, 8, 8]"),
    ({"channels": (8, 0, 8)}, "channels: expected an integer of at least 1, got 0"),
    ({"kernels": (5, 4, 3)}, "kernels: expected odd sizes, got (5, 4, 3)"),
    ({"num_features": 0}, "num_features: expected an integer of at least 1, got 0"),
    ({"dropout": 1.0}, "dropout: expected a number in [0, 1), got 1.0"),
  ],
)
def test_bad_architecture(change, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.Architecture(**change)


def test_bad_prediction_input(tiny, noise):
  images, labels = noise
  with pytest.raises(
    ValueError, match=re.escape("images: expected shape [N, 6, 7, 3], got (40, 6, 6, 3)")
  ):
    tiny.outputs(images[:, :, :6])
  with pytest.raises(ValueError, match="images: expected uint8 in 0-255, got float32"):
    tiny.outputs(images / np.float32(255))
  with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1, got 0"):
    tiny.outputs(images, batch_size=0)
  with pytest.raises(ValueError, match="labels: expected labels from 0 and below 3, got 1 to 3"):
    metrics.accuracy(tiny, images, labels + 1)
  with pytest.raises(ValueError, match="images: expected at least one image, got none"):
    metrics.accuracy(tiny, images[:0], labels[:0])


# ---- Files ----


def test_saved_and_loaded_gives_identical_logits(trained, digits, tmp_path):
  path = tmp_path / "new" / "digits.safetensors"
  metrics.save_classifier(path, trained)
  loaded = metrics.load_classifier(path)
  images = digits[1].images
  np.testing.assert_array_equal(loaded.outputs(images).logits, trained.outputs(images).logits)
  assert jax.tree.structure(loaded) == jax.tree.structure(trained)
  assert list(path.parent.iterdir()) == [path]  # No temporary file stays.


def test_save_replaces_and_a_failed_save_leaves_the_old_file(tiny, tmp_path, monkeypatch):
  path = tmp_path / "a.safetensors"
  path.write_text("old")

  def fail(*_):
    raise OSError("disk full")

  with monkeypatch.context() as patch:
    patch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
      metrics.save_classifier(path, tiny)
  assert path.read_text() == "old"
  assert list(tmp_path.iterdir()) == [path]
  metrics.save_classifier(path, tiny)
  assert metrics.load_classifier(path).num_classes == 3


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_file(tiny, tmp_path, share):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(ValueError, match=r"path: expected a whole safetensors file, got .*a\.safete"):
    metrics.load_classifier(path)


def test_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError):
    metrics.load_classifier(tmp_path / "none.safetensors")


def _rewrite(path, change):
  """Loads a file's arrays and metadata, changes them in place and writes them back."""
  with safetensors.safe_open(path, framework="numpy") as file:
    metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  change(arrays, metadata)
  path.write_bytes(safetensors.numpy.save(arrays, metadata))


_KERNEL, _ENTRY = "params/Conv_0/kernel", "nsn_jax.classifier"


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda arrays, metadata: metadata.clear(), "expected a file written by save_classifier"),
    (lambda arrays, metadata: metadata.update({_ENTRY: "{"}), "expected the fields of a classif"),
    (lambda arrays, metadata: metadata.update({_ENTRY: "[]"}), "expected the fields of a classif"),
    (
      lambda arrays, metadata: metadata.update(
        {_ENTRY: metadata[_ENTRY].replace('"num_features"', '"width"')}
      ),
      "expected the fields of a classifier",
    ),
    (
      lambda arrays, metadata: metadata.update(
        {_ENTRY: metadata[_ENTRY].replace('"num_classes": 3', '"num_classes": 4')}
      ),
      "got 2 others: params/Dense_1/bias should be ",
    ),
    (lambda arrays, metadata: arrays.pop(_KERNEL), "got 1 others: params/Conv_0/kernel should be"),
    (lambda arrays, metadata: arrays.update({"x": np.ones(1)}), "x should be None"),
    (
      lambda arrays, metadata: arrays.update({_KERNEL: arrays[_KERNEL].astype(np.float16)}),
      "got 1 others: params/Conv_0/kernel should be ((3, 3, 3, 2), 'float32')",
    ),
    (lambda arrays, metadata: arrays[_KERNEL].fill(np.nan), "got NaN or infinity in params/Conv_0"),
  ],
)
def test_file_of_something_else(tiny, tmp_path, change, message):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  _rewrite(path, change)
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.load_classifier(path)


# ---- Cache ----


def _cached(noise, cache_dir, key=None, name="noise", **options):
  key = jax.random.key(0) if key is None else key
  options = {**_TINY, **options}
  return metrics.trained_classifier(key, name, noise, noise, cache_dir=cache_dir, **options)


def test_training_goes_into_the_cache(noise, tmp_path):
  first, second = _cached(noise, tmp_path), _cached(noise, tmp_path)
  assert (first.from_cache, second.from_cache) == (False, True)
  assert first.test_accuracy == second.test_accuracy
  assert first.test_accuracy == metrics.accuracy(first.classifier, *noise)
  logits = (output.classifier.outputs(noise[0]).logits for output in (first, second))
  np.testing.assert_array_equal(*logits)
  (file,) = tmp_path.iterdir()
  assert re.fullmatch(r"noise-[0-9a-f]{24}\.safetensors", file.name)


def test_second_time_does_not_train(noise, tmp_path, trainings):
  for count in (1, 1, 1):
    _cached(noise, tmp_path)
    assert len(trainings) == count
  ((_, options),) = trainings
  assert options == {**_TINY, "progress": None}


def test_anything_that_decides_the_weights_makes_a_new_entry(noise, tmp_path, trainings):
  images, labels = noise
  other_images, other_labels = images.copy(), labels.copy()
  other_images[-1, -1, -1, -1] ^= 1
  other_labels[-1] = (other_labels[-1] + 1) % 3
  variants = [
    _cached(noise, tmp_path),
    _cached((other_images, labels), tmp_path),
    _cached((images, other_labels), tmp_path),
    _cached(noise, tmp_path, key=jax.random.key(1)),
    _cached(noise, tmp_path, num_epochs=2),
    _cached(noise, tmp_path, flip=True),
    _cached(
      noise,
      tmp_path,
      architecture=metrics.Architecture(channels=(2,), kernels=(3,), num_features=5),
    ),
  ]
  assert not any(variant.from_cache for variant in variants)
  assert len(trainings) == len(variants)
  assert len(list(tmp_path.iterdir())) == len(variants)


def test_what_does_not_decide_the_weights_does_not(noise, tmp_path, trainings):
  images, labels = noise
  _cached(noise, tmp_path)
  assert _cached((jax.numpy.asarray(images), labels.astype(np.int64)), tmp_path).from_cache
  assert _cached(noise, tmp_path, max_shift=2, batch_size=np.int64(128)).from_cache  # Defaults.
  assert _cached(noise, tmp_path, progress=print).from_cache


def test_default_folder(noise, tmp_path, monkeypatch, trainings):
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "cache"))
  assert not _cached(noise, None).from_cache
  assert _cached(noise, None).from_cache
  assert len(list((tmp_path / "cache").iterdir())) == 1


def test_folder_that_cannot_be_written_only_warns(noise, tmp_path, warnings, trainings):
  blocked = tmp_path / "file"
  blocked.write_text("")  # A file where the folder should be: fails for root as well.
  assert not _cached(noise, blocked / "cache").from_cache
  assert len(trainings) == 1
  assert any("a classifier cannot be kept in" in warning for warning in warnings)


def test_damaged_entry_is_trained_anew(noise, tmp_path, warnings, trainings):
  _cached(noise, tmp_path)
  (file,) = tmp_path.iterdir()
  file.write_bytes(file.read_bytes()[:100])
  assert not _cached(noise, tmp_path).from_cache
  assert "is trained anew" in warnings[0]
  assert _cached(noise, tmp_path).from_cache


def test_bad_cache_input(noise, tmp_path):
  images, labels = noise
  key = jax.random.key(0)
  with pytest.raises(TypeError, match="num_epochs"):
    metrics.trained_classifier(key, "a", noise, noise, cache_dir=tmp_path)
  with pytest.raises(TypeError, match="speed"):
    _cached(noise, tmp_path, speed=1)
  with pytest.raises(
    ValueError, match=re.escape("name: expected letters, digits, '_', '.' and '-', got '../a'")
  ):
    _cached(noise, tmp_path, name="../a")
  with pytest.raises(ValueError, match=re.escape("train: expected (images, labels), got 3 values")):
    metrics.trained_classifier(key, "a", (images, labels, labels), noise, num_epochs=1)
  other = (images[:, :5], labels)
  with pytest.raises(ValueError, match=re.escape("test images: expected shape [N, 6, 7, 3]")):
    metrics.trained_classifier(key, "a", noise, other, num_epochs=1)
