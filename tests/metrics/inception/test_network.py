"""Inception v3 against torch on random weights, block by block; its file, against hostile ones.

Where torch is not installed, summaries that it gave stand in (`golden/inception.json`).
"""

import hashlib
import io
import json
import urllib.request

import inception_reference as reference
import jax
import numpy as np
import pytest
import torch_files

from nsn_jax import metrics
from nsn_jax.metrics import inception, inception_weights, torch_file


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
  return reference.arrays()


@pytest.fixture(scope="module")
def network(weights, tmp_path_factory) -> metrics.Inception:
  path = tmp_path_factory.mktemp("inception") / "weights.pth"
  torch_files.write(path, weights)
  return metrics.load_inception(path)


@pytest.fixture(scope="module")
def found(network) -> dict[str, dict[str, np.ndarray]]:
  run = jax.jit(lambda images: inception.activations(network, inception.prepare(images)))
  return {
    name: jax.tree.map(np.asarray, run(images)) for name, images in reference.images().items()
  }


# network


def test_every_block_equals_torchs_summaries(found):
  golden = json.loads(reference.GOLDEN.read_text())
  assert golden.keys() == found.keys()
  for name, blocks in golden.items():
    assert blocks.keys() == found[name].keys()
    for block, expected in blocks.items():
      # float32 through 94 convolutions against float64: 1e-4 of the block's deviation.
      np.testing.assert_allclose(
        reference.summary(found[name][block]), expected, atol=1e-4 * expected[1], err_msg=block
      )


def test_every_block_equals_torch(found, weights):
  pytest.importorskip("torch", reason="torch is not installed: its summaries are tested instead")
  for name, images in reference.images().items():
    for block, expected in reference.activations(weights, images):
      np.testing.assert_allclose(
        found[name][block], expected, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=block
      )


def test_outputs_are_the_last_two_rungs(network, found):
  images = reference.images()["grey"]
  outputs = network.outputs(images, batch_size=3)
  assert outputs.features.shape == (2, 2048) and outputs.logits.shape == (2, 1008)
  np.testing.assert_allclose(outputs.features, found["grey"]["features"], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(outputs.logits, found["grey"]["logits"], rtol=1e-4, atol=1e-4)
  # The bias is left out: zero features give zero logits.
  np.testing.assert_allclose(
    outputs.features @ np.asarray(network.classes), outputs.logits, rtol=1e-4, atol=1e-4
  )
  assert network.outputs(images[:0]).features.shape == (0, 2048)


@pytest.mark.parametrize("name", ["grey", "colour", "large"])
def test_resize_is_tensorflows(name):
  images = reference.images()[name]
  expected = (np.broadcast_to(reference.resize(images), (len(images), 299, 299, 3)) - 128) / 128
  # Places in float32, as TensorFlow has them: 1e-4 of a pixel of a difference of up to 2.
  np.testing.assert_allclose(inception.prepare(images), expected, atol=1e-4)


def test_resize_by_hand():
  # Two columns: place i * 2 / 299, so that the left one fades over the first half and is gone.
  image = np.array([[[0], [128]]], np.uint8)[None]
  row = np.asarray(inception.prepare(image))[0, 0, :, 0] * 128 + 128
  np.testing.assert_allclose(row[[0, 1, 149]], [0, 128 * 2 / 299, 128 * 298 / 299], atol=1e-3)
  np.testing.assert_array_equal(row[150:], 128)


def test_outputs_errors(network):
  with pytest.raises(ValueError, match="images: expected 1 or 3 channels, got shape"):
    network.outputs(np.zeros((2, 8, 8, 2), np.uint8))
  with pytest.raises(ValueError, match="images: expected uint8"):
    network.outputs(np.zeros((2, 8, 8, 3), np.float32))


# weights


def test_convolutions_are_the_published_ones():
  shapes = dict(inception_weights.convolutions())
  assert len(shapes) == 94
  # As published: 23,834,568 parameters with 1,000 classes, of which 2,049,000 are the classes'.
  convolved = sum(int(np.prod(shape)) + 2 * shape[0] for shape in shapes.values())
  assert convolved == 21_785_568
  assert shapes["Mixed_7a.branch7x7x3_4"] == (192, 192, 3, 3)
  assert shapes["Mixed_7c.branch3x3dbl_1"] == (448, 2048, 1, 1)
  assert shapes["Mixed_6b.branch7x7_2"] == (128, 128, 1, 7)


def test_wrong_arrays_are_refused(weights):
  name = "Mixed_6c.branch7x7_2.conv.weight"
  less = {key: value for key, value in weights.items() if key != name}
  with pytest.raises(ValueError, match=rf"expected {name} of shape \(160, 160, 1, 7\).*got none"):
    inception_weights.from_arrays(less, "here")
  turned = weights | {name: weights[name].swapaxes(2, 3)}
  with pytest.raises(ValueError, match=r"got \(160, 160, 7, 1\)"):
    inception_weights.from_arrays(turned, "here")
  bad = weights | {"fc.weight": np.full((1008, 2048), np.nan, np.float32)}
  with pytest.raises(ValueError, match=r"expected finite values, got others in fc\.weight"):
    inception_weights.from_arrays(bad, "here")


class _Answer(io.BytesIO):
  headers: dict[str, str] = {}  # noqa: RUF012


@pytest.fixture
def web(monkeypatch, tmp_path):
  """A cache folder of its own, and what the web answers with."""
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path))
  asked = []

  def answers(content: bytes | Exception):
    def urlopen(url: str, timeout: float) -> _Answer:
      asked.append(url)
      if isinstance(content, Exception):
        raise content
      return _Answer(content)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked

  return answers


def test_no_network_says_what_to_do(web, tmp_path):
  web(OSError("no route"))
  with pytest.raises(
    OSError, match=r"cannot be downloaded \(no route\): fetch https://github.com/"
  ):
    metrics.load_inception()
  assert not any(tmp_path.iterdir())


def test_a_download_of_another_checksum_is_thrown_away(web, tmp_path):
  web(b"something else")
  with pytest.raises(OSError, match="SHA-256 begins with 6726825d"):
    metrics.load_inception()
  assert not any(tmp_path.iterdir())


def test_a_download_is_kept(web, tmp_path, monkeypatch):
  buffer = tmp_path / "small.pth"
  torch_files.write(buffer, {"x": np.zeros(3, np.float32)})
  content = buffer.read_bytes()
  buffer.unlink()
  monkeypatch.setattr(inception_weights, "_CHECKSUM", hashlib.sha256(content).hexdigest()[:8])
  asked = web(content)
  for _ in range(2):
    with pytest.raises(ValueError, match=r"expected Conv2d_1a_3x3.*got none"):
      metrics.load_inception()
  assert len(asked) == 1 and [path.name for path in tmp_path.iterdir()] == [inception_weights.FILE]


def test_a_path_without_a_file(tmp_path):
  with pytest.raises(FileNotFoundError, match="inception_weights: expected a file, got"):
    metrics.load_inception(tmp_path / "none.pth")


# torch files

_ARRAYS = {
  "a": np.arange(6, dtype=np.float32).reshape(2, 3),
  "b.count": np.array(7, np.int64),
  "c": np.arange(4, dtype=np.float16),
}


def _read(path) -> dict[str, np.ndarray]:
  return torch_file.read_arrays(path)


def _assert_arrays(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
  assert list(found) == list(expected)
  for name, array in expected.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array, strict=True)


def test_written_arrays_are_read(tmp_path):
  torch_files.write(tmp_path / "x.pth", _ARRAYS)
  _assert_arrays(_read(tmp_path / "x.pth"), _ARRAYS)


@pytest.mark.parametrize("is_archive", [True, False])
def test_torchs_own_files_are_read(tmp_path, is_archive):
  torch = pytest.importorskip("torch")
  shared = torch.arange(12.0).reshape(3, 4)
  module = torch.nn.BatchNorm2d(3)
  state = {
    **module.state_dict(),
    "turned": shared.T,
    "part": shared[1:, 1:3],
    "parameter": torch.nn.Parameter(shared),
    "half": shared.half(),
  }
  torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=is_archive)
  expected = {name: value.detach().numpy() for name, value in state.items()}
  _assert_arrays(_read(tmp_path / "x.pth"), expected)


@pytest.mark.parametrize("name", ["archive.pth", "stream.pth"])
def test_files_that_torch_wrote(request, name):
  """Written by torch 2.13: `{"turned": x.T, "part": x[1:, 1:3]}`, x = arange(12.0) as 3 x 4."""
  path = request.path.parent / "golden" / name
  x = np.arange(12, dtype=np.float32).reshape(3, 4)
  _assert_arrays(_read(path), {"turned": x.T, "part": x[1:, 1:3]})


class _RanError(Exception):
  pass


@pytest.mark.parametrize(
  "program",
  [
    b"cos\nsystem\n(X\x04\x00\x00\x00truetR",
    b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
    b"ctorch\nload\n(X\x01\x00\x00\x001tR",
    b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n",
    b"\x8c\x08builtins\x8c\x04exec\x93",
  ],
)
def test_other_names_are_not_called(tmp_path, program, monkeypatch):
  monkeypatch.setattr("os.system", lambda _: (_ for _ in ()).throw(_RanError))
  torch_files.write_archive(tmp_path / "x.pth", program, {})
  with pytest.raises(ValueError, match=r"expected a torch file.*none of what a file of weights"):
    _read(tmp_path / "x.pth")


def _damaged(tmp_path, change: str):
  path = tmp_path / "x.pth"
  torch_files.write(path, _ARRAYS)
  content = path.read_bytes()
  tensor = torch_files.tensor("0", np.zeros((5, 5), np.float32))
  item = b"ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00a"
  if change == "cut":
    path.write_bytes(content[:200])
  elif change == "empty":
    path.write_bytes(b"")
  elif change == "text":
    path.write_text("no weights here")
  elif change == "short storage":
    torch_files.write_archive(path, item + tensor + b"u", {"0": bytes(99)})
  elif change == "no storage":
    torch_files.write_archive(path, item + tensor + b"u", {})
  elif change == "list":
    torch_files.write_archive(path, b"]", {})
  elif change == "number":
    torch_files.write_archive(path, item + b"K\x01u", {})
  elif change == "no program":
    torch_files.write_archive(path, b"", {})
  return path


@pytest.mark.parametrize(
  "change",
  ["cut", "empty", "text", "short storage", "no storage", "list", "number", "no program"],
)
def test_damaged_files_are_one_clear_error(tmp_path, change):
  with pytest.raises(ValueError, match="path: expected a torch file of named tensors, got"):
    _read(_damaged(tmp_path, change))
