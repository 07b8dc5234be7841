"""How training scales: on paper to 256 chips, and as work a device on emulated ones.

    python -m experiments.studies.scaling

The first table is arithmetic: flops and bytes of one pass of EM over all patches and of one growth
step, and what each part takes by the chips' data sheets; nothing of it is measured. The second is
counted: as many patches a device on 1, 2, 4 and 8 emulated CPU devices, what XLA says of the
compiled programs (of loops it counts one turn), and the CPU time of all devices together over that
of one times their number. Eight emulated devices share the machine's cores, so that no wall clock
says how fast they would be apart.
"""

import dataclasses
import functools
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

import nsn_jax
from experiments.common import command_line, provenance, tables
from experiments.paper import layouts
from nsn_jax import em, growth, placement, stream

__all__ = ["CASES", "CHIPS", "Case", "Chip", "counted", "on_paper"]


class Chip(NamedTuple):
  """What a data sheet says.

  Attributes:
    flops: a second, of products of float32 with float32's digits.
    memory: bytes a second of its own memory.
    link: bytes a second to the other chips, of each.
    held: bytes of its own memory.
  """

  flops: float
  memory: float
  link: float
  held: float


#: An H100 (SXM) has 67e12 of float32; beyond 8 of them 400 Gbit/s each. A TPU v5e has 197e12 of
#: bfloat16, six of which make a product of float32; 1,600 Gbit/s to its neighbours.
CHIPS = {
  "H100": {8: Chip(67e12, 3.35e12, 450e9, 80e9), 256: Chip(67e12, 3.35e12, 50e9, 80e9)},
  "TPU v5e": {n: Chip(197e12 / 6, 0.82e12, 200e9, 16e9) for n in (8, 256)},
}


class Case(NamedTuple):
  """A layer of a training.

  Attributes:
    name: of the data set and the layer.
    num_images: N.
    positions: patches an image.
    num_values: D.
    num_filters: K.
    image_bytes: of an image as it comes from the host.
    below: flops of the layers below for one image, where their maps are computed again.
  """

  name: str
  num_images: int
  positions: int
  num_values: int
  num_filters: int
  image_bytes: int
  below: float = 0.0


CASES = (
  Case("MNIST, first", 60_000, 169, 16, 128, 784),
  Case("MNIST, last of `mnist-large`", 60_000, 1, 12_060, 919, 784),
  Case("churches 64x64, third", 126_000, 49, 9_000, 512, 12_288, 2.0 * 961 * 48 * 314),
  Case(
    "3 million 128x128, middle",
    3_000_000,
    225,
    4_096,
    16_384,
    49_152,
    2.0 * 3969 * 48 * 256 + 2.0 * 961 * 4096 * 256,
  ),
)

#: Patches that growth looks at, new filters a step, and passes over them a step.
_GROWTH_PATCHES, _SEEDS, _GROWTH_PASSES = 400_000, 256, 5
_HOST_LINK = 25e9  # bytes a second from a host's memory to one of its chips
#: Of the emulated devices.
_DEVICES = (1, 2, 4, 8)


def on_paper(case: Case, chip: Chip, num_chips: int) -> dict[str, Any]:
  """Seconds of a pass and of a growth step on so many chips, part by part."""
  k, d = case.num_filters, case.num_values
  patches = float(case.num_images) * case.positions
  flops = 2.0 * patches * k * d + case.num_images * case.below
  # Patches are written and read twice; similarities stay in the cache.
  moved = 3 * 4.0 * patches * d
  summed = 4.0 * k * (2 * d + 2)
  parts = {
    "product": flops / num_chips / chip.flops,
    "memory": moved / num_chips / chip.memory,
    "host": case.num_images * case.image_bytes / num_chips / _HOST_LINK,
    "sum": 2.0 * summed * (num_chips - 1) / num_chips / chip.link,
  }
  grown = min(_GROWTH_PATCHES, patches)
  step = 2.0 * grown * d * (k * _GROWTH_PASSES + _SEEDS) / num_chips / chip.flops
  step += _GROWTH_PASSES * parts["sum"]
  # A pass is as long as its longest part, and the sums after it.
  longest = max(parts["product"], parts["memory"], parts["host"])
  return {
    "case": case.name,
    "k": k,
    "d": d,
    "patches": patches,
    "flops": flops,
    "bytes": moved,
    "summed": summed,
    "chips": num_chips,
    **parts,
    "pass": longest + parts["sum"],
    "growth_step": step,
    "efficiency": longest / (longest + parts["sum"]),
    # Filters, their projection, the statistics of two shards and their sum.
    "held": 6 * 4.0 * k * d / chip.held,
  }


@dataclasses.dataclass(frozen=True)
class _Work:
  """Programs of a pass and of a growth step with as many patches a device."""

  num_devices: int
  per_shard: int = 512
  num_values: int = 400
  num_filters: int = 192

  @functools.cached_property
  def place(self) -> placement.Placement:
    devices = np.array(jax.devices()[: self.num_devices])
    return placement.place(jax.sharding.Mesh(devices, ("data",)), 2 * self.num_devices)

  def _normal(self, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)

  @functools.cached_property
  def patches(self) -> placement.Shards:
    rows = 2 * self.num_devices * self.per_shard
    return placement.cut(self._normal(rows, 1, 1, self.num_values), self.place)

  @functools.cached_property
  def filters(self) -> nsn_jax.Filters:
    mean = self._normal(self.num_filters, 1, 1, self.num_values)
    variance = np.full(self.num_filters, 400.0, np.float32)
    return self.place.replicate(nsn_jax.Filters(mean, variance))  # type: ignore[arg-type]

  def compiled(self) -> dict[str, Any]:
    """The programs by name."""
    place, shapes = self.place, jax.eval_shape(em.zero_statistics, self.filters)
    total = jax.tree.map(
      lambda x: place.put(np.zeros((self.num_devices, *x.shape), x.dtype)), shapes
    )
    images = self.patches.values.reshape(-1, 1, 1, self.num_values)
    counts = np.full(self.num_devices, 2 * self.per_shard, np.int32)
    return {
      "pass": stream.accumulate.lower(
        total,
        self.filters,
        np.float32(-1.0),
        stream.Encoder(),
        images,
        place.put(counts),
        window=(1, 1),
        num_parts=1,
        place=place,
      ).compile(),
      "growth step": growth.growth_step.lower(
        *self._growing(), num_seeds=16, em_steps=3, min_patches=8
      ).compile(),
    }

  def _growing(self) -> tuple[Any, ...]:
    key, floor = jax.random.key(0), np.float32(1e-4)
    return key, np.int32(0), self.patches, self.filters, np.float32(-1.0), floor

  def cpu_seconds(self, program: Any, repeats: int) -> float:
    """Of one growth step on all devices together: the least of several."""
    key, step, patches, bank, threshold, floor = self._growing()
    found = []
    for _ in range(repeats + 1):
      start = time.process_time()
      jax.block_until_ready(program(key, step, patches, bank, threshold, floor))
      found.append(time.process_time() - start)
    return min(found[1:])


def counted(repeats: int) -> list[dict[str, Any]]:
  """A row a number of devices: flops and bytes of a device, and CPU time, over those of one."""
  rows: list[dict[str, Any]] = []
  alone: dict[str, float] = {}
  for number in _DEVICES:
    work = _Work(number)
    programs = work.compiled()
    found: dict[str, float] = {}
    for name, program in programs.items():
      analysis = program.cost_analysis()
      found[f"{name}, flops"] = float(analysis["flops"])
      found[f"{name}, bytes"] = float(analysis["bytes accessed"])
    found["growth step, CPU time"] = work.cpu_seconds(programs["growth step"], repeats) / number
    alone = alone or found
    rows.append({"devices": number} | {name: x / alone[name] for name, x in found.items()})
  return rows


def _define_flags() -> None:
  flags.DEFINE_integer("repeats", 5, "Times that CPU time is measured.", lower_bound=1)
  flags.DEFINE_string("json", None, "Where to write the numbers, too.")


def _main() -> None:
  """Prints both tables."""
  jax.config.update("jax_num_cpu_devices", max(_DEVICES))
  jax.config.update("jax_platforms", "cpu")
  paper = [
    {"chip": name} | on_paper(case, chip, number)
    for case in CASES
    for name, chips in CHIPS.items()
    for number, chip in chips.items()
  ]
  print("On paper: seconds of a pass of EM over all patches, and of a growth step")
  print(tables.aligned(layouts.scaling.paper_cells(paper)))
  rows = counted(flags.FLAGS.repeats)
  print("Counted: work of each device with as many patches each, over that of one alone")
  print(tables.aligned(layouts.scaling.counted_cells(rows)))
  if flags.FLAGS.json:
    provenance.write_result(pathlib.Path(flags.FLAGS.json), {"paper": paper, "counted": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
