"""`data.load` itself: names and arguments that it refuses, and what a new data set takes."""

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import loading


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
  ],
)
def test_bad_arguments(options, message):
  with pytest.raises(data.DataError) as error:
    data.load("digits", **options)
  assert str(error.value) == message


def test_data_error_is_a_value_error():
  assert issubclass(data.DataError, ValueError)


def test_a_new_data_set_is_one_entry(monkeypatch):
  def blank(request):
    images = np.zeros((request.limit, 2, 2, 1), np.uint8)
    return loading.Source(lambda: data.Dataset(images, None))

  monkeypatch.setitem(loading.SOURCES, "blank", blank)
  assert data.load("blank", limit=4).images.shape == (4, 2, 2, 1)
