"""Logical shards: where rows lie, what a mesh may be, and the same bits on any number of them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import placement
from nsn_jax.placement import AXIS, P, Placement, cut, place

# where rows lie


@pytest.mark.parametrize("num_rows", [1, 15, 16, 17, 100, 1000])
def test_shards_hold_every_row_once_and_alike(num_rows):
  where = place(None)
  rows = [where.shard_rows(num_rows, shard) for shard in range(where.num_shards)]
  assert [row for own in rows for row in own] == list(range(num_rows))
  assert max(map(len, rows)) - min(map(len, rows)) <= 1
  assert where.local_rows(num_rows) == range(num_rows)
  assert placement.local_rows(num_rows, None) == range(num_rows)


@pytest.mark.parametrize("given", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("num_rows", [1, 16, 37])
def test_cut_rows_come_back_in_their_order(num_rows, given):
  rows = np.random.default_rng(0).normal(size=(num_rows, 3)).astype(np.float32)
  shards = cut(given(rows))
  assert shards.values.shape == (16, -(-num_rows // 16), 3)
  assert shards.num_rows == num_rows
  np.testing.assert_array_equal(shards.gathered(), rows)
  assert not np.asarray(shards.values)[~np.asarray(shards.valid)].any()


# what is computed on devices


def _on_devices(function, *arrays):
  where = place(None)
  return jax.jit(lambda *x: where.on_devices(function, P(AXIS), P())(*x))(*arrays)


def test_totals_are_sums_in_the_order_of_a_tree():
  # Large numbers of both signs: float32 sums in another order are others.
  parts = np.float32(np.random.default_rng(0).normal(size=16) * 1e6)
  expected = parts
  while len(expected) > 1:
    expected = expected[0::2] + expected[1::2]
  assert float(expected[0]) != float(np.cumsum(parts, dtype=np.float32)[-1])
  found = _on_devices(placement.total, jnp.asarray(parts))
  assert np.asarray(found).view(np.uint32) == expected.view(np.uint32)[0]


def test_rows_are_taken_to_the_bit_wherever_they_lie():
  values = np.float32(np.arange(16 * 5).reshape(16, 5))
  values[3, 2], values[9, 0] = -0.0, np.nan
  shard, row = np.int32([0, 3, 9, 15, 3]), np.int32([4, 2, 0, 1, 2])
  found = _on_devices(lambda x: placement.take_rows(x, shard, row), jnp.asarray(values))
  expected = values[shard, row]
  np.testing.assert_array_equal(np.asarray(found).view(np.uint32), expected.view(np.uint32))


def test_each_is_what_a_function_gives_of_each_shard():
  values = np.random.default_rng(0).normal(size=(16, 7)).astype(np.float32)
  found = _on_devices(
    lambda x: placement.total(placement.each(lambda v: (v.max(), v.min()), x)), jnp.asarray(values)
  )
  assert float(found[0]) == pytest.approx(values.max(1).sum(), rel=1e-6)
  assert float(found[1]) == pytest.approx(values.min(1).sum(), rel=1e-6)


# what a mesh may be


def test_a_placement_needs_two_whole_shards_a_device():
  mesh = jax.make_mesh((1,), ("anything",))
  assert place(mesh) == place(mesh, 16) == Placement(jax.sharding.Mesh(mesh.devices, (AXIS,)), 16)
  with pytest.raises(ValueError, match=r"mesh: expected devices that hold 2, 4, 8, ... whole sha"):
    place(mesh, 1)


@pytest.mark.parametrize("bad", [3, "data", (1, 2), object()])
def test_what_is_no_mesh_is_refused(bad):
  with pytest.raises(ValueError, match="mesh: expected"):
    place(bad)


_MESHES = """
import json
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from jax.sharding import AxisType, Mesh
from nsn_jax import placement

def told(*shape, names=None, shards=16, devices=None):
  names = names or tuple("abc"[: len(shape)])
  devices = np.array(jax.devices()[: int(np.prod(shape))] if devices is None else devices)
  try:
    where = placement.place(Mesh(devices.reshape(shape), names), shards)
    return [where.num_devices, where.per_device, list(where.local_shards)[-1]]
  except ValueError as error:
    return str(error)

print(json.dumps([
  told(8), told(1, 4, 1), told(2, 4), told(3), told(6, shards=24), told(8, shards=8),
  told(8, shards=20), told(3, shards=24), told(2, shards=24),
]))
"""


def test_meshes_of_several_devices(run_python):
  eight, flat, two, three, six, one_each, uneven, halves, twelve = json.loads(run_python(_MESHES))
  assert eight == [8, 2, 15] and flat == [4, 4, 15] and six == [6, 4, 23] and halves == [3, 8, 23]
  assert two.startswith("mesh: expected one axis longer than 1, got {'a': 2, 'b': 4}")
  for refused in (three, one_each, uneven, twelve):
    assert refused.startswith("mesh: expected devices that hold 2, 4, 8, ... whole shards of")
    assert "\n" not in refused and "NetworkConfig.num_shards" in refused


# the same bits

_BITS = """
import hashlib, json
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from jax.sharding import AxisType, Mesh
import nsn_jax
from sklearn.datasets import load_digits

images = (load_digits().images[:205, ..., None] / 16.0).astype(np.float32)
labels = load_digits().target[:205]
one = nsn_jax.LayerConfig(kernel=8, stride=1, threshold=-1.5, max_filters=40, exchange_steps=2,
                          max_passes=3, min_patches=2, rank=3, pooled=True)
config = nsn_jax.NetworkConfig(layers=(one,), whitening_epsilon=0.1, exact_decoders=False,
                               sampler=nsn_jax.SamplerConfig(prior="mixture"))
# Patches that hardly leave 40 directions: a layer that grows on coordinates.
rng = np.random.default_rng(0)
low = rng.normal(size=(603, 40)) @ rng.normal(size=(40, 400)) + 0.02 * rng.normal(size=(603, 400))
maps = low.reshape(603, 4, 4, 25).astype(np.float32)
upper = nsn_jax.LayerConfig(kernel=4, stride=1, threshold=-5.0, max_filters=40, exchange_steps=1,
                            max_passes=3)

def digest(tree):
  found = b"".join(np.asarray(x).tobytes() for x in jax.tree.leaves(tree))
  return hashlib.sha256(found).hexdigest()[:16]

devices = np.array(jax.devices())
explicit = Mesh(devices.reshape(1, 8), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
told = []
for mesh in (None, Mesh(devices[3:5], ("x",)), explicit):
  nsn = nsn_jax.fit(jax.random.key(0), images, config, labels=labels, mesh=mesh)
  filters, history = nsn_jax.fit_layer(jax.random.key(1), maps, upper, mesh=mesh)
  assert {d for x in jax.tree.leaves((nsn, filters)) for d in x.devices()} == {devices[0]}
  phases = sorted({record.phase for record in history})
  told.append([[*nsn.num_filters, filters.num_filters], phases, digest(nsn.whitening),
               digest(nsn.filters), digest(nsn.prior), digest(nsn.contrast), digest(filters)])
print(json.dumps(told))
"""


def test_networks_have_the_same_bits_on_any_number_of_devices(run_python):
  alone, *others = json.loads(run_python(_BITS))
  assert alone[1] == ["em", "exchange", "growth", "sample"]
  assert min(alone[0]) > 8
  assert len(others) == 2
  for other in others:
    assert other == alone


_DRAWN = """
import json
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 8)
from jax.sharding import AxisType, Mesh
import nsn_jax

rng = np.random.default_rng(0)
def filters(k, *window):
  return nsn_jax.Filters(rng.normal(size=(k, *window)).astype(np.float32),
                         rng.uniform(1, 2, k).astype(np.float32))
layers = (nsn_jax.LayerConfig(kernel=4, stride=2), nsn_jax.LayerConfig(kernel=3, stride=1))
config = nsn_jax.NetworkConfig(layers=layers, exact_decoders=False)
nsn = nsn_jax.NSN((filters(20, 4, 4, 1), filters(9, 3, 3, 20)), None, config)
images = rng.uniform(size=(150, 8, 8, 1)).astype(np.float32)
key, devices = jax.random.key(3), np.array(jax.devices())
drawn, maps = [], []
for count in (0, 1, 3, 8):
  mesh = Mesh(devices[:count], ("x",)) if count else None
  samples = nsn_jax.sample(key, nsn, 100, mesh=mesh)
  below = nsn_jax.decode(key, nsn, samples[:7, :1, :1, :1] * np.ones(9, np.float32), mesh=mesh)
  drawn.append(b"".join(np.asarray(x).tobytes() for x in (samples, below)).hex())
  maps.append([np.asarray(x) for x in nsn_jax.encode(nsn, images, mesh=mesh)])
assert [x.shape for x in maps[-1]] == [(150, 3, 3, 20), (150, 1, 1, 9)]
same = [all(np.array_equal(a, b) for a, b in zip(maps[1], other)) for other in maps[2:]]
near = max(float(np.abs(a - b).max()) for a, b in zip(maps[0], maps[1]))
print(json.dumps([len(set(drawn)), same, near]))
"""


def test_samples_and_maps_are_the_same_on_any_number_of_devices(run_python):
  kinds, same, near = json.loads(run_python(_DRAWN))
  assert kinds == 1 and same == [True, True]
  assert near < 1e-5  # in one block: rounding
