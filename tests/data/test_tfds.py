"""Data sets by TFDS: on records made here, and, where they are prepared, on the real data.

Real data are held against what is published of them, or against themselves at full size.
"""

import importlib.util
import os
import pathlib
import re
import socket
import sys

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import broken, tfds_source
from tests.data.helpers import Records, black_png

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TFDS_DIR = pathlib.Path(os.environ.get("NSN_JAX_DATA_DIR") or _ROOT.parent / "shared" / "tfds")


# records made here


def test_tfds_labels_and_size(fake_tfds):
  images, labels = data.load("mnist", data_dir=fake_tfds[0])
  assert images.shape == (25, 28, 28, 1) and images[:, 0, 0, 0].tolist() == list(range(25))
  assert labels.tolist() == [i % 10 for i in range(25)] and labels.dtype == np.int32
  small = data.load("mnist", data_dir=fake_tfds[0], split="test", image_size=7, limit=6)
  assert small.images.shape == (6, 7, 7, 1) and len(small.labels) == 6
  assert fake_tfds[1] == [("mnist", "train"), ("mnist", "test")]


def test_lfw_test_split_is_every_tenth_image(fake_tfds):
  train = data.load("lfw", data_dir=fake_tfds[0])
  test = data.load("lfw", data_dir=fake_tfds[0], split="test")
  assert test.images.shape == (3, 64, 64, 3) and test.labels is None
  assert test.images[:, 0, 0, 0].tolist() == [0, 10, 20]
  assert train.images[:, 0, 0, 0].tolist() == [i for i in range(25) if i % 10]
  limited = data.load("lfw", data_dir=fake_tfds[0], limit=12).images
  np.testing.assert_array_equal(limited, train.images[:12])


def test_lsun_test_split_is_the_validation_split(fake_tfds):
  church = data.load("lsun/church_outdoor", data_dir=fake_tfds[0], split="test")
  assert church.images.shape == (25, 64, 64, 3) and church.labels is None
  assert fake_tfds[1] == [("lsun/church_outdoor", "validation")]


def test_a_few_broken_records_are_left_out_and_told(fake_tfds, monkeypatch, warnings):
  whole = data.load("lfw", data_dir=fake_tfds[0]).images
  opened = tfds_source._open

  def damaged(*arguments):
    count, batches = opened(*arguments)

    def broken_batches(positions):
      for batch in batches(positions):
        yield [{"image": b"no image"} if r["label"] == 3 else r for r in batch]

    return count, broken_batches

  monkeypatch.setattr(tfds_source, "_open", damaged)
  (fake_tfds[0] / "lfw" / "1.0.0" / "dataset_info.json").write_text('{"other": 1}')
  with pytest.raises(data.DataError, match=r"an image of lfw: expected .*3 of 22 images are bro"):
    data.load("lfw", data_dir=fake_tfds[0])
  monkeypatch.setattr(broken, "_SHARE", 0.2)
  images = data.load("lfw", data_dir=fake_tfds[0]).images
  assert warnings == [
    "lfw, split 'train': left out 3 of 22 images, which are broken: record 3, record 13, record 23"
  ]
  kept = [i for i, record in enumerate(i for i in range(25) if i % 10) if record % 10 != 3]
  np.testing.assert_array_equal(images, whole[kept])
  few = data.load("lfw", data_dir=fake_tfds[0], limit=4).images
  np.testing.assert_array_equal(few, whole[kept][:4])


def test_tfds_cache_needs_no_opening_and_sees_changed_files(fake_tfds):
  for _ in range(2):
    data.load("mnist", data_dir=fake_tfds[0])
  assert len(fake_tfds[1]) == 1
  (fake_tfds[0] / "mnist" / "1.0.0" / "dataset_info.json").write_text('{"other": 1}')
  data.load("mnist", data_dir=fake_tfds[0])
  assert len(fake_tfds[1]) == 2


def test_records_in_a_stream_give_what_records_by_position_give():
  records = Records(range(3000))
  for positions in ([], [0], [2999], list(range(0, 3000, 2))):
    by_position = [r for b in tfds_source._by_position(records, positions) for r in b]
    in_order = [r for b in tfds_source._in_order(iter(records), positions) for r in b]
    assert by_position == in_order == positions


@pytest.fixture
def no_network(monkeypatch):
  def refused(*args, **kwargs):
    raise OSError("no network in tests")

  monkeypatch.setattr(socket.socket, "connect", refused)
  monkeypatch.setattr(socket, "getaddrinfo", refused)
  for variable in ("https_proxy", "HTTPS_PROXY"):
    monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "lfw", "lsun/church_outdoor"])
@pytest.mark.parametrize("has_tensorflow", [False, True])
def test_missing_tfds_data_are_one_line(tmp_path, monkeypatch, no_network, name, has_tensorflow):
  monkeypatch.setattr(tfds_source, "_has", lambda module: has_tensorflow)
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "default"))
  need = "a network" if has_tensorflow else "TensorFlow"
  for data_dir, shown in ((tmp_path / "given", "given"), (None, "default")):
    with pytest.raises(data.DataError) as error:
      data.load(name, data_dir=data_dir)
    message = str(error.value)
    assert "\n" not in message
    assert re.search(rf"^data_dir: expected '{name}' .*{shown}' without {name}/VERSION", message)
    assert f"needs {need}: give the data_dir" in message and "folder:PATH" in message
    assert ("unpack LSUN's own" in message) == (name == "lsun/church_outdoor")
  assert not (tmp_path / "given").exists()


def test_unreadable_tfds_data_are_one_line(tmp_path, monkeypatch, no_network):
  (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
  (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")
  monkeypatch.setattr(tfds_source, "_has", lambda module: False)
  with pytest.raises(data.DataError, match=r"^data_dir: expected 'mnist', split 'train', as array"):
    data.load("mnist", data_dir=tmp_path)


def _records(fake_tfds, monkeypatch, records):
  """Has TFDS find these records."""
  found = Records(records)
  monkeypatch.setattr(
    tfds_source,
    "_open",
    lambda *_: (len(found), lambda positions: tfds_source._by_position(found, positions)),
  )
  return fake_tfds[0]


_PNG = black_png(28, 28, 1)


@pytest.mark.parametrize(
  "record",
  [
    {"image": _PNG},
    {"label": 3},
    {"image": _PNG, "label": -1},
    {"image": _PNG, "label": 2**31},
    {"image": _PNG, "label": 2**80},
    {"image": _PNG, "label": b"three"},
    {"image": _PNG, "label": None},
    {"image": b"no\nimage", "label": 3},
    {"image": black_png(20_000, 20_000, rows=0), "label": 3},
    {"image": 3, "label": 3},
    3,
  ],
)
def test_records_of_any_content_are_one_line(fake_tfds, monkeypatch, record):
  good = {"image": _PNG, "label": 1}
  folder = _records(fake_tfds, monkeypatch, [good, good, record])
  with pytest.raises(data.DataError, match=r"mnist") as error:
    data.load("mnist", data_dir=folder)
  assert "\n" not in str(error.value)
  assert data.load("mnist", data_dir=folder, limit=2).labels.tolist() == [1, 1]


def test_images_of_another_size_are_resized(fake_tfds, monkeypatch):
  records = [{"image": black_png(side, side, 1), "label": 1} for side in (28, 9, 50)]
  folder = _records(fake_tfds, monkeypatch, records)
  assert data.load("mnist", data_dir=folder).images.shape == (3, 28, 28, 1)


@pytest.mark.parametrize("name", ["mnist", "lfw"])
def test_no_records_are_one_line(fake_tfds, monkeypatch, name):
  folder = _records(fake_tfds, monkeypatch, [])
  with pytest.raises(data.DataError, match=rf"^data_dir: expected images of '{name}', .* got none"):
    data.load(name, data_dir=folder)


@pytest.mark.parametrize(
  "error", [RuntimeError("a\nb"), OSError("a"), MemoryError(), RecursionError(), SystemError("a")]
)
def test_whatever_the_reader_below_raises_is_one_line(fake_tfds, monkeypatch, error):
  class Failing(Records):
    def __getitems__(self, positions):
      raise error

  records = Failing([{"image": _PNG, "label": 1}])
  monkeypatch.setattr(
    tfds_source,
    "_open",
    lambda *_: (1, lambda positions: tfds_source._by_position(records, positions)),
  )
  with pytest.raises(data.DataError, match=r"expected undamaged records of 'mnist'") as found:
    data.load("mnist", data_dir=fake_tfds[0])
  assert "\n" not in str(found.value)


@pytest.mark.parametrize("error", [ImportError("a"), TypeError("b\nc"), RuntimeError("d")])
def test_a_broken_install_of_tfds_is_one_line(tmp_path, monkeypatch, error):
  (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
  (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")

  class Failing:
    def find_spec(self, name, *_):
      if name.startswith("tensorflow_datasets"):
        raise error

  monkeypatch.delitem(sys.modules, "tensorflow_datasets", raising=False)
  monkeypatch.setattr(sys, "meta_path", [Failing(), *sys.meta_path])
  with pytest.raises(data.DataError, match=r"^name: expected tensorflow-datasets") as found:
    data.load("mnist", data_dir=tmp_path)
  assert "\n" not in str(found.value)


def test_files_that_go_while_they_are_looked_at_are_one_line(fake_tfds, monkeypatch):
  def gone(*_):
    raise FileNotFoundError(2, "No such file", "x.array_record")

  monkeypatch.setattr(tfds_source.cache, "fingerprint", gone)
  with pytest.raises(
    data.DataError, match=r"^name: expected 'mnist' to be readable, got: .*x\.arr"
  ):
    data.load("mnist", data_dir=fake_tfds[0])


# real data


def _needs(name):
  missing = not (_TFDS_DIR / name).is_dir() or importlib.util.find_spec("array_record") is None
  reason = f"needs array_record and {name} prepared in ../shared/tfds or NSN_JAX_DATA_DIR"
  return pytest.mark.skipif(missing, reason=reason)


@_needs("mnist")
def test_real_mnist():
  images, labels = data.load("mnist", split="test", data_dir=_TFDS_DIR)
  assert images.shape == (10000, 28, 28, 1) and images.dtype == np.uint8
  # Known of MNIST's test part: how often each digit occurs, and the mean grey level, 33.79.
  counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  assert np.bincount(labels).tolist() == counts
  assert images.mean() == pytest.approx(33.79, abs=0.01)


@_needs("lfw")
def test_real_lfw():
  train = data.load("lfw", data_dir=_TFDS_DIR, limit=90).images
  test = data.load("lfw", split="test", data_dir=_TFDS_DIR, limit=10).images
  assert train.shape == (90, 64, 64, 3) and test.shape == (10, 64, 64, 3)
  whole = data.load("lfw", split="test", data_dir=_TFDS_DIR, limit=10, image_size=250).images
  # The whole frame is scaled, not cropped: its four quarters keep their mean colours.
  # A grey level each for rounding; the filter's reach over a quarter's rim adds a little.
  large = whole.reshape(10, 2, 125, 2, 125, 3).mean((2, 4))
  small = test.reshape(10, 2, 32, 2, 32, 3).mean((2, 4))
  assert np.abs(large - small).max() < 2
  assert not (train[:, None] == test[None]).all((2, 3, 4)).any()
