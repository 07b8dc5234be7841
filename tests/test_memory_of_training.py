"""Training holds batches of the images, and what its budget allows: never all of them."""

import json

_SCRIPT = """
import json, pathlib, sys, tempfile, threading, time
import jax, numpy as np
import nsn_jax

def anonymous():
  status = pathlib.Path("/proc/self/status").read_text()
  (line,) = [line for line in status.splitlines() if line.startswith("RssAnon")]
  return int(line.split()[1]) * 1024

layer = dict(max_filters=12, exchange_steps=1, max_passes=2, growth_patches=20_000)
layers = (nsn_jax.LayerConfig(kernel=4, stride=4, **layer),
          nsn_jax.LayerConfig(kernel=4, stride=1, **layer))
config = nsn_jax.NetworkConfig(layers=layers, exact_decoders=False)
rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
  path = pathlib.Path(folder, "images.npy")
  images = np.lib.format.open_memmap(path, "w+", np.uint8, (1_200_000, 16, 16, 1))
  kinds = rng.integers(0, 256, (40, 4, 4, 1)).astype(np.uint8)
  for start in range(0, len(images), 100_000):
    tiles = kinds[rng.integers(0, 40, (100_000, 4, 4))]
    images[start : start + 100_000] = tiles.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 16, 16, 1)
  del images
  images = np.load(path, mmap_mode="r")
  nsn_jax.fit(jax.random.key(0), images[:2_000], config)  # what XLA takes to compile
  before, most, done = anonymous(), [0], threading.Event()

  def watch():
    while not done.wait(0.01):
      most[0] = max(most[0], anonymous())

  watching = threading.Thread(target=watch)
  watching.start()
  nsn = nsn_jax.fit(jax.random.key(0), images, config, memory_budget_gb=images.nbytes / 4e9)
  done.set()
  watching.join()
  print(json.dumps([images.nbytes, most[0] - before, nsn.num_filters]))
"""


def test_a_data_set_of_four_times_the_budget_is_never_held(run_python):
  size, taken, num_filters = json.loads(run_python(_SCRIPT))
  assert size == 1_200_000 * 256 and min(num_filters) > 3
  # The budget is a quarter of it; batches, programs and one number an image, which the prior is of,
  # come on top: 0.77 of it was seen. All images would be 1.25 with the budget alone, and as float32
  # four times as much.
  assert taken < size, taken
