"""The core alone, with jax, numpy, safetensors and threadpoolctl only: fit, draw, save, load.

Run by `.ci/run` in a fresh virtual environment, away from the clone.
"""

import importlib.metadata
import importlib.util
import pathlib
import tempfile

import jax
import numpy as np

import nsn_jax
from nsn_jax import applications, density

OPTIONAL = (
  "absl",
  "array_record",
  "flax",
  "jinja2",
  "matplotlib",
  "optax",
  "orbax",
  "PIL",
  "pooch",
  "skimage",
  "sklearn",
  "tabulate",
  "tensorflow_datasets",
  "tqdm",
)


def main() -> None:
  """Raises where the core needs more than it says, or the wheel holds other than it should."""
  there = [name for name in OPTIONAL if importlib.util.find_spec(name) is not None]
  assert not there, f"expected an environment without extras, got {there}"
  assert importlib.util.find_spec("experiments") is None, "the wheel ships the launchers"
  folder = pathlib.Path(nsn_jax.__file__).parent
  assert (folder / "py.typed").is_file(), "the wheel has no py.typed"
  assert importlib.metadata.version("nsn_jax") == nsn_jax.__version__
  for extra in ("data", "metrics", "baselines"):
    try:
      importlib.import_module(f"nsn_jax.{extra}")
    except ImportError as error:
      assert f"pip install 'nsn_jax[{extra}]'" in str(error), error
    else:
      raise AssertionError(f"nsn_jax.{extra} is there without its extra")

  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (200, 8, 8, 1)).astype(np.uint8)
  layers = (
    nsn_jax.LayerConfig(kernel=4, stride=2, max_filters=8),
    nsn_jax.LayerConfig(kernel=3, stride=1, max_filters=8),
  )
  config = nsn_jax.NetworkConfig(layers=layers, whitening_epsilon=0.1)
  nsn = nsn_jax.fit(jax.random.key(0), images, config)
  samples = nsn_jax.sample(jax.random.key(1), nsn, 4)
  assert samples.shape == (4, 8, 8, 1) and np.isfinite(samples).all()
  mask = np.zeros((8, 8), bool)
  mask[2:4] = True
  assert np.isfinite(applications.fill(jax.random.key(2), nsn, images[:2], mask)).all()
  assert len(density.layer_fits(nsn, images[:10])) == 2
  with tempfile.TemporaryDirectory() as place:
    path = pathlib.Path(place) / "model.safetensors"
    nsn_jax.save(path, nsn)
    again = nsn_jax.sample(jax.random.key(1), nsn_jax.load(path), 4)
  np.testing.assert_array_equal(samples, again)
  print(f"the core alone: nsn_jax {nsn_jax.__version__}, {nsn.num_filters} filters")


if __name__ == "__main__":
  main()
