"""`.npz` files: hand-made ones come back to the bit; each wrong one is refused in one line."""

import pathlib

import numpy as np
import pytest

from nsn_jax import data


@pytest.mark.parametrize("shape", [(5, 6, 6), (5, 6, 6, 1), (5, 6, 4, 3), (1, 1, 1, 2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_npz_round_trip(tmp_path, shape, dtype):
  expected = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
  is_float = np.issubdtype(dtype, np.floating)
  np.savez(tmp_path / "x.npz", images=(expected / 255).astype(dtype) if is_float else expected)
  images, labels = data.load(f"npz:{tmp_path / 'x.npz'}")
  assert images.dtype == np.uint8 and labels is None
  assert images.shape == (shape if len(shape) == 4 else (*shape, 1))
  np.testing.assert_array_equal(images.reshape(shape), expected)


def test_npz_labels_splits_limit_and_size(tmp_path):
  path = tmp_path / "x.npz"
  values = np.arange(4, dtype=np.uint8)
  images = np.broadcast_to(values[:, None, None, None], (4, 8, 6, 2))
  np.savez(path, images=images, labels=values, test_images=images + 10, test_labels=values + 10)
  train = data.load(f"npz:{path}", limit=3, image_size=12)
  assert train.images.shape == (3, 12, 12, 2) and train.images[:, 5, 5, 1].tolist() == [0, 1, 2]
  assert train.labels.tolist() == [0, 1, 2] and train.labels.dtype == np.int32
  test = data.load(f"npz:{path}", split="test")
  assert test.labels.tolist() == [10, 11, 12, 13] and test.images[3, 0, 0, 0] == 13


_GOOD = np.zeros((2, 3, 3), np.uint8)


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    ({"pictures": _GOOD}, r"expected an array 'images' for split 'train', got 'pictures'"),
    ({"images": _GOOD.astype(np.int64)}, r"images: expected uint8, .* got int64"),
    ({"images": _GOOD.astype(bool)}, r"images: expected uint8, .* got bool"),
    ({"images": _GOOD[0]}, r"images: expected \[N, H, W\] .* got \(3, 3\)"),
    ({"images": _GOOD[:0]}, r"images: expected \[N, H, W\] .* got \(0, 3, 3\)"),
    ({"images": _GOOD + 1.5}, r"images: expected floats in \[0, 1\], got 1.5 to 1.5"),
    ({"images": _GOOD * np.nan}, r"images: expected floats in \[0, 1\], got nan"),
    ({"images": _GOOD.astype(object)}, r"expected plain numbers in 'images'"),
    ({"images": _GOOD, "labels": np.zeros(3, int)}, r"labels: expected integers \[2\].*\(3,\)"),
    ({"images": _GOOD, "labels": np.zeros(2)}, r"labels: expected integers .* got float64"),
    ({"images": _GOOD, "labels": np.array([0, 2**40])}, r"labels: expected int32 .* to 10995"),
    ({"images": _GOOD, "labels": np.array(["a", "b"])}, r"labels: expected integers .* got <U1"),
  ],
)
def test_npz_refuses(tmp_path, arrays, message):
  np.savez(tmp_path / "x.npz", **arrays)
  with pytest.raises(data.DataError, match=message):
    data.load(f"npz:{tmp_path / 'x.npz'}")


def test_npz_refuses_other_files(tmp_path):
  np.savez(tmp_path / "x.npz", images=_GOOD)
  with pytest.raises(data.DataError, match=r"expected an array 'test_images' for split 'test'"):
    data.load(f"npz:{tmp_path / 'x.npz'}", split="test")
  with pytest.raises(data.DataError, match=r"^name: expected an \.npz file"):
    data.load(f"npz:{tmp_path / 'nowhere.npz'}")
  np.save(tmp_path / "single.npy", _GOOD)
  with pytest.raises(data.DataError, match=r"got a single array"):
    data.load(f"npz:{tmp_path / 'single.npy'}")
  (tmp_path / "text.npz").write_text("hello")
  with pytest.raises(data.DataError, match=r"got another file"):
    data.load(f"npz:{tmp_path / 'text.npz'}")


def test_npz_never_runs_a_pickle(tmp_path):
  class Trap:
    def __reduce__(self):
      return pathlib.Path.touch, (tmp_path / "sprung",)

  np.savez(tmp_path / "x.npz", images=np.array([Trap()], object))
  with pytest.raises(data.DataError):
    data.load(f"npz:{tmp_path / 'x.npz'}")
  assert not (tmp_path / "sprung").exists()
  with np.load(tmp_path / "x.npz", allow_pickle=True) as arrays:
    arrays["images"]  # The trap does work.
  assert (tmp_path / "sprung").exists()


def test_damaged_npz_is_one_line(tmp_path):
  path = tmp_path / "x.npz"
  np.savez_compressed(path, images=np.random.default_rng(0).integers(0, 99, (20, 8, 8), np.uint8))
  whole = path.read_bytes()
  refused = 0
  for place in range(60, len(whole) - 200, 25):  # Within the array's compressed bytes.
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    with pytest.raises(data.DataError):
      data.load(f"npz:{path}")
    refused += 1
  assert refused > 20
