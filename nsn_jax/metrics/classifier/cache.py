"""Classifiers that are trained once for each data set and recipe."""

import hashlib
import inspect
import json
import os
import pathlib
import re
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from nsn_jax import checks, files
from nsn_jax.metrics import inputs
from nsn_jax.metrics.classifier import network, storage, training
from nsn_jax.metrics.classifier.layout import Layout
from nsn_jax.metrics.classifier.network import Classifier
from nsn_jax.metrics.classifier.training import OnEpoch

__all__ = ["TrainedClassifier", "trained_classifier"]

#: Part of every file's name: raise it when the same arguments begin to give other weights.
_VERSION = 2


class TrainedClassifier(NamedTuple):
  """A classifier and how good it is.

  Attributes:
    classifier: trained on `train`.
    test_accuracy: share of the `test` images that it names rightly, in [0, 1].
    from_cache: whether it was read and not trained.
  """

  classifier: Classifier
  test_accuracy: float
  from_cache: bool


def trained_classifier(
  key: jax.Array,
  name: str,
  train: tuple[inputs.Array, inputs.Array],
  test: tuple[inputs.Array, inputs.Array],
  *,
  cache_dir: str | os.PathLike | None = None,
  progress: OnEpoch | None = None,
  **options: Any,
) -> TrainedClassifier:
  """Returns the classifier of these arguments from the cache, or trains it and puts it there.

  The file's name holds a hash of key, images, labels and options, so a change of any of them trains
  anew. Trouble with the cache is a warning in the log, never an error.

  Args:
    key: PRNG key of the training.
    name: begins the file's name, for people: letters, digits, `_`, `.` and `-`; does not change
      the training.
    train: (images uint8 [N, H, W, C], labels integer [N]), N >= 1; a `nsn_jax.data.Dataset` is one.
    test: as `train`, of the same image shape, M >= 1; decides `test_accuracy` alone.
    cache_dir: folder of the cache, made if need be; None for `$NSN_JAX_CACHE`, or
      `~/.cache/nsn_jax` where that is not set.
    progress: called after each epoch with (epochs done, num_epochs, mean loss of the epoch).
    **options: the other keywords of `train_classifier`, `num_epochs` among them.

  Returns:
    The classifier and its accuracy on `test`.

  Raises:
    TypeError: if an option is not one of `train_classifier` or `num_epochs` is missing.
    ValueError: if an argument is not as said here or in `train_classifier`.
    FloatingPointError: if the training diverges.
  """
  _check(key, name, train, test)
  path, recipe = _folder(cache_dir), ""
  if path is not None:
    recipe = _digest(key, *train, options)
    path /= f"{name}-{recipe}.safetensors"
  found = None if path is None else _read(path, recipe)
  classifier = found
  if classifier is None:
    classifier = training.train_classifier(key, *train, progress=progress, **options)
    if path is not None:
      _write(path, classifier, recipe)
  test_accuracy = network.accuracy(classifier, *test)
  logging.info("%s: test accuracy of its classifier %.4f", name, test_accuracy)
  return TrainedClassifier(classifier, test_accuracy, found is not None)


def _check(
  key: jax.Array,
  name: str,
  train: tuple[inputs.Array, inputs.Array],
  test: tuple[inputs.Array, inputs.Array],
) -> None:
  """Raises ValueError for what would break the hash, or be found only after the training."""
  checks.key("key", key)
  if not re.fullmatch(r"\w[\w.-]*", name):
    raise ValueError(f"name: expected letters, digits, '_', '.' and '-', got {name!r}")
  for argument, pair in (("train", train), ("test", test)):
    if len(pair) != 2:
      raise ValueError(f"{argument}: expected (images, labels), got {len(pair)} values")
  inputs.images("train images", train[0])
  inputs.labels("train labels", train[1], len(train[0]))
  inputs.images("test images", test[0], tuple(train[0].shape[1:]))
  inputs.labels("test labels", test[1], len(test[0]))
  if not len(test[0]):
    raise ValueError("test images: expected at least one image, got none")


def _digest(
  key: jax.Array, images: inputs.Array, labels: inputs.Array, options: dict[str, Any]
) -> str:
  """Hash of everything that decides the weights: 24 hexadecimal digits."""
  # Defaults are bound, so an option given at its default has the same hash as one left out.
  signature = inspect.signature(training.train_classifier)
  bound = signature.bind(key, images, labels, **options)
  bound.apply_defaults()
  recipe = {
    name: value
    for name, value in bound.arguments.items()
    if name not in ("key", "images", "labels", "progress")
  }
  is_typed = jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
  recipe["key"] = [str(key.dtype), np.asarray(jax.random.key_data(key) if is_typed else key)]
  digest = hashlib.sha256(json.dumps([_VERSION, recipe], default=_plain, sort_keys=True).encode())
  for array in (np.asarray(images), np.asarray(labels, np.int32)):
    digest.update(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()[:24]


def _plain(value: Any) -> Any:
  """JSON-like form of an architecture, or of a NumPy value."""
  return storage.fields(value) if isinstance(value, Layout) else value.tolist()


def _folder(cache_dir: str | os.PathLike | None) -> pathlib.Path | None:
  """The cache's folder, or None where there is no home to keep it in."""
  try:
    return pathlib.Path(files.cache_dir() if cache_dir is None else cache_dir).expanduser()
  except RuntimeError as error:
    logging.warning("cache_dir: no home folder to keep classifiers in (%s)", error)
    return None


def _read(path: pathlib.Path, recipe: str) -> Classifier | None:
  """The cached classifier, or None where there is none or it is damaged."""
  try:
    return storage.load_classifier(path, recipe=recipe)
  except FileNotFoundError:
    return None
  except (OSError, ValueError) as error:
    logging.warning("cache_dir: %s cannot be read and is trained anew (%s)", path, error)
    return None


def _write(path: pathlib.Path, classifier: Classifier, recipe: str) -> None:
  """Puts a classifier into the cache, or warns."""
  try:
    storage.save_classifier(path, classifier, recipe=recipe)
  except OSError as error:
    logging.warning("cache_dir: a classifier cannot be kept in %s (%s)", path.parent, error)
