"""The small classifier: a judge for images that ImageNet's network does not know.

Its network, training, file format, and the cache that trains each one once.
"""

from nsn_jax.metrics.classifier.cache import TrainedClassifier, trained_classifier
from nsn_jax.metrics.classifier.network import Architecture, Classifier, accuracy
from nsn_jax.metrics.classifier.storage import load_classifier, save_classifier
from nsn_jax.metrics.classifier.training import train_classifier

__all__ = [
  "Architecture",
  "Classifier",
  "TrainedClassifier",
  "accuracy",
  "load_classifier",
  "save_classifier",
  "train_classifier",
  "trained_classifier",
]
