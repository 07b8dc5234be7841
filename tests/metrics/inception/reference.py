"""Inception v3 of 2015-12-05 in torch, as its publications describe it: an oracle for ours.

Where torch is, `python -m tests.metrics.inception.reference`, from the repository's root, makes
`golden/inception.json` anew.
"""

import json
import pathlib
from collections.abc import Iterator

import numpy as np

from nsn_jax.metrics.inception import weights as weights_lib

GOLDEN = pathlib.Path(__file__).parent / "golden" / "inception.json"


def arrays() -> dict[str, np.ndarray]:
  """Random weights under the port's names, that keep the activations' scale from layer to layer.

  The same on every machine: RandomState's stream is frozen.
  """
  rng = np.random.RandomState(0)
  found = {}
  for name, shape in weights_lib.convolutions():
    fan_in = np.prod(shape[1:])
    found[f"{name}.conv.weight"] = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    found[f"{name}.bn.weight"] = rng.uniform(0.7, 1.3, shape[0])
    found[f"{name}.bn.bias"] = rng.uniform(-0.2, 0.2, shape[0])
    found[f"{name}.bn.running_mean"] = rng.uniform(-0.2, 0.2, shape[0])
    found[f"{name}.bn.running_var"] = rng.uniform(0.5, 1.5, shape[0])
  found["fc.weight"] = rng.standard_normal((1008, 2048)) / np.sqrt(2048)
  found["fc.bias"] = rng.standard_normal(1008)
  return {name: array.astype(np.float32) for name, array in found.items()}


def images() -> dict[str, np.ndarray]:
  """uint8 images of several sizes: smaller, larger and not square."""
  rng = np.random.RandomState(1)
  shapes = {"grey": (2, 28, 28, 1), "colour": (1, 64, 48, 3), "large": (1, 310, 305, 3)}
  return {name: rng.randint(0, 256, shape).astype(np.uint8) for name, shape in shapes.items()}


def resize(batch: np.ndarray) -> np.ndarray:
  """TensorFlow 1's bilinear resize to 299x299 by loops over the target's rows and columns."""
  x = batch.astype(np.float64)
  for axis in (1, 2):
    size = x.shape[axis]
    rows = []
    for target in range(299):
      place = target * size / 299
      low = int(np.floor(place))
      high = min(low + 1, size - 1)
      share = place - low
      rows.append((1 - share) * x.take(low, axis) + share * x.take(high, axis))
    x = np.stack(rows, axis)
  return x


def activations(weights: dict[str, np.ndarray], batch: np.ndarray) -> Iterator[tuple]:
  """Name and value [N, h, w, C] of every block's output, in float64, by torch."""
  import torch
  from torch.nn import functional

  def basic(x, name, **options):
    get = lambda field: torch.from_numpy(weights[f"{name}.{field}"]).double()  # noqa: E731
    x = functional.conv2d(x, get("conv.weight"), **options)
    fields = ("running_mean", "running_var", "weight", "bias")
    return torch.relu(functional.batch_norm(x, *(get(f"bn.{f}") for f in fields), eps=0.001))

  def average(x):
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

  def block_a(x, n):
    five = basic(basic(x, f"{n}.branch5x5_1"), f"{n}.branch5x5_2", padding=2)
    three = basic(basic(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
    three = basic(three, f"{n}.branch3x3dbl_3", padding=1)
    pool = basic(average(x), f"{n}.branch_pool")
    return torch.cat([basic(x, f"{n}.branch1x1"), five, three, pool], 1)

  def block_b(x, n):
    three = basic(basic(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
    three = basic(three, f"{n}.branch3x3dbl_3", stride=2)
    one = basic(x, f"{n}.branch3x3", stride=2)
    return torch.cat([one, three, functional.max_pool2d(x, 3, 2)], 1)

  def block_c(x, n):
    seven = basic(basic(x, f"{n}.branch7x7_1"), f"{n}.branch7x7_2", padding=(0, 3))
    seven = basic(seven, f"{n}.branch7x7_3", padding=(3, 0))
    double = basic(x, f"{n}.branch7x7dbl_1")
    for i, padding in ((2, (3, 0)), (3, (0, 3)), (4, (3, 0)), (5, (0, 3))):
      double = basic(double, f"{n}.branch7x7dbl_{i}", padding=padding)
    pool = basic(average(x), f"{n}.branch_pool")
    return torch.cat([basic(x, f"{n}.branch1x1"), seven, double, pool], 1)

  def block_d(x, n):
    three = basic(basic(x, f"{n}.branch3x3_1"), f"{n}.branch3x3_2", stride=2)
    seven = basic(basic(x, f"{n}.branch7x7x3_1"), f"{n}.branch7x7x3_2", padding=(0, 3))
    seven = basic(seven, f"{n}.branch7x7x3_3", padding=(3, 0))
    seven = basic(seven, f"{n}.branch7x7x3_4", stride=2)
    return torch.cat([three, seven, functional.max_pool2d(x, 3, 2)], 1)

  def block_e(x, n, pooled):
    three = basic(x, f"{n}.branch3x3_1")
    double = basic(basic(x, f"{n}.branch3x3dbl_1"), f"{n}.branch3x3dbl_2", padding=1)
    parts = [basic(x, f"{n}.branch1x1")]
    for y, name in ((three, "branch3x3_2"), (double, "branch3x3dbl_3")):
      parts.append(basic(y, f"{n}.{name}a", padding=(0, 1)))
      parts.append(basic(y, f"{n}.{name}b", padding=(1, 0)))
    return torch.cat([*parts, basic(pooled, f"{n}.branch_pool")], 1)

  with torch.no_grad():
    x = torch.from_numpy(np.broadcast_to(resize(batch), (len(batch), 299, 299, 3)).copy())
    x = (x.permute(0, 3, 1, 2) - 128) / 128
    x = basic(basic(x, "Conv2d_1a_3x3", stride=2), "Conv2d_2a_3x3")
    x = functional.max_pool2d(basic(x, "Conv2d_2b_3x3", padding=1), 3, 2)
    yield "pool1", x.permute(0, 2, 3, 1).numpy()
    x = functional.max_pool2d(basic(basic(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3"), 3, 2)
    yield "pool2", x.permute(0, 2, 3, 1).numpy()
    for name, block in (
      ("Mixed_5b", block_a),
      ("Mixed_5c", block_a),
      ("Mixed_5d", block_a),
      ("Mixed_6a", block_b),
      ("Mixed_6b", block_c),
      ("Mixed_6c", block_c),
      ("Mixed_6d", block_c),
      ("Mixed_6e", block_c),
      ("Mixed_7a", block_d),
      ("Mixed_7b", lambda x, n: block_e(x, n, average(x))),
      ("Mixed_7c", lambda x, n: block_e(x, n, functional.max_pool2d(x, 3, 1, 1))),
    ):
      x = block(x, name)
      yield name, x.permute(0, 2, 3, 1).numpy()
    features = x.mean(dim=(2, 3))
    yield "features", features.numpy()
    yield "logits", (features @ torch.from_numpy(weights["fc.weight"]).double().T).numpy()


def summary(value: np.ndarray) -> list[float]:
  """Mean, deviation, and the sum under weights that no two places share."""
  flat = value.astype(np.float64).ravel()
  places = np.cos(np.arange(flat.size) * 0.7)
  return [float(flat.mean()), float(flat.std()), float((flat * places).sum() / flat.size**0.5)]


if __name__ == "__main__":
  weights = arrays()
  golden = {
    name: {at: summary(value) for at, value in activations(weights, batch)}
    for name, batch in images().items()
  }
  GOLDEN.parent.mkdir(exist_ok=True)
  GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
