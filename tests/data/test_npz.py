"""`.npz` files: hand-made ones come back to the bit; each wrong one is refused in one line."""

import pathlib

import numpy as np
import pytest

from nsn_jax import checks, data


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


def test_npz_resize_is_antialiased(tmp_path):
  stripes = np.zeros((1, 256, 256), np.uint8)
  stripes[:, :, ::2] = 255
  np.savez(tmp_path / "x.npz", images=stripes)
  images = data.load(f"npz:{tmp_path / 'x.npz'}", image_size=64).images
  # As of a folder: every fourth pixel alone would be all white.
  assert np.abs(images[:, :, 2:-2] - 127.5).max() < 4


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
  with pytest.raises(data.MissingSplitError, match=r"an array 'test_images' for split 'test'"):
    data.load(f"npz:{tmp_path / 'x.npz'}", split="test")
  np.savez(tmp_path / "y.npz", pictures=_GOOD)
  with pytest.raises(data.DataError, match=r"an array 'test_images' for split 'test'") as caught:
    data.load(f"npz:{tmp_path / 'y.npz'}", split="test")
  assert not isinstance(caught.value, data.MissingSplitError)  # It is no file of images.
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


@pytest.mark.parametrize("dtype", ["|u1", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("label_dtype", ["<i4", ">i4", ">u2", "<i8"])
def test_any_byte_order_and_order_of_axes(tmp_path, dtype, order, label_dtype):
  expected = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3)).astype(np.uint8)
  values = expected if dtype == "|u1" else expected / 255
  labels = np.array([0, 1, 2, 300, 5])
  np.savez(
    tmp_path / "x.npz",
    images=np.asarray(values, dtype, order=order),
    labels=labels.astype(label_dtype),
  )
  found = data.load(f"npz:{tmp_path / 'x.npz'}")
  np.testing.assert_array_equal(found.images, expected)
  np.testing.assert_array_equal(found.labels, labels)
  assert found.images.dtype.isnative and found.labels.dtype == np.int32
  assert found.images.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("prefix", ["", "test_"])
def test_pytorchs_order_of_axes_is_refused(tmp_path, dtype, channels, prefix):
  images = np.zeros((7, 28, 28, channels), dtype)
  arrays = {f"{prefix}images": images.transpose(0, 3, 1, 2)}
  np.savez(tmp_path / "x.npz", **arrays)
  split = "test" if prefix else "train"
  with pytest.raises(data.DataError, match=r"save images\.transpose\(0, 2, 3, 1\)$"):
    data.load(f"npz:{tmp_path / 'x.npz'}", split=split, image_size=28)
  # What the line says works.
  arrays = {name: array.transpose(0, 2, 3, 1) for name, array in arrays.items()}
  np.savez(tmp_path / "x.npz", **arrays)
  assert data.load(f"npz:{tmp_path / 'x.npz'}", split=split).images.shape == images.shape


@pytest.mark.parametrize("shape", [(7, 1, 28, 1), (7, 3, 28, 3), (7, 1, 1, 2), (7, 3, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_low_images_with_channels_last_are_read(tmp_path, shape, dtype):
  np.savez(tmp_path / "x.npz", images=np.zeros(shape, dtype))
  assert data.load(f"npz:{tmp_path / 'x.npz'}").images.shape == shape


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_may_leave_their_range_by_rounding(tmp_path, dtype):
  slack = dtype(0.9 * checks.RANGE_SLACK)
  images = np.array([-slack, 0, 0.5, 1, np.nextafter(dtype(1), dtype(2)), 1 + slack], dtype)
  np.savez(tmp_path / "x.npz", images=images[:, None, None])
  found = data.load(f"npz:{tmp_path / 'x.npz'}").images
  assert found.ravel().tolist() == [0, 0, 128, 255, 255, 255]
  checks.images("images", images[:, None, None, None])  # As the rest of the library has it.


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0, np.nan, np.inf, -np.inf])
def test_floats_out_of_range_and_nan_are_refused(tmp_path, dtype, bad):
  images = np.full((9, 3, 3), 0.5, dtype)
  images[-1, -1, -1] = bad
  np.savez(tmp_path / "x.npz", images=images)
  with pytest.raises(data.DataError, match=r"images: expected floats in \[0, 1\], got"):
    data.load(f"npz:{tmp_path / 'x.npz'}", limit=1)
