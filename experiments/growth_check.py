"""Growth against k-means: the number of filters found, and how well they fit.

    python -m experiments.growth_check --model=runs/mnist/model.safetensors --dataset=mnist

At each layer of a trained network, scikit-learn's k-means is given the same number of clusters on
as many patches as growth saw, seeds the same EM over the full data, and both end side by side as
the mean best similarity over all patches. The layer below is the network's own in both.
"""

import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from sklearn.cluster import KMeans

import nsn_jax
from nsn_jax import data, em, layer, stream

_MODEL = flags.DEFINE_string("model", None, "Model file to check.", required=True)
_DATASET = flags.DEFINE_string("dataset", "mnist", "The data set that it was trained on.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of the TFDS data sets.")
_LIMIT = flags.DEFINE_integer("limit", None, "First images of the data set only.")
_BUDGET = flags.DEFINE_float("memory_budget_gb", 4.0, "For maps held between passes.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of k-means and of its patches.")

#: The paper's numbers of filters (Tables 3 and 4).
_PAPER = {
  "mnist": (96, 130, 131),
  "fashion_mnist": (140, 238, 256),
  "lfw": (284, 242, 240, 235, 161),
  "lsun/church_outdoor": (273, 263, 325, 398, 210),
}


def kmeans_filters(patches: np.ndarray, num_filters: int, seed: int) -> nsn_jax.Filters:
  """Filters at the clusters of scikit-learn's k-means, by the M-step of its assignment."""
  flat = patches.reshape(len(patches), -1)
  fitted = KMeans(num_filters, n_init=1, random_state=seed).fit(flat)
  mean = fitted.cluster_centers_.reshape(num_filters, *patches.shape[1:]).astype(np.float32)
  # With one variance for all, the E-step is k-means' own assignment.
  start = nsn_jax.Filters(jnp.asarray(mean), jnp.ones(num_filters))
  return em.m_step(em.e_step(patches, start), start)


def mean_similarity(
  maps: stream.MapStream, filters: nsn_jax.Filters, config: nsn_jax.LayerConfig
) -> float:
  """Mean best similarity over all patches of the data set."""
  *_, (total, _) = stream.statistics(
    maps, filters, config.threshold, config.kernel, config.stride
  )
  return float(em.mean_similarity(total))


def check(key: jax.Array, nsn: nsn_jax.NSN, images: np.ndarray, seed: int, budget: int) -> list:
  """One dict a layer."""
  rows = []
  maps = stream.MapStream(images, nsn.whitening)
  for index, (filters, config) in enumerate(zip(nsn.filters, nsn.config.layers, strict=True)):
    patches = stream.sample_patches(
      jax.random.fold_in(key, index), maps, config.kernel, config.stride, config.growth_patches
    )
    start = time.perf_counter()
    seeded = kmeans_filters(np.asarray(patches), filters.num_filters, seed)
    seeded = layer.refine(maps, seeded, config)
    seconds = time.perf_counter() - start
    grown, kmeans = (mean_similarity(maps, f, config) for f in (filters, seeded))
    rows.append(
      {
        "layer": index,
        "num_filters": filters.num_filters,
        "grown": grown,
        "kmeans": kmeans,
        "difference": grown - kmeans,
        "kmeans_seconds": seconds,
      }
    )
    if index + 1 < nsn.num_layers:
      maps = stream.above(maps, filters, config, budget)
  return rows


def main(argv: list[str]) -> None:
  """Prints the table and writes it beside the model."""
  del argv
  nsn = nsn_jax.load(_MODEL.value)
  dataset = data.load(_DATASET.value, data_dir=_DATA_DIR.value, limit=_LIMIT.value)
  rows = check(
    jax.random.key(_SEED.value), nsn, dataset.images, _SEED.value, int(_BUDGET.value * 1e9)
  )
  paper = _PAPER.get(_DATASET.value, ())
  print(f"{_MODEL.value} on {len(dataset.images)} images of {_DATASET.value}")
  print("layer  filters  paper  mean best similarity: grown  k-means + EM  difference")
  for row in rows:
    index = row["layer"]
    count = paper[index] if index < len(paper) else "-"
    print(
      f"{index:5d}  {row['num_filters']:7d}  {count:>5}  {row['grown']:27.4f}  "
      f"{row['kmeans']:12.4f}  {row['difference']:+10.4f}"
    )
  out = pathlib.Path(_MODEL.value).with_suffix(".growth.json")
  out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
  app.run(main)
