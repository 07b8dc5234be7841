"""Where data lie: logical shards on the devices of a mesh, and sums that do not depend on how many.

The data are cut into S logical shards, S fixed. Each of n devices holds S / n of them, next to
each other. What is computed of a shard is the same program on any number of devices, and sums over
shards are taken in the order of one balanced tree (`nsn_jax.tree_sum`); a plain `psum` would add in
the order of the devices. So a training has the same bits on 1, 2, 4, ... devices of one backend,
and on one process or several.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nsn_jax import checks, processes
from nsn_jax.tree_sum import tree_sum

__all__ = [
  "AXIS",
  "NUM_SHARDS",
  "Placement",
  "Shards",
  "cut",
  "each",
  "local_place",
  "local_rows",
  "on_one_device",
  "place",
  "take_rows",
  "total",
]

#: Name of the axis over which data are sharded.
AXIS = "data"
#: Logical shards by default. A device holds at least two of them: XLA unrolls a loop of one turn,
#: and compiles it to other bits.
NUM_SHARDS = 16

_Tree = TypeVar("_Tree")


@dataclasses.dataclass(frozen=True)
class Placement:
  """Devices, and how many logical shards they hold together; hashable, as programs depend on it.

  Attributes:
    mesh: of one axis, `AXIS`.
    num_shards: S, a multiple of the devices' number, at least twice as many.
  """

  mesh: Mesh
  num_shards: int = NUM_SHARDS

  @property
  def num_devices(self) -> int:
    """n, of all processes."""
    return self.mesh.size

  @property
  def per_device(self) -> int:
    """M = S / n, logical shards a device."""
    return self.num_shards // self.mesh.size

  @functools.cached_property
  def local_devices(self) -> range:
    """Positions in the mesh of this process's devices."""
    me = jax.process_index()
    mine = [i for i, d in enumerate(self.mesh.devices.flat) if d.process_index == me]
    return range(mine[0], mine[-1] + 1)

  @property
  def local_shards(self) -> range:
    """Numbers of the logical shards of this process: as many as of any other."""
    m, devices = self.per_device, self.local_devices
    return range(devices.start * m, devices.stop * m)

  def shard_rows(self, num_rows: int, shard: int) -> range:
    """Which of N rows logical shard number `shard` holds: as many as any other, or one more."""
    return range(num_rows * shard // self.num_shards, num_rows * (shard + 1) // self.num_shards)

  def local_rows(self, num_rows: int) -> range:
    """Which of N rows this process holds."""
    shards = self.local_shards
    return range(
      num_rows * shards.start // self.num_shards, num_rows * shards.stop // self.num_shards
    )

  def put(self, local: np.ndarray) -> jax.Array:
    """This process's part of an array, equally much a device, as one sharded along its first axis.

    Args:
      local: [k * devices of this process, ...].
    """
    return jax.make_array_from_process_local_data(NamedSharding(self.mesh, P(AXIS)), local)

  def replicate(self, tree: _Tree) -> _Tree:
    """The same values on all devices; every process gives them."""
    sharding = NamedSharding(self.mesh, P())

    def one(x: Any) -> jax.Array:
      if isinstance(x, jax.Array) and x.sharding == sharding:
        return x
      host = np.asarray(x)
      return jax.make_array_from_process_local_data(sharding, host, host.shape)

    return jax.tree.map(one, tree)

  def local(self, array: jax.Array) -> np.ndarray:
    """This process's rows of an array sharded along its first axis."""
    parts = sorted(array.addressable_shards, key=lambda part: part.index[0].start or 0)
    if len(parts) == 1:
      return np.asarray(parts[0].data)
    return np.concatenate([np.asarray(part.data) for part in parts])

  def on_devices(self, function: Callable[..., Any], in_specs: Any, out_specs: Any) -> Any:
    """`jax.shard_map` over the mesh, for use within a jitted function."""
    return jax.shard_map(
      function, mesh=self.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
    )


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=["values", "valid"], meta_fields=["place"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Shards:
  """Rows of all logical shards, sharded over the mesh along their first axis: a pytree.

  Attributes:
    values: [S, n, ...].
    valid: which rows count, bool [S, n]; those of a shard that do come first.
    place: where they lie, static.
  """

  values: jax.Array
  valid: jax.Array
  place: Placement

  @property
  def num_rows(self) -> int:
    """Those that count, of all shards."""
    return int(processes.across(self.place.local(self.valid).sum(dtype=np.int32)))

  def gathered(self) -> np.ndarray:
    """The rows that count, in the shards' order, on the host of every process."""
    return processes.joined(self.place.local(self.values)[self.place.local(self.valid)])


def place(mesh: Mesh | None, num_shards: int = NUM_SHARDS) -> Placement:
  """The placement of a user's mesh.

  Args:
    mesh: of one axis longer than 1 at most, explicit or auto; None for the default device alone.
    num_shards: S; results depend on it to the bit.

  Raises:
    ValueError: for a mesh of several axes, one whose devices do not hold at least two whole shards
      each, processes without an equal part in it or out of order, and no mesh where there are
      several processes, each of which would train a network of its own.
  """
  if mesh is None:
    if jax.process_count() > 1:
      raise ValueError(
        f"mesh: expected one over the devices of all {jax.process_count()} processes, got None: "
        'give jax.sharding.Mesh(jax.devices(), ("data",))'
      )
    (default,) = jax.device_put(np.float32(0.0)).devices()
    return Placement(Mesh(np.array([default]), (AXIS,)), num_shards)
  checks.instance("mesh", mesh, Mesh)
  _check_axes(mesh)
  size = mesh.size
  held = num_shards // size
  # Halves of halves, so that a device's part of the tree is a part of the tree of one device alone.
  if num_shards % size or held < 2 or (size > 1 and held & (held - 1)):
    raise ValueError(
      f"mesh: expected devices that hold 2, 4, 8, ... whole shards of {num_shards} each, got "
      f"{size} devices: NetworkConfig.num_shards says how many shards there are"
    )
  owners = [device.process_index for device in mesh.devices.flat]
  # What processes gather comes in the order of their numbers, and so must the shards.
  if owners != sorted(list(range(jax.process_count())) * (size // jax.process_count())):
    raise ValueError(
      f"mesh: expected as many devices of each of {jax.process_count()} processes, in the order of "
      f"these, got devices of processes {owners}"
    )
  return Placement(Mesh(mesh.devices.reshape(-1), (AXIS,)), num_shards)


def local_place(mesh: Mesh) -> Placement:
  """The placement of what a process does alone, on devices of its own, as sampling.

  Raises:
    ValueError: for a mesh of several axes, or of other processes' devices.
  """
  checks.instance("mesh", mesh, Mesh)
  _check_axes(mesh)
  me = jax.process_index()
  if any(device.process_index != me for device in mesh.devices.flat):
    raise ValueError(
      f"mesh: expected devices of this process, number {me}, got some of others: each process "
      "draws or encodes what it wants by itself"
    )
  return Placement(Mesh(mesh.devices.reshape(-1), (AXIS,)), 2 * mesh.size)


def _check_axes(mesh: Mesh) -> None:
  if sum(side > 1 for side in mesh.devices.shape) > 1:
    raise ValueError(f"mesh: expected one axis longer than 1, got {dict(mesh.shape)}")


def local_rows(num_rows: int, mesh: Mesh | None, num_shards: int = NUM_SHARDS) -> range:
  """Which of N rows, images or labels, this process gives to `fit`; those of one process are all.

  Args:
    num_rows: N.
    mesh: as `fit` takes it.
    num_shards: as of `NetworkConfig`.

  Raises:
    ValueError: for a mesh that `fit` would refuse.
  """
  checks.integer("num_rows", num_rows, 1)
  return place(mesh, num_shards).local_rows(int(num_rows))


def cut(rows: np.ndarray | jax.Array, where: Placement | None = None) -> Shards:
  """Rows [N, ...] that every process holds, as logical shards of N / S rows each."""
  where = where or place(None)
  host = np.asarray(rows)
  count = len(host)
  most = -(-count // where.num_shards)
  values = np.zeros((len(where.local_shards), most, *host.shape[1:]), host.dtype)
  valid = np.zeros(values.shape[:2], bool)
  for index, shard in enumerate(where.local_shards):
    mine = where.shard_rows(count, shard)
    values[index, : len(mine)] = host[mine.start : mine.stop]
    valid[index, : len(mine)] = True
  return Shards(where.put(values), where.put(valid), where)


def each(function: Callable[..., _Tree], *arrays: Any) -> _Tree:
  """On a device: what a function gives of each of its shards, one after the other, [m, ...]."""
  return jax.lax.map(lambda x: function(*x), arrays)


def total(parts: _Tree) -> _Tree:
  """On a device: sums over its shards, [m, ...], and over all devices; the same on each.

  As many bytes as a ring's all-reduce, but the order of the sum is ours. One device exchanges with
  itself: XLA would else compute what follows in one with the sum, and round otherwise.
  """

  def one(x: jax.Array) -> jax.Array:
    mine = tree_sum(x)
    n = jax.lax.axis_size(AXIS)
    flat = mine.reshape(-1)
    slices = jnp.pad(flat, (0, -flat.size % n)).reshape(n, -1)
    summed = tree_sum(jax.lax.all_to_all(slices, AXIS, 0, 0))
    return jax.lax.all_gather(summed, AXIS, tiled=True)[: flat.size].reshape(mine.shape)

  return jax.tree.map(one, parts)


def take_rows(array: jax.Array, shard: jax.Array, row: jax.Array) -> jax.Array:
  """On a device: array[shard, row] of float32 [S, n, ...], wherever they lie; the same on each."""
  m = array.shape[0]
  local = shard - jax.lax.axis_index(AXIS) * m
  mine = (local >= 0) & (local < m)
  found = jax.lax.bitcast_convert_type(array[jnp.clip(local, 0, m - 1), row], jnp.int32)
  keep = mine.reshape(mine.shape + (1,) * (found.ndim - mine.ndim))
  # One device has it and the others add zeros: to its bits, so that -0.0 stays what it is.
  found = jax.lax.psum(jnp.where(keep, found, 0), AXIS)
  return jax.lax.bitcast_convert_type(found, jnp.float32)


def on_one_device(tree: _Tree) -> _Tree:
  """What is the same on all devices, on this process's default one alone."""
  return jax.tree.map(lambda x: jax.device_put(np.asarray(x.addressable_data(0))), tree)
