"""Growth against k-means: the number of filters found, and how well they fit.

    python -m experiments.studies.growth_vs_kmeans --model=runs/mnist/model.safetensors

At each layer of a trained network, scikit-learn's k-means is given the same number of clusters on
as many patches as growth saw, seeds the same EM over the full data, and both end side by side as
the mean best similarity over all patches. The layer below is the network's own in both.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from sklearn.cluster import KMeans

import nsn_jax
from experiments.common import command_line, provenance, tables, workdir
from experiments.paper import layouts, published
from nsn_jax import em, layer, stream

__all__ = ["check", "kmeans_filters", "mean_similarity"]


def kmeans_filters(patches: np.ndarray, num_filters: int, seed: int) -> nsn_jax.Filters:
  """Filters at the clusters of scikit-learn's k-means, by the M-step of its assignment."""
  flat = patches.reshape(len(patches), -1)
  fitted = KMeans(num_filters, n_init=1, random_state=seed).fit(flat)
  mean = fitted.cluster_centers_.reshape(num_filters, *patches.shape[1:]).astype(np.float32)
  # With one variance for all, the E-step is k-means' own assignment.
  start = nsn_jax.Filters(jnp.asarray(mean), jnp.ones(num_filters))
  return em.m_step(em.e_step(jnp.asarray(patches), start), start)


def mean_similarity(
  maps: stream.MapStream, filters: nsn_jax.Filters, config: nsn_jax.LayerConfig
) -> float:
  """Mean best similarity over all patches of the data set."""
  *_, (_, total, _) = stream.em_iteration(maps, filters, config)
  assert total is not None  # The last one is the pass's.
  return float(em.mean_similarity(total))


def check(key: jax.Array, nsn: nsn_jax.NSN, images: np.ndarray, seed: int, budget: int) -> list:
  """One dict a layer."""
  rows = []
  maps = stream.of_images(images, nsn.whitening, budget)
  for index, (filters, config) in enumerate(zip(nsn.filters, nsn.config.layers, strict=True)):
    patches = stream.sample_patches(
      jax.random.fold_in(key, index), maps, config.kernel, config.stride, config.growth_patches
    )
    start = time.perf_counter()
    seeded = kmeans_filters(patches.gathered(), filters.num_filters, seed)
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


def _define_flags() -> None:
  command_line.define_judged_model()
  flags.DEFINE_float("memory_budget_gb", 4.0, "For maps held between passes.", lower_bound=0.0)
  command_line.define_seed("Seed of k-means and of its patches.")


def _main() -> None:
  """Prints the table and writes it beside the model."""
  given = flags.FLAGS
  data, model, nsn = command_line.judged()
  images = data.load().images
  rows = check(
    jax.random.key(given.seed), nsn, images, given.seed, int(given.memory_budget_gb * 1e9)
  )
  preset = workdir.read_config(model.parent).get("preset")
  paper = published.filter_counts(preset or data.name)
  print(f"{model} on {len(images)} images of {data.name}: mean best similarity")
  print(tables.aligned(layouts.growth.cells(rows, paper)))
  provenance.write_result(model.with_suffix(".growth_vs_kmeans.json"), {"rows": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
