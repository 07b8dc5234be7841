"""Prototypes of classes: the nearest to a mean, one a cluster, and what cannot be chosen from."""

import re

import jax
import numpy as np
import pytest
from sklearn import cluster

from nsn_jax import data

_KEY = jax.random.key(0)


def _clusters(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
  """Of labels 2 and 7, ten images about each of three greys, mixed."""
  greys = np.array([20, 120, 220])[np.arange(60) % 3]
  images = greys[:, None, None, None] + rng.integers(-9, 10, (60, 3, 3, 1))
  return images.astype(np.uint8), np.repeat([7, 2], 30)


def test_one_a_class_is_the_nearest_to_its_mean():
  images, labels = data.load("digits", limit=300)
  found = data.choose_prototypes(_KEY, images, labels, 1)
  assert labels[found].tolist() == list(range(10))
  for label, position in enumerate(found):
    own = images[labels == label].astype(float)
    distances = ((own - own.mean(axis=0)) ** 2).sum(axis=(1, 2, 3))
    assert position == np.flatnonzero(labels == label)[distances.argmin()]


def test_one_a_cluster_of_each_class():
  images, labels = _clusters(np.random.default_rng(0))
  found = data.choose_prototypes(_KEY, images, labels, 3)
  assert labels[found].tolist() == [2, 2, 2, 7, 7, 7]
  for rows in (found[:3], found[3:]):
    assert sorted(rows % 3) == [0, 1, 2]
  np.testing.assert_array_equal(
    found, data.choose_prototypes(jax.random.PRNGKey(0), images, labels.tolist(), 3)
  )


def test_no_image_is_taken_twice():
  images, labels = data.load("digits", limit=300)
  found = data.choose_prototypes(_KEY, images, labels, 8)
  assert len(set(found.tolist())) == 80
  all_of_them = data.choose_prototypes(_KEY, images[:6], np.zeros(6, int), 6)
  assert sorted(all_of_them) == list(range(6))


def test_a_centre_takes_none_of_anothers_images(monkeypatch):
  # The third image is nearest to both centres, and the second one's.
  class Means:
    labels_ = np.array([0, 0, 1])

    def fit(self, values):
      return self

    def transform(self, values):
      return np.array([[3.0, 9.0], [2.0, 9.0], [1.0, 0.5]])

  monkeypatch.setattr(cluster, "KMeans", lambda *_, **__: Means())
  images = np.zeros((3, 2, 2, 1), np.uint8)
  assert data.choose_prototypes(_KEY, images, [4, 4, 4], 2).tolist() == [1, 2]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"per_class": 0}, "per_class: expected an integer of at least 1, got 0"),
    ({"per_class": 31}, "per_class: expected at most 30, the images of class 2, got 31"),
    ({"labels": np.zeros(3, int)}, "labels: expected integers [60], one an image, got int64 (3,)"),
    ({"labels": np.zeros(60)}, "labels: expected integers [60], one an image, got float64 (60,)"),
    ({"images": np.zeros((60, 3))}, "images: expected an array [N, H, W, C], got shape (60, 3)"),
    ({"key": 1}, "key: expected one PRNG key"),
  ],
)
def test_bad_calls(change, message):
  images, labels = _clusters(np.random.default_rng(0))
  given = {"key": _KEY, "images": images, "labels": labels, "per_class": 1}
  with pytest.raises(ValueError, match=re.escape(message)):
    data.choose_prototypes(**given | change)
