"""The cache of classifiers: what trains anew and what does not, and a cache that fails."""

import re

import jax
import numpy as np
import pytest

from nsn_jax import metrics
from tests.metrics.classifier.helpers import TINY


def _cached(noise, cache_dir, key=None, name="noise", **options):
  key = jax.random.key(0) if key is None else key
  options = {**TINY, **options}
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
  assert options == {**TINY, "progress": None}


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
