"""Inception v3 against torch on random weights, block by block.

Where torch is not installed, summaries that it gave stand in (`golden/inception.json`).
"""

import json

import jax
import numpy as np
import pytest

from nsn_jax import metrics
from nsn_jax.metrics.inception import network as network_lib
from tests.metrics.inception import reference, torch_files


@pytest.fixture(scope="module")
def network(weights, tmp_path_factory) -> metrics.Inception:
  path = tmp_path_factory.mktemp("inception") / "weights.pth"
  torch_files.write(path, weights)
  return metrics.load_inception(path)


@pytest.fixture(scope="module")
def found(network) -> dict[str, dict[str, np.ndarray]]:
  run = jax.jit(lambda images: network_lib.activations(network, network_lib.prepare(images)))
  return {
    name: jax.tree.map(np.asarray, run(images)) for name, images in reference.images().items()
  }


def test_every_block_equals_torchs_summaries(found):
  golden = json.loads(reference.GOLDEN.read_text())
  assert golden.keys() == found.keys()
  for name, blocks in golden.items():
    assert blocks.keys() == found[name].keys()
    for block, expected in blocks.items():
      # float32 through 94 convolutions against float64: 1e-4 of the block's deviation.
      np.testing.assert_allclose(
        reference.summary(found[name][block]), expected, atol=1e-4 * expected[1], err_msg=block
      )


def test_every_block_equals_torch(found, weights):
  pytest.importorskip("torch", reason="torch is not installed: its summaries are tested instead")
  for name, images in reference.images().items():
    for block, expected in reference.activations(weights, images):
      np.testing.assert_allclose(
        found[name][block], expected, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=block
      )


def test_outputs_are_the_last_two_rungs(network, found):
  images = reference.images()["grey"]
  outputs = network.outputs(images, batch_size=3)
  assert outputs.features.shape == (2, 2048) and outputs.logits.shape == (2, 1008)
  np.testing.assert_allclose(outputs.features, found["grey"]["features"], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(outputs.logits, found["grey"]["logits"], rtol=1e-4, atol=1e-4)
  # The bias is left out: zero features give zero logits.
  np.testing.assert_allclose(
    outputs.features @ np.asarray(network.classes), outputs.logits, rtol=1e-4, atol=1e-4
  )
  assert network.outputs(images[:0]).features.shape == (0, 2048)


@pytest.mark.parametrize("name", ["grey", "colour", "large"])
def test_resize_is_tensorflows(name):
  images = reference.images()[name]
  expected = (np.broadcast_to(reference.resize(images), (len(images), 299, 299, 3)) - 128) / 128
  # Places in float32, as TensorFlow has them: 1e-4 of a pixel of a difference of up to 2.
  np.testing.assert_allclose(network_lib.prepare(images), expected, atol=1e-4)


def test_resize_by_hand():
  # Two columns: place i * 2 / 299, so that the left one fades over the first half and is gone.
  image = np.array([[[0], [128]]], np.uint8)[None]
  row = np.asarray(network_lib.prepare(image))[0, 0, :, 0] * 128 + 128
  np.testing.assert_allclose(row[[0, 1, 149]], [0, 128 * 2 / 299, 128 * 298 / 299], atol=1e-3)
  np.testing.assert_array_equal(row[150:], 128)


def test_outputs_errors(network):
  with pytest.raises(ValueError, match="images: expected 1 or 3 channels, got shape"):
    network.outputs(np.zeros((2, 8, 8, 2), np.uint8))
  with pytest.raises(ValueError, match="images: expected uint8"):
    network.outputs(np.zeros((2, 8, 8, 3), np.float32))
