"""Scores of generated images, as a ladder: images -> network outputs -> statistics -> number.

A network's `outputs` are the first rung: `trained_classifier` trains a small one on the labels of
the real images and keeps it in a cache, `load_inception` reads the ImageNet network that the
literature scores with. Each metric is a pure function of such outputs, whichever network they come
from. Real images come before generated ones everywhere.

>>> import numpy as np
>>> from nsn_jax import metrics
>>> certain_and_even = np.tile(np.eye(4), (5, 1))  # 20 images, 4 classes.
>>> score = metrics.inception_score(certain_and_even, num_splits=5)
>>> print(f"{score.mean:.3f} +- {score.deviation:.3f}")
4.000 +- 0.000
"""

from nsn_jax import extras

extras.require(__name__, "metrics", ("absl", "flax", "optax", "pooch", "scipy", "sklearn"))

from nsn_jax.metrics import evaluation
from nsn_jax.metrics.classifier import (
  Architecture,
  Classifier,
  FractalArchitecture,
  Seen,
  TrainedClassifier,
  accuracy,
  column_alone,
  load_classifier,
  look,
  save_classifier,
  train_classifier,
  trained_classifier,
)
from nsn_jax.metrics.copies import CopyCheck, Nearest, compare_distances, copy_check, nearest
from nsn_jax.metrics.frechet import (
  FeatureStatistics,
  feature_statistics,
  frechet_distance,
  merge_statistics,
)
from nsn_jax.metrics.inception import Inception, load_inception
from nsn_jax.metrics.inception_score import InceptionScore, inception_score
from nsn_jax.metrics.kernel_distance import KernelDistance, kernel_distance
from nsn_jax.metrics.outputs import Network, Outputs
from nsn_jax.metrics.precision_recall import PrecisionRecall, precision_recall

__all__ = [
  "Architecture",
  "Classifier",
  "CopyCheck",
  "FeatureStatistics",
  "FractalArchitecture",
  "Inception",
  "InceptionScore",
  "KernelDistance",
  "Nearest",
  "Network",
  "Outputs",
  "PrecisionRecall",
  "Seen",
  "TrainedClassifier",
  "accuracy",
  "column_alone",
  "compare_distances",
  "copy_check",
  "evaluation",
  "feature_statistics",
  "frechet_distance",
  "inception_score",
  "kernel_distance",
  "load_classifier",
  "load_inception",
  "look",
  "merge_statistics",
  "nearest",
  "precision_recall",
  "save_classifier",
  "train_classifier",
  "trained_classifier",
]
