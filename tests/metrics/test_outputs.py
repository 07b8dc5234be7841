"""What a network makes of images, on one device and on several."""

import json
import re

import jax
import numpy as np
import pytest

from nsn_jax.metrics import outputs


def _forward(network, images):
  """Sums of pixels, and their products with a matrix."""
  sums = images.sum(axis=(1, 2)).astype(np.float32)
  return sums, sums @ network


@pytest.mark.parametrize("count", [0, 1, 5, 6, 17])
def test_outputs_equal_numpys_whatever_is_left_over(count):
  images = np.random.default_rng(0).integers(0, 256, (17, 2, 2, 3)).astype(np.uint8)[:count]
  matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
  features, logits = outputs.stream(_forward, matrix, images, 5, 3, 4)
  expected = images.astype(np.float64).sum(axis=(1, 2))
  np.testing.assert_array_equal(features, expected)
  np.testing.assert_array_equal(logits, expected @ matrix)  # integers below 2^24


def test_what_is_no_mesh_is_refused():
  device = jax.devices()[0]
  mesh = jax.sharding.AbstractMesh((1,), ("x",))
  for wrong in (mesh, device, 3):
    with pytest.raises(ValueError, match=re.compile("mesh: expected")):
      outputs.stream(_forward, np.eye(3), np.zeros((2, 2, 2, 3), np.uint8), 5, 3, 3, wrong)


_SCORED = """
import json
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from jax.sharding import Mesh
from nsn_jax import metrics
from nsn_jax.metrics import evaluation

rng = np.random.default_rng(0)
shape = metrics.Architecture(channels=(3, 4), kernels=(3, 3), num_features=5)
module = shape.network(3)
images = rng.integers(0, 256, (300, 8, 8, 1)).astype(np.uint8)
params = module.init(jax.random.key(0), images[:1], is_training=False)
judge = metrics.Classifier(params, 3, (8, 8, 1), shape)
devices = np.array(jax.devices())
alone = judge.outputs(images, batch_size=16)
found, scores = [], []
for count in (1, 3, 8):
  mesh = Mesh(devices[:count], ("x",))
  found.append(judge.outputs(images, batch_size=16, mesh=mesh))
  if count == 3:
    for use in (None, mesh):
      against = evaluation.reference(judge, images[:150], images[150:200], mesh=use)
      scores.append(evaluation.evaluate(jax.random.key(1), against, images[200:], mesh=use))
same = [all(np.array_equal(a, b) for a, b in zip(found[0], other)) for other in found[1:]]
near = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(alone, found[0]))
print(json.dumps([same, near, *(s.as_dict() for s in scores)]))
"""


def test_outputs_are_the_same_on_any_number_of_devices(run_python):
  same, near, alone, together = json.loads(run_python(_SCORED))
  assert same == [True, True]
  assert near < 1e-5  # another program: rounding
  assert alone.keys() == together.keys()
  for name, value in alone.items():
    # Sums of a hundred images' features, which differ by rounding; distances to pixels do not.
    assert together[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
