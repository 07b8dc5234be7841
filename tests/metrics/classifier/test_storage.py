"""The classifier's files: the same logits to the last bit, and files that are damaged or others."""

import re

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from nsn_jax import metrics


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
