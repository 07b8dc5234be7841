"""The small classifier: a judge for images that ImageNet's network does not know.

Its layouts (convolutional, or a FractalNet), training, file format, and the cache that trains each
one once.
"""

from nsn_jax.metrics.classifier.cache import TrainedClassifier, trained_classifier
from nsn_jax.metrics.classifier.convolutional import Architecture
from nsn_jax.metrics.classifier.fractal import FractalArchitecture, column_alone
from nsn_jax.metrics.classifier.network import Classifier, Seen, accuracy, look
from nsn_jax.metrics.classifier.storage import load_classifier, save_classifier
from nsn_jax.metrics.classifier.training import train_classifier

__all__ = [
  "Architecture",
  "Classifier",
  "FractalArchitecture",
  "Seen",
  "TrainedClassifier",
  "accuracy",
  "column_alone",
  "load_classifier",
  "look",
  "save_classifier",
  "train_classifier",
  "trained_classifier",
]
