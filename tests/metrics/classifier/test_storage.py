"""The classifier's files: the same logits to the last bit, and files that are damaged or others."""

import json
import re

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from nsn_jax import files, metrics


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
  """Changes a file's arrays and static fields in place, and writes it with the right checksum."""
  with safetensors.safe_open(path, framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    static = json.loads(json.loads(file.metadata()[_ENTRY])["static"])
  change(arrays, static)
  text = json.dumps(static)
  entry = json.dumps({"static": text, "sha256": files.digest(arrays, text)})
  path.write_bytes(safetensors.numpy.save(arrays, {_ENTRY: entry}))


_KERNEL, _ENTRY = "params/Conv_0/kernel", "nsn_jax.classifier"


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda arrays, static: static["architecture"].update(width=3), "expected the fields of a cl"),
    (lambda arrays, static: static.pop("image_shape"), "expected the fields of a classifier"),
    (lambda arrays, static: static.update(num_classes=1e30), "expected the fields of a classifier"),
    (
      lambda arrays, static: static.update(num_classes=4),
      "got 2 others: params/Dense_1/bias should be ",
    ),
    (lambda arrays, static: arrays.pop(_KERNEL), "got 1 others: params/Conv_0/kernel should be"),
    (lambda arrays, static: arrays.update({"x": np.ones(1)}), "x should be None"),
    (
      lambda arrays, static: arrays.update({_KERNEL: arrays[_KERNEL].astype(np.float16)}),
      "got 1 others: params/Conv_0/kernel should be ((3, 3, 3, 2), 'float32')",
    ),
    (lambda arrays, static: arrays[_KERNEL].fill(np.nan), "got NaN or infinity in params/Conv_0"),
  ],
)
def test_file_of_something_else(tiny, tmp_path, change, message):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  _rewrite(path, change)
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.load_classifier(path)


@pytest.mark.parametrize(
  "entry", ["", "{", "[]", "3", "null", "{}", '{"static": 3}', "[" * 200_000]
)
def test_metadata_that_are_no_record(tiny, tmp_path, entry):
  path = tmp_path / "a.safetensors"
  path.write_bytes(safetensors.numpy.save({"x": np.ones(1)}, {_ENTRY: entry}))
  with pytest.raises(ValueError, match=r"^path: expected the fields of a classifier"):
    metrics.load_classifier(path)


def test_metadata_of_another_program(tmp_path):
  path = tmp_path / "a.safetensors"
  path.write_bytes(safetensors.numpy.save({"x": np.ones(1)}, {"format": "pt"}))
  with pytest.raises(ValueError, match="expected a file written by save_classifier"):
    metrics.load_classifier(path)


def test_any_flipped_bit_is_seen(tiny, tmp_path):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  for place in rng.choice(len(whole), 100, replace=False):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"^path: "):
      metrics.load_classifier(path)


def test_equal_classifiers_are_equal_bytes(tiny, tmp_path):
  for name in "ab":
    metrics.save_classifier(tmp_path / name, tiny)
  metrics.save_classifier(tmp_path / "c", metrics.load_classifier(tmp_path / "a"))
  assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_a_classifier_of_another_recipe(tiny, tmp_path):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny, recipe="4 epochs")
  assert metrics.load_classifier(path, recipe="4 epochs").num_classes == 3
  assert metrics.load_classifier(path).num_classes == 3
  with pytest.raises(ValueError, match=r"recipe 2 epochs .*got '4 epochs'"):
    metrics.load_classifier(path, recipe="2 epochs")


def test_files_before_checksums_are_read(tiny, tmp_path):
  path = tmp_path / "a.safetensors"
  metrics.save_classifier(path, tiny)
  with safetensors.safe_open(path, framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    static = json.loads(file.metadata()[_ENTRY])["static"]
  path.write_bytes(safetensors.numpy.save(arrays, {_ENTRY: static}))
  loaded = metrics.load_classifier(path)
  assert jax.tree.structure(loaded) == jax.tree.structure(tiny)
