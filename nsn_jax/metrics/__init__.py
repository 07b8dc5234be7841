"""Scores of generated images, as a ladder: images -> network outputs -> statistics -> number.

A score needs a network that knows the real images. `train_classifier` trains a small one on their
labels (`trained_classifier` keeps it in a cache), `probabilities` and `features` are its outputs,
and each metric is a pure function of such outputs, whichever network they come from.

>>> import numpy as np
>>> from nsn_jax import metrics
>>> certain_and_even = np.tile(np.eye(4), (5, 1))  # 20 images, 4 classes.
>>> score = metrics.inception_score(certain_and_even, num_splits=5)
>>> print(f"{score.mean:.3f} +- {score.deviation:.3f}")
4.000 +- 0.000
"""

from nsn_jax.metrics.classifier import (
  Architecture,
  Classifier,
  accuracy,
  features,
  predict,
  probabilities,
)
from nsn_jax.metrics.classifier_cache import TrainedClassifier, trained_classifier
from nsn_jax.metrics.classifier_storage import load_classifier, save_classifier
from nsn_jax.metrics.classifier_training import train_classifier
from nsn_jax.metrics.inception_score import InceptionScore, inception_score

__all__ = [
  "Architecture",
  "Classifier",
  "InceptionScore",
  "TrainedClassifier",
  "accuracy",
  "features",
  "inception_score",
  "load_classifier",
  "predict",
  "probabilities",
  "save_classifier",
  "train_classifier",
  "trained_classifier",
]
