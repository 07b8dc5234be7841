"""Growth against k-means: as many filters, and the moments of its clusters."""

import jax
import numpy as np
import pytest

import nsn_jax
from experiments.studies import growth_vs_kmeans
from nsn_jax import data


def test_it_compares_the_same_number_of_filters(nsn: nsn_jax.NSN) -> None:
  images = data.load("digits", limit=200).images
  rows = growth_vs_kmeans.check(jax.random.key(0), nsn, images, seed=0, budget=10**9)
  assert [row["num_filters"] for row in rows] == list(nsn.num_filters)
  assert all(np.isfinite([row["grown"], row["kmeans"]]).all() for row in rows)
  assert rows[0]["difference"] == pytest.approx(rows[0]["grown"] - rows[0]["kmeans"])


def test_kmeans_filters_are_the_moments_of_its_clusters() -> None:
  rng = np.random.default_rng(0)
  centers = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], np.float32)
  patches = (centers[np.arange(300) % 3] + rng.normal(size=(300, 2))).astype(np.float32)
  found = growth_vs_kmeans.kmeans_filters(patches.reshape(-1, 1, 1, 2), 3, seed=0)
  order = np.argsort(np.asarray(found.mean).reshape(3, 2) @ [1.0, 2.0])
  mean = np.stack([patches[k::3].mean(0) for k in range(3)])
  variance = [((patches[k::3] - mean[k]) ** 2).sum(1).mean() for k in range(3)]
  # float32 sums of 100 values of up to 50
  np.testing.assert_allclose(np.asarray(found.mean).reshape(3, 2)[order], mean, atol=1e-4)
  np.testing.assert_allclose(np.asarray(found.variance)[order], variance, rtol=1e-4)
