"""Classifiers as safetensors files: arrays and JSON, no code runs on load."""

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from nsn_jax import checks, files
from nsn_jax.metrics.classifier.convolutional import Architecture
from nsn_jax.metrics.classifier.fractal import FractalArchitecture
from nsn_jax.metrics.classifier.layout import Layout
from nsn_jax.metrics.classifier.network import Classifier

__all__ = ["LAYOUTS", "fields", "load_classifier", "save_classifier"]

#: By their names in files.
LAYOUTS: dict[str, type[Layout]] = {of.kind: of for of in (Architecture, FractalArchitecture)}

#: Entry of the file's metadata that holds the static fields as JSON.
_ENTRY = "nsn_jax.classifier"


def fields(architecture: Layout) -> dict[str, Any]:
  """What tells an architecture from all others, as JSON-like values."""
  values = dataclasses.asdict(architecture)
  # Files and the cache's hashes of before there were several have no kind.
  return values if type(architecture) is Architecture else {"kind": architecture.kind, **values}


def save_classifier(path: str | os.PathLike, classifier: Classifier, *, recipe: str = "") -> None:
  """Writes a classifier to a safetensors file.

  The file is written beside `path` and renamed, so no reader sees half of one.

  Args:
    path: of the file; its folder is made if need be, an older file is replaced.
    classifier: from `train_classifier` or `load_classifier`.
    recipe: a name of what it was trained by, for the reader.

  Raises:
    ValueError: for what is no classifier.
    OSError: if the file cannot be written.
  """
  target = checks.path("path", path)
  checks.instance("classifier", classifier, Classifier)
  arrays = traverse_util.flatten_dict(jax.device_get(classifier.params), sep="/")
  static = {
    "num_classes": classifier.num_classes,
    "image_shape": classifier.image_shape,
    "architecture": fields(classifier.architecture),
    "recipe": recipe,
  }
  arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
  text = json.dumps(static, sort_keys=True)
  # One entry: those of several come in any order, and equal classifiers should be equal bytes.
  entry = json.dumps({"static": text, "sha256": files.digest(arrays, text)}, sort_keys=True)
  content = safetensors.numpy.save(arrays, {_ENTRY: entry})
  target.parent.mkdir(parents=True, exist_ok=True)
  files.write_bytes(target, content)


def load_classifier(path: str | os.PathLike, *, recipe: str | None = None) -> Classifier:
  """Reads what `save_classifier` wrote.

  Args:
    path: of the file; it need not be trusted.
    recipe: that the file must name; None for any.

  Returns:
    The classifier, with the same logits to the last bit on the same device.

  Raises:
    OSError: if the file cannot be read (FileNotFoundError where there is none).
    ValueError: if it is truncated, no classifier's, of another checksum or recipe, or its arrays
      are not those of its architecture, or not finite.
  """
  source = checks.path("path", path)
  try:
    with safetensors.safe_open(source, framework="numpy") as file:
      metadata = file.metadata() or {}
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except safetensors.SafetensorError as error:
    raise ValueError(
      f"path: expected a whole safetensors file, got {source}, which is damaged ({error})"
    ) from error
  if _ENTRY not in metadata:
    raise ValueError(
      f"path: expected a file written by save_classifier, got {source} without {_ENTRY!r} in its "
      "metadata"
    )
  text = _checked_text(source, metadata[_ENTRY], arrays, recipe)
  num_classes, image_shape, architecture = _static(source, text)
  _check_arrays(source, arrays, num_classes, image_shape, architecture)
  params = traverse_util.unflatten_dict(
    {name: jnp.asarray(array) for name, array in arrays.items()}, sep="/"
  )
  return Classifier(params, num_classes, image_shape, architecture)


def _checked_text(
  source: pathlib.Path, entry: str, arrays: dict[str, np.ndarray], recipe: str | None
) -> str:
  """The JSON of the static fields, once the file is known to be as it was written."""
  try:
    whole = json.loads(entry)
    text = whole.get("static", entry)  # Files of before have the fields alone, and no checksum.
    expected = whole.get("sha256", "none")
    named = json.loads(text).get("recipe", "")
  except (AttributeError, TypeError, ValueError, RecursionError) as error:
    raise ValueError(f"path: expected the fields of a classifier in {source} ({error})") from error
  if text is not entry and expected != files.digest(arrays, text):
    raise ValueError(f"path: expected the checksum that was written in {source}, got another")
  if recipe is not None and named != recipe:
    raise ValueError(f"path: expected a classifier of recipe {recipe} in {source}, got {named!r}")
  return text


def _static(source: pathlib.Path, text: str) -> tuple[int, tuple[int, int, int], Layout]:
  """The static fields of a classifier from their JSON, or ValueError."""
  try:
    static = json.loads(text)
    layout: dict[str, Any] = {
      name: tuple(value) if isinstance(value, list) else value
      for name, value in static["architecture"].items()
    }
    kind = LAYOUTS[layout.pop("kind", Architecture.kind)]
    checks.integer("num_classes", static["num_classes"], 2)
    height, width, channels = static["image_shape"]
    for side in (height, width, channels):
      checks.integer("image_shape", side, 1)
    return static["num_classes"], (height, width, channels), kind(**layout)
  except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
    raise ValueError(
      f"path: expected the fields of a classifier in the metadata of {source}, got {text[:200]!r} "
      f"({error})"
    ) from error


def _check_arrays(
  source: pathlib.Path,
  arrays: dict[str, np.ndarray[Any, Any]],
  num_classes: int,
  image_shape: tuple[int, int, int],
  architecture: Layout,
) -> None:
  """Raises ValueError unless the arrays are those that the network's `init` would make."""
  network = architecture.network(num_classes)
  # Only shapes are computed, so a file that claims an enormous network costs nothing.
  shapes = jax.eval_shape(
    lambda key, images: network.init(key, images, is_training=False),
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, *image_shape), jnp.uint8),
  )
  expected = {
    name: (leaf.shape, "float32")
    for name, leaf in traverse_util.flatten_dict(shapes, sep="/").items()
  }
  given = {name: (array.shape, str(array.dtype)) for name, array in arrays.items()}
  if given != expected:
    wrong = sorted(
      name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)
    )
    first = wrong[0]
    raise ValueError(
      f"path: expected the arrays of the architecture in {source}, got {len(wrong)} others: "
      f"{first} should be {expected.get(first)}, is {given.get(first)}"
    )
  for name, array in arrays.items():
    if not math.isfinite(float(array.sum(dtype=np.float64))):
      raise ValueError(f"path: expected finite arrays in {source}, got NaN or infinity in {name}")
