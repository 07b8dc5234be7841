"""torch's files, read without torch: what torch wrote, what is written here, and hostile ones."""

import numpy as np
import pytest

from nsn_jax.metrics.inception import torch_file
from tests.metrics.inception import torch_files

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
