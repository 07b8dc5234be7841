"""Decoded images become one array: those of different shapes, and too few, are refused."""

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import decoding


def test_images_of_different_shapes_are_refused():
  shapes = [(2, 2, 1), (3, 2, 1)]
  with pytest.raises(data.DataError, match=r"x: expected images of one shape .*\(3, 2, 1\)"):
    decoding.stack([shapes], 2, lambda shape: np.zeros(shape, np.uint8), "x")
  with pytest.raises(data.DataError, match=r"x: expected 3 images, got 1"):
    decoding.stack([shapes[:1]], 3, lambda shape: np.zeros(shape, np.uint8), "x")
