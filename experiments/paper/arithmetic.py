"""Fig 9: between filters of the last layer, and sums of them.

    python -m experiments.paper.arithmetic --model=runs/mnist/model.safetensors --workdir=runs/fig9

`interpolation.png` leads from one filter to another in steps, several draws each. `arithmetic.png`
shows A, B, C and A + B - C; `arithmetic.json` holds the filters used and how they were chosen.
Pairs are filters whose decoded images are far apart. Triples are found by a search: C is near B,
and the decoded A + B - C is an image to the network itself, but far from each of its terms, so that
the arithmetic shows something.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from tqdm import tqdm

import nsn_jax
from experiments.common import command_line, pictures, provenance, workdir
from nsn_jax import applications

__all__ = ["blended", "decoded", "draw", "propose_pairs", "propose_triples"]

_NUM_STEPS = 9
_NUM_DRAWS = 3
#: Of the last layer: a blend in the middle, where the network's own is either filter.
_BLEND_GAMMA, _BLEND_DRAWS = 10.0, 100
#: Filters that are looked at: pairs and triples of more would take long.
_MOST = 60
#: Filters C that are tried for each B, and sums decoded at a time.
_NEAREST, _BATCH = 3, 500


def blended(nsn: nsn_jax.NSN) -> nsn_jax.SamplerConfig:
  """The network's sampler, with many draws of a small gamma in its last layer."""
  own, count = nsn.config.sampler, nsn.num_layers
  gamma = (*own.per_layer("gamma", count)[:-1], _BLEND_GAMMA)
  num_draws = (*map(int, own.per_layer("num_draws", count)[:-1]), _BLEND_DRAWS)
  return dataclasses.replace(own, gamma=gamma, num_draws=num_draws)


def decoded(key: jax.Array, nsn: nsn_jax.NSN, filters: Sequence[int]) -> npt.NDArray[np.float32]:
  """Filters of the last layer in pixels, clipped, [n, H * W * C]."""
  one_hot = np.eye(nsn.num_filters[-1], dtype=np.float32)[list(filters)][:, None, None]
  images = np.clip(np.asarray(nsn_jax.decode(key, nsn, one_hot)), 0.0, 1.0)
  return images.reshape(len(images), -1)


def _apart(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
  """Squared distances of all pairs of rows."""
  return ((images[:, None] - images[None]) ** 2).sum(axis=-1)


def propose_pairs(images: npt.NDArray[np.float32], count: int) -> list[tuple[int, int]]:
  """Pairs of rows far apart, no row twice: the farthest first."""
  apart = _apart(images)
  found: list[tuple[int, int]] = []
  for flat in np.argsort(-apart, axis=None):
    first, second = (int(i) for i in np.unravel_index(flat, apart.shape))
    if first < second and not {first, second} & set(itertools.chain(*found)):
      found.append((first, second))
    if len(found) == count:
      break
  return found


def propose_triples(
  key: jax.Array, nsn: nsn_jax.NSN, filters: Sequence[int], count: int
) -> list[tuple[int, int, int]]:
  """Triples (A, B, C) of filters whose decoded A + B - C is an image of its own.

  For every C among the nearest to a B, and every A, the sum is decoded, and encoded again. A sum
  that the last layer finds no more unlike its filters than a quarter of the filters' own images is
  an image; of these the ones farthest from their nearest term come first, no filter twice.
  """
  top = nsn.num_layers - 1
  one_hot = np.eye(nsn.num_filters[-1], dtype=np.float32)[list(filters)][:, None, None]
  down_key, own_key, sum_key = jax.random.split(key, 3)
  maps = np.asarray(nsn_jax.decode(down_key, nsn, one_hot, stop_layer=top - 1))

  def in_pixels(key: jax.Array, maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.clip(np.asarray(nsn_jax.decode(key, nsn, maps, layer=top - 1)), 0.0, 1.0)

  def likeness(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(nsn_jax.encode(nsn, images)[-1]).max((1, 2, 3))

  own = in_pixels(own_key, maps)
  nearest = np.argsort(_apart(own.reshape(len(own), -1)), axis=1)
  near = nearest[:, 1 : 1 + _NEAREST]  # Column 0 is itself.
  triples = np.array(
    [
      (a, b, c)
      for b in range(len(own))
      for c in near[b]
      for a in range(len(own))
      if a not in (b, c)
    ]
  )
  # Part by part: it takes minutes, and all sums at once are gigabytes of colour images.
  parts = np.array_split(triples, -(-len(triples) // _BATCH))
  changes, likes = [], []
  for index, part in enumerate(tqdm(parts, "sums of filters", leave=False, disable=None)):
    a, b, c = part.T
    sums = in_pixels(jax.random.fold_in(sum_key, index), maps[a] + maps[b] - maps[c])
    changes.append(np.min([((sums - own[i]) ** 2).sum(axis=(1, 2, 3)) for i in (a, b, c)], axis=0))
    likes.append(likeness(sums))
  change = np.concatenate(changes)
  is_image = np.concatenate(likes) >= np.quantile(likeness(own), 0.25)
  found: list[tuple[int, int, int]] = []
  for row in np.argsort(-np.where(is_image, change, change - 1e6)):
    a, b, c = (int(filters[i]) for i in triples[row])
    if not {a, b, c} & set(itertools.chain(*found)):
      found.append((a, b, c))
    if len(found) == count:
      break
  return found


def draw(
  key: jax.Array, nsn: nsn_jax.NSN, folder: Any, num_pairs: int, num_triples: int
) -> dict[str, Any]:
  """Draws both figures; returns the filters used."""
  if nsn.num_filters[-1] < 3:
    raise ValueError(
      f"model: expected a last layer of at least 3 filters, got one of {nsn.num_filters[-1]}"
    )
  look_key, search_key, path_key, sum_key = jax.random.split(key, 4)
  looked_at = list(range(min(nsn.num_filters[-1], _MOST)))
  images = decoded(look_key, nsn, looked_at)
  pairs = propose_pairs(images, num_pairs)
  triples = propose_triples(search_key, nsn, looked_at, num_triples)
  rows = []
  for index, (first, second) in enumerate(pairs):
    found = applications.interpolate(
      jax.random.fold_in(path_key, index),
      nsn,
      first,
      second,
      _NUM_STEPS,
      _NUM_DRAWS,
      sampler=blended(nsn),
    )
    rows.append(np.asarray(found).reshape(-1, *found.shape[2:]))
  pictures.grid(
    np.concatenate(rows),
    folder / "interpolation.png",
    columns=_NUM_STEPS,
    title=f"from one filter to another, {_NUM_DRAWS} draws a pair",
  )
  rows = []
  for index, triple in enumerate(triples):
    added = applications.add_filters(jax.random.fold_in(sum_key, index), nsn, triple, _NUM_DRAWS)
    rows.append(np.concatenate([np.asarray(added.terms[0]), np.asarray(added.result)]))
  pictures.grid(
    np.concatenate(rows),
    folder / "arithmetic.png",
    columns=3 + _NUM_DRAWS,
    title=f"A, B, C and {_NUM_DRAWS} draws of A + B - C",
  )
  return {"pairs": pairs, "triples": triples, "looked_at": len(looked_at)}


def _define_flags() -> None:
  command_line.define_workdir()
  flags.DEFINE_string("model", None, "Model file.")
  flags.DEFINE_integer("num_pairs", 3, "Pairs of filters.", lower_bound=1)
  flags.DEFINE_integer("num_triples", 5, "Triples of filters.", lower_bound=1)
  command_line.define_seed("Seed of the draws.")


def _main() -> None:
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  nsn = command_line.judged_model()
  found = draw(jax.random.key(given.seed), nsn, folder, given.num_pairs, given.num_triples)
  provenance.write_result(folder / "arithmetic.json", found)
  print(f"pairs {found['pairs']}, triples {found['triples']}: pictures are in {folder}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
