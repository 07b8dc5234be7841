"""Features that the distances are tested on."""

import numpy as np


def random_features(seed: int, num_images: int = 300, width: int = 6) -> np.ndarray:
  """Features [N, width]: correlated, skewed, off centre; another distribution for each seed."""
  rng = np.random.default_rng(seed)
  mixing = rng.normal(size=(width, width))
  return (rng.gamma(2.0, size=(num_images, width)) @ mixing + rng.normal(size=width) * 3).astype(
    np.float32
  )
