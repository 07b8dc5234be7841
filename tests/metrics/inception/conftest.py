"""Random weights under the port's names."""

import numpy as np
import pytest

from tests.metrics.inception import reference


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
  return reference.arrays()
