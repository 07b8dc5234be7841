"""A training that goes on on a mesh, by other programs than it began with: the same bits."""

import dataclasses

import numpy as np

import nsn_jax
from tests.resuming import assert_same_bits, train

_ON_A_MESH = """
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 4)
import nsn_jax
images, states = FILES
layer = nsn_jax.LayerConfig(**LAYER)
config = nsn_jax.NetworkConfig(layers=(layer,), exact_decoders=False)
for devices, path in zip(DEVICES, states, strict=True):
  state = nsn_jax.load_state(path)
  mesh = jax.make_mesh((devices,), ("data",), devices=jax.devices()[:devices])
  found = nsn_jax.fit(jax.random.key(0), np.load(images), config, state=state, mesh=mesh)
  nsn_jax.save(path, found)
"""


LAYER = nsn_jax.LayerConfig(
  kernel=8,
  stride=8,
  threshold=-0.5,
  growth_patches=150,
  seeds_per_step=6,
  em_steps=2,
  exchange_steps=2,
  max_filters=12,
  max_passes=9,
  tolerance=0.01,
)


def test_a_state_of_one_device_is_gone_on_from_on_a_mesh(digits, tmp_path, run_python):
  images = np.round(digits[:300] * 255).astype(np.uint8)
  trained = train(images, nsn_jax.NetworkConfig(layers=(LAYER,), exact_decoders=False))
  np.save(tmp_path / "images.npy", images)
  growth = next(s for s in trained.states if s.state.phase == "growth")
  exchange = next(s for s in trained.states if s.state.phase == "exchange")
  files = [str(tmp_path / "a"), str(tmp_path / "b")]
  for path, state in zip(files, (growth, exchange), strict=True):
    nsn_jax.save_state(path, state)
  names = {
    "FILES": (str(tmp_path / "images.npy"), files),
    "LAYER": dataclasses.asdict(LAYER),
    "DEVICES": (2, 4),
  }
  run_python("\n".join(f"{name} = {value!r}" for name, value in names.items()) + _ON_A_MESH)
  for path in files:
    found = nsn_jax.load(path)
    assert_same_bits(
      dataclasses.replace(found, prior=None, contrast=None, fed=None),
      dataclasses.replace(trained.nsn, prior=None, contrast=None, fed=None),
    )
