"""Images for the models to train on."""

import numpy as np
import pytest

from tests.baselines.helpers import SHAPE


@pytest.fixture(scope="module")
def images() -> np.ndarray:
  """23 images of noise: four batches of 5, and 3 that are left over."""
  return np.random.default_rng(0).integers(0, 256, (23, *SHAPE)).astype(np.uint8)
