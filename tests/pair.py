"""Two processes that train together, and one of them as a program: `python -m tests.pair`.

    python -m tests.pair PORT NUMBER OUT

The program goes through every case of `tests/test_processes.py` in one life, as a process that is
not the first compiles all programs itself. It leaves OUT/NUMBER.json and .npz.
"""

import dataclasses
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_digits

import nsn_jax
from nsn_jax import one_network, placement, processes, rows

ROOT = pathlib.Path(__file__).resolve().parents[1]

#: Not a multiple of the processes or shards.
NUM_IMAGES = 203


def digits() -> tuple[np.ndarray, np.ndarray]:
  """uint8 [203, 8, 8, 1], and their labels."""
  found = load_digits()
  images = (15 * found.images[:NUM_IMAGES, ..., None]).astype(np.uint8)
  return images, found.target[:NUM_IMAGES]


def feature_maps() -> np.ndarray:
  """float32 [203, 4, 4, 16] that leave few directions, so that a layer over them has a basis."""
  images, _ = digits()
  mix = np.random.default_rng(0).normal(size=(64, 256)).astype(np.float32) / 8
  return (images.reshape(NUM_IMAGES, 64) / 255.0 @ mix).astype(np.float32).reshape(-1, 4, 4, 16)


def config(**changes: Any) -> nsn_jax.NetworkConfig:
  """A layer of one filter, which needs no growth compiled, and one that grows, with factors."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=2,
      threshold=threshold,
      growth_patches=400,
      exchange_steps=0,
      max_passes=2,
      max_filters=most,
      min_patches=4,
      rank=rank,
      decoder="drawn",
    )
    for kernel, threshold, most, rank in ((2, 0.0, 1, 0), (4, 1.5, 12, 2))
  )
  sampler = nsn_jax.SamplerConfig(gamma=50.0, prior="mixture")
  found = nsn_jax.NetworkConfig(
    layers=layers, whitening_epsilon=0.5, exact_decoders=False, sampler=sampler
  )
  return dataclasses.replace(found, **changes)


#: Over whole maps, in coordinates, without growth.
LAYER = nsn_jax.LayerConfig(
  kernel=4, stride=1, max_filters=1, exchange_steps=0, max_passes=2, growth_patches=150
)


def network_arrays(nsn: nsn_jax.NSN) -> dict[str, np.ndarray]:
  """A network's arrays by their names."""
  leaves = jax.tree_util.tree_leaves_with_path(nsn)
  return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def start_both(command: Callable[[int, int], Sequence[str]]) -> list[subprocess.Popen[str]]:
  """Starts both processes; `command` takes a free port and the process's number."""
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = probe.getsockname()[1]
  env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
  pipe = subprocess.PIPE
  return [
    subprocess.Popen(command(port, number), cwd=ROOT, env=env, text=True, stdout=pipe, stderr=pipe)
    for number in range(2)
  ]


def _refusals(me: int, mesh: jax.sharding.Mesh) -> dict[str, str]:
  """What each of two processes says where one of them, or both, give what does not go together."""
  images, labels = digits()
  own = placement.local_rows(NUM_IMAGES, mesh)
  images, labels = images[own.start : own.stop], labels[own.start : own.stop]
  swapped = jax.sharding.Mesh(mesh.devices[::-1], mesh.axis_names)
  layers = config().layers
  other = config(layers=(layers[0], dataclasses.replace(layers[1], threshold=1.0 + me)))
  key, found = jax.random.key(0), {}

  def refused(name: str, call: Callable[[], object]) -> None:
    try:
      call()
      found[name] = "nothing was refused"
    except ValueError as error:
      found[name] = str(error)

  def fit(name: str, given: Any = images, asked: Any = None, **more: Any) -> None:
    more = {"key": key, "labels": labels, "mesh": mesh} | more
    refused(name, lambda: nsn_jax.fit(more.pop("key"), given, asked or config(), **more))

  fit("no mesh", mesh=None)
  fit("a process left out", mesh=jax.sharding.Mesh(mesh.devices[:1], mesh.axis_names))
  fit("out of order", mesh=swapped)
  fit("shards", asked=config(num_shards=2))
  fit("shards differ", asked=config(num_shards=16 << me))
  fit("dtype", images if me else images.astype(np.float32) / 255)
  fit("size", images[:, : 8 - me], labels=None)
  fit("values", images.astype(np.float32) / (1 if me else 255))
  fit("count", images[3 * (1 - me) :], labels=None)
  fit("threshold", asked=other)
  fit("key", key=jax.random.key(me))
  fit("labels", labels=labels if me else None)
  fit("labels of one", labels=labels - 1 if me else labels)
  fit("budget", memory_budget_gb=1.0 + me)
  maps = feature_maps()[own.start : own.stop]
  nothing = np.full_like(maps, np.nan)
  refused("maps", lambda: nsn_jax.fit_layer(key, nothing if me else maps, LAYER, mesh=mesh))
  refused("epsilon", lambda: nsn_jax.fit_whitening(images, 1.0 + me, mesh=mesh))
  return found


def _exchanged(me: int, mesh: jax.sharding.Mesh) -> dict[str, np.ndarray]:
  """What processes tell each other."""
  large = np.arange(3 * me, dtype=np.int64)[:, None] + (1 << 40)  # none of the first
  nothing = np.zeros((0, 2), np.float32)
  where = placement.place(mesh)
  own = where.local_rows(NUM_IMAGES)
  numbered = rows.Rows(np.arange(NUM_IMAGES)[own.start : own.stop], NUM_IMAGES, where)
  network = nsn_jax.NSN(
    (), nsn_jax.fit_whitening(digits()[0][own.start : own.stop], 1, mesh=mesh), config()
  )
  mine = dataclasses.replace(
    network, whitening=network.whitening._replace(mean=network.whitening.mean + me)
  )
  first = processes.arrays_of_first([np.full(2 + me, me, np.float32)] * (1 + me))
  return {
    "joined": processes.joined(large),
    "joined nothing": processes.joined(nothing),
    "across": processes.across(np.float64(0.1) + me),
    "of first": np.frombuffer(processes.of_first(b"first" if me == 0 else b"other"), np.uint8),
    "number of arrays of first": np.asarray(len(first)),
    "arrays of first": first[0],
    "taken": numbered.take(np.asarray(TAKEN)),
    "mean of first": one_network.network_of_first(mine).whitening.mean - network.whitening.mean,
  }


#: In no order, with repetitions, of both processes.
TAKEN = (202, 0, 101, 5, 5, 100, 202, 102)


def _main(port: int, me: int, out: pathlib.Path) -> None:
  jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=me)
  mesh = jax.sharding.Mesh(jax.devices(), ("data",))
  texts = _refusals(me, mesh)
  arrays = _exchanged(me, mesh)
  own = nsn_jax.local_rows(NUM_IMAGES, mesh)
  mine = slice(own.start, own.stop)
  images, labels = digits()
  key = jax.random.key(0)
  layer, records = nsn_jax.fit_layer(key, feature_maps()[mine], LAYER, mesh=mesh)
  arrays |= {"layer mean": layer.mean, "layer variance": layer.variance}
  texts["layer phases"] = " ".join(record.phase for record in records)
  progress: list[nsn_jax.Progress] = []

  def fit(report: Callable[[nsn_jax.Progress], None]) -> nsn_jax.NSN:
    return nsn_jax.fit(key, images[mine], config(), labels=labels[mine], mesh=mesh, report=report)

  arrays |= network_arrays(fit(progress.append))
  texts["fractions"] = json.dumps([at.fraction for at in progress])

  def die(at: nsn_jax.Progress) -> None:
    if me and at.layer:
      os._exit(0)

  np.savez(out / f"{me}.npz", **arrays)
  (out / f"{me}.json").write_text(json.dumps(texts))
  try:
    fit(die)
  except processes.LostProcessError as error:
    texts["lost"] = str(error)
  (out / f"{me}.json").write_text(json.dumps(texts))
  os._exit(0)  # Who is left would wait for the other to come to the end.


if __name__ == "__main__":
  _main(int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]))
