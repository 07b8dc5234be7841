"""Images that the applications work on."""

import numpy as np
import pytest

from nsn_jax import data


@pytest.fixture(scope="module")
def images() -> np.ndarray:
  return data.load("digits", split="test", limit=5).images
