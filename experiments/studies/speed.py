"""Speed, as ratios measured in one run on one machine.

    python -m experiments.studies.speed                       # EM passes, and reading of images
    python -m experiments.studies.speed --end_to_end --data_dir=...   # and fit and sample on MNIST
    python -m experiments.studies.speed --models=runs/mnist/model.safetensors   # sampling alone

Each time is the least of several; the bare product N x D x K in numpy is the unit. faiss-cpu and
scikit-learn are peers where they are installed: one iteration of their k-means does about what an
EM pass does, without variances. Images are read from JPEG files, which are decoded in threads, and
again from the cache, where they are mapped: the system still holds these in its memory.
"""

import dataclasses
import functools
import math
import pathlib
import platform
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from PIL import Image

import nsn_jax
from experiments.common import command_line, provenance, tables
from experiments.paper import layouts
from nsn_jax import data, em, numerics
from nsn_jax.network import decoded_sizes, map_sizes

__all__ = [
  "READ",
  "SIZES",
  "em_rows",
  "end_to_end",
  "least_seconds",
  "reader_rows",
  "sample_products",
  "sampling",
]

#: Patches N, values D, filters K.
SIZES = ((400_000, 16, 96), (60_000, 864, 130), (30_000, 2556, 242), (10_000, 4680, 131))
#: Images that are read, and their side.
READ = ((2_000, 64), (500, 256))
#: Images that are taken out of the mapped ones at a time.
_BATCH = 256


def least_seconds(work: Callable[[], object], repeats: int) -> float:
  """The least time of `work` after one call that compiles it."""
  jax.block_until_ready(work())
  times = []
  for _ in range(repeats):
    start = time.perf_counter()
    jax.block_until_ready(work())
    times.append(time.perf_counter() - start)
  return min(times)


def _faiss(x: np.ndarray, mean: np.ndarray) -> Callable[[], object] | None:
  try:
    import faiss  # an optional install
  except ImportError:
    return None

  def work() -> object:
    k, d = mean.shape
    kmeans = faiss.Kmeans(d, k, niter=1, max_points_per_centroid=len(x), min_points_per_centroid=1)
    return kmeans.train(x, init_centroids=mean)

  return work


def _sklearn(x: np.ndarray, mean: np.ndarray) -> Callable[[], object]:
  from sklearn.cluster import KMeans  # slow to import

  return lambda: KMeans(len(mean), init=mean, n_init=1, max_iter=1, tol=0).fit(x)


def em_rows(repeats: int) -> list[dict]:
  """The table of EM passes: an E-step and an M-step at four sizes."""
  rows = []
  rng = np.random.default_rng(0)
  for n, d, k in SIZES:
    # Patches about K means, as trained filters see them: no distance is lost in a product here;
    # below is the row where all are.
    mean = rng.standard_normal((k, d), dtype=np.float32)
    x = mean[rng.integers(0, k, n)] + rng.standard_normal((n, d), dtype=np.float32)
    tight = mean[rng.integers(0, k, n)] + 1e-3 * rng.standard_normal((n, d), dtype=np.float32)
    variance = np.full(k, float(d), np.float32)
    filters = nsn_jax.Filters(jnp.asarray(mean.reshape(k, 1, 1, d)), jnp.asarray(variance))
    bare = least_seconds(functools.partial(np.matmul, x, mean.T), repeats)

    def em_pass(values: np.ndarray, filters: nsn_jax.Filters = filters, d: int = d) -> float:
      patches = jnp.asarray(values.reshape(-1, 1, 1, d))

      # Without the checks of the public functions, which look at every value.
      def iteration() -> object:
        found = em.e_step_core(patches, filters, -np.inf, None, hold_below=False, chunk_size=None)
        return em.m_step_core(found, filters, numerics.VARIANCE_FLOOR)

      return least_seconds(iteration, repeats)

    row: dict[str, float | None] = {"n": n, "d": d, "k": k, "bare_ms": bare * 1e3}
    row["nsn_jax"], row["nsn_jax_exact"] = em_pass(x) / bare, em_pass(tight) / bare
    for name, peer in (("faiss", _faiss(x, mean)), ("sklearn", _sklearn(x, mean))):
      row[name] = least_seconds(peer, min(repeats, 3)) / bare if peer else None
    rows.append(row)
  return rows


def reader_rows(repeats: int) -> list[dict]:
  """The table of reading: colour images a second out of JPEG files, and out of the cache."""
  rows = []
  rng = np.random.default_rng(0)
  for n, side in READ:
    with tempfile.TemporaryDirectory() as folder:
      place = pathlib.Path(folder)
      (place / "images" / "train").mkdir(parents=True)
      for number in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8))
        coarse.resize((side, side)).save(place / "images" / "train" / f"{number:05d}.jpg")

      def read(cache: str, place: pathlib.Path = place, side: int = side) -> None:
        images = data.load(f"folder:{place}/images", image_size=side, cache_dir=cache).images
        for start in range(0, len(images), _BATCH):
          np.array(images[start : start + _BATCH])

      def decode(place: pathlib.Path = place, read: Callable[[str], None] = read) -> None:
        with tempfile.TemporaryDirectory(dir=place) as cache:
          read(cache)

      read(f"{place}/cache")
      row = {"n": n, "side": side, "decoded": n / least_seconds(decode, min(repeats, 3))}
      row["mapped"] = n / least_seconds(functools.partial(read, f"{place}/cache"), repeats)
    rows.append(row)
  return rows


def sample_products(nsn: nsn_jax.NSN) -> float:
  """Multiply-adds a sample of w @ mu at every layer, or of its decoder, and of the un-whitening.

  Where one filter is drawn a position the sampler takes its mean by its number, and does without
  the product w @ mu that Eq 4-5 have; it is counted all the same.
  """
  total, fed = 0.0, nsn.fed or (None,) * nsn.num_layers
  sizes = decoded_sizes((1, 1), nsn.config.layers)[1:]
  for (h, w), filters, decoder in zip(sizes, nsn.filters, fed, strict=True):
    each = filters.num_filters * filters.num_values
    if decoder is not None:
      of, (_, num_features, size) = decoder.features, decoder.weight.shape
      each = num_features * size + size * filters.num_values
      each += sum(x.size for x in (of.projection, of.position) if x is not None)
    total += h * w * each
  if nsn.whitening is not None:
    total += math.prod(nsn.whitening.inverse.shape)
  return total


def sampling(nsn: nsn_jax.NSN, num_samples: int, rate: float) -> dict[str, Any]:
  """Times a network's samples against the products that they are made of.

  Args:
    nsn: the network, whole.
    num_samples: that are drawn.
    rate: multiply-adds a second of the bare product.
  """
  seconds = least_seconds(lambda: nsn_jax.sample(jax.random.key(1), nsn, num_samples), 1)
  own = sample_products(nsn) * num_samples / rate
  return {
    "num_filters": nsn.num_filters,
    "num_samples": num_samples,
    "sample_seconds": seconds,
    "sample_products_seconds": own,
    "sample_ratio": seconds / own,
  }


def end_to_end(
  dataset: str, data_dir: str | None, preset: str, num_samples: int, repeats: int
) -> dict[str, Any]:
  """Times `fit` and `sample` against the bare products that they are made of."""
  images = data.load(dataset, data_dir=data_dir).images
  config = nsn_jax.presets.get(preset)
  last: dict[int, nsn_jax.Progress] = {}

  def report(progress: nsn_jax.Progress) -> None:
    last[progress.layer] = progress

  def fit(config: nsn_jax.NetworkConfig) -> tuple[nsn_jax.NSN, float]:
    start = time.perf_counter()
    nsn = nsn_jax.fit(jax.random.key(0), images, config, report=report)
    return nsn, time.perf_counter() - start

  # In one run: on the patches themselves all along, then on coordinates where those are fewer.
  layers = tuple(dataclasses.replace(layer, use_basis=False) for layer in config.layers)
  _, exact_seconds = fit(dataclasses.replace(config, layers=layers))
  last.clear()
  nsn, fit_seconds = fit(config)
  size = images.shape[1:3]
  per_pass, passes, rate = 0.0, 0.0, _bare_rate(repeats)
  for (h, w), filters, progress in zip(
    map_sizes(size, config.layers), nsn.filters, last.values(), strict=True
  ):
    one = float(h * w * len(images)) * filters.num_values * filters.num_filters
    per_pass += one
    passes += float(progress.patches) * filters.num_values * filters.num_filters
  return {
    "preset": preset,
    "fit_seconds": fit_seconds,
    "exact_fit_seconds": exact_seconds,
    "fit_in_bare_passes": fit_seconds * rate / per_pass,
    "passes_made": passes / per_pass,
    **sampling(nsn, num_samples, rate),
  }


def _bare_rate(repeats: int) -> float:
  """Multiply-adds a second of the bare product in numpy at the second size."""
  n, d, k = SIZES[1]
  x, mean = np.ones((n, d), np.float32), np.ones((k, d), np.float32)
  return n * d * k / least_seconds(lambda: x @ mean.T, repeats)


def _define_flags() -> None:
  flags.DEFINE_bool("end_to_end", False, "Times fit on a data set and 50,000 samples, too.")
  flags.DEFINE_string("preset", "mnist", "Preset of the end-to-end rows.")
  flags.DEFINE_string("dataset", "mnist", "Data set of the end-to-end rows.")
  flags.DEFINE_string("data_dir", None, "Folder of the TFDS data sets; TFDS's own by default.")
  command_line.define_num_samples(50_000)
  flags.DEFINE_list("models", [], "Network files: times samples of these, and nothing else.")
  flags.DEFINE_integer("repeats", 7, "Times that each row is measured.", lower_bound=1)
  flags.DEFINE_string("json", None, "Where to write the numbers, too.")


def _main() -> None:
  """Prints the tables."""
  given = flags.FLAGS
  device = jax.devices()[0]
  print(f"{device.device_kind} ({device.platform}), {platform.machine()}, jax {jax.__version__}")
  if given.models:
    rate, sampled = _bare_rate(given.repeats), []
    for path in given.models:
      sampled.append({"model": path, **sampling(nsn_jax.load(path), given.num_samples, rate)})
      print(f"{path}: {layouts.speed.sampling(sampled[-1])}", flush=True)
    if given.json:
      provenance.write_result(pathlib.Path(given.json), {"sampling": sampled})
    return
  rows = em_rows(given.repeats)
  print("An EM pass, as a multiple of the bare product in numpy")
  print(tables.aligned(layouts.speed.cells(rows)))
  images = reader_rows(given.repeats)
  print("Images a second")
  print(tables.aligned(layouts.speed.reader_cells(images)))
  result: dict[str, Any] = {"em": rows, "reader": images}
  if given.end_to_end:
    found = end_to_end(
      given.dataset, given.data_dir, given.preset, given.num_samples, given.repeats
    )
    result["end_to_end"] = found
    print(*layouts.speed.end_to_end(found), sep="\n")
  if given.json:
    provenance.write_result(pathlib.Path(given.json), result)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
