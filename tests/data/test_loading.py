"""`data.load` itself: names and arguments that it refuses, and what a new data set takes."""

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import loading
from nsn_jax.data.dataset import Piece


@pytest.mark.parametrize("name", ["cifar", "", "folder", "folder:", "mnist:3", "PATH", None, 3])
def test_unknown_name_lists_the_known(name):
  with pytest.raises(data.DataError) as error:
    data.load(name)
  assert str(error.value) == f"name: expected one of {', '.join(data.NAMES)}, got {name!r}"


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"split": "val"}, "split: expected one of train, test, got 'val'"),
    ({"image_size": 0}, "image_size: expected an integer >= 1 or None, got 0"),
    ({"image_size": 2.5}, "image_size: expected an integer >= 1 or None, got 2.5"),
    ({"limit": 0}, "limit: expected an integer >= 1 or None, got 0"),
    ({"limit": -1}, "limit: expected an integer >= 1 or None, got -1"),
    ({"image_size": 7095}, "image_size: expected at most 7094, got 7095"),
    ({"image_size": 10**30}, f"image_size: expected at most 7094, got {10**30}"),
  ],
)
def test_bad_arguments(options, message):
  with pytest.raises(data.DataError) as error:
    data.load("digits", **options)
  assert str(error.value) == message


def test_data_error_is_a_value_error():
  assert issubclass(data.DataError, ValueError)


def test_data_errors_are_one_line_whatever_they_tell_of():
  error = data.DataError("a\nb\r\x1b[2J\u2028\udc80 and ä, \u00a0")
  assert str(error) == r"a\nb\r\x1b[2J\u2028\udc80 and ä, \xa0"


@pytest.mark.parametrize("kind", ["folder", "npz"])
@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a\0b", "x" * 300, "x\ny", "no/where"])
def test_paths_of_any_kind_are_one_line(kind, path):
  with pytest.raises(data.DataError, match=r"^name: expected") as error:
    data.load(f"{kind}:{path}")
  assert "\n" not in str(error.value) and "\0" not in str(error.value)


@pytest.mark.parametrize("folder", ["~nobody-of-this-name/x", "a\0b", 3, b"bytes"])
def test_data_folders_of_any_kind_are_one_line(folder):
  with pytest.raises(data.DataError, match=r"^data_dir: expected a path, got"):
    data.load("digits", data_dir=folder)


def test_names_of_impossible_paths_are_not_known():
  assert not data.is_known("folder:a\0b") and not data.is_known("npz:~nobody-of-this-name/x")


@pytest.mark.parametrize(
  ("error", "message"),
  [
    (MemoryError(), "name: expected memory for the images of 'blank', got too little"),
    (PermissionError(13, "Permission denied"), "name: expected 'blank' to be readable, got: "),
  ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_a_source_lets_through_is_one_line(monkeypatch, warnings, error, message, is_stream):
  def failing():
    raise error

  def pieces(_):
    yield failing()

  source = loading.Stream(pieces, []) if is_stream else loading.Source(failing)
  monkeypatch.setitem(loading.SOURCES, "blank", lambda _: source)
  with pytest.raises(data.DataError, match=f"^{message}"):
    data.load("blank")
  assert not warnings  # It is no fault of the cache.


def test_a_new_data_set_is_one_entry(monkeypatch):
  def blank(request):
    images = np.zeros((request.limit, 2, 2, 1), np.uint8)
    return loading.Source(lambda: data.Dataset(images, None))

  monkeypatch.setitem(loading.SOURCES, "blank", blank)
  assert data.load("blank", limit=4).images.shape == (4, 2, 2, 1)


def test_a_new_stream_is_one_entry(monkeypatch):
  def blank(request):
    def pieces(begun):
      for value in range(begun.seen, request.limit):
        labels = np.array([value], np.int32)
        yield Piece(np.full((1, 2, 2, 1), value, np.uint8), labels, 1, [])

    return loading.Stream(pieces, [])

  monkeypatch.setitem(loading.SOURCES, "blank", blank)
  for _ in range(2):
    found = data.load("blank", limit=4)
    assert found.images[:, 1, 1, 0].tolist() == found.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("can_keep", [True, False])
def test_a_stream_of_nothing_is_one_line(monkeypatch, cache_dir, can_keep):
  def nothing(_):
    yield from ()

  monkeypatch.setitem(loading.SOURCES, "blank", lambda _: loading.Stream(nothing, []))
  with pytest.raises(data.DataError, match=r"^expected images, got none$"):
    data.load("blank", cache_dir=cache_dir if can_keep else "a\0b")
