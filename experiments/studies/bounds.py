"""Where samples lose: real images' maps of each layer, decoded as samples are.

    python -m experiments.studies.bounds --model=runs/mnist/model.safetensors --data_dir=...

Held-out images are encoded up to a layer and decoded from there: what is lost between two rows is
lost by the decoder of the layer between them, and what is lost between the last two by the prior,
which draws what it is fed with where real maps are kept by the last layer's filters. Samples cannot
be much better than these rows, but no row is a strict bound: decoders and contrast are fitted to
what they are fed, not to real maps, and what a filter keeps of a held-out map is nearer to its
mean. As many images a row, evenly from all held-out ones, compared by the finder
(`experiments.common.finding`), which scores nothing; the table is printed and stands in
`MODEL.bounds.json`. `--scenes` for what has no labels.
"""

from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from tqdm import tqdm

import nsn_jax
from experiments.common import command_line, finding, provenance, tables
from experiments.paper import layouts
from nsn_jax import decoder_training
from nsn_jax.pixel_range import to_uint8

__all__ = ["bounds"]

#: Images that are encoded at a time: maps of all layers are held meanwhile.
_AT_ONCE = 100


def bounds(
  key: jax.Array, nsn: nsn_jax.NSN, images: npt.NDArray[np.uint8]
) -> dict[str, npt.NDArray[np.uint8]]:
  """What images come to when they are encoded and decoded, the least lost first.

  Args:
    key: PRNG key of all draws.
    nsn: the network, whole.
    images: uint8 [N, H, W, C].

  Returns:
    By what was done, uint8 of the same shape; samples at last.
  """
  last = nsn.num_layers - 1
  sample_key, *keys = jax.random.split(key, nsn.num_layers + 1)
  found: list[list[npt.NDArray[np.uint8]]] = [[] for _ in range(nsn.num_layers)]
  for i in tqdm(range(0, len(images), _AT_ONCE), unit=" batches", disable=None):
    batch = images[i : i + _AT_ONCE]
    kept = decoder_training.kept_maps(nsn, batch)
    starts: list[npt.NDArray | jax.Array] = [*nsn_jax.encode(nsn, batch)[:last], kept]
    for number, (layer_key, maps) in enumerate(zip(keys, starts, strict=True)):
      draw_key, layer = jax.random.fold_in(layer_key, i), min(number, last - 1)
      found[number].append(to_uint8(nsn_jax.decode(draw_key, nsn, maps, layer=layer)))
  names = [f"their maps of layer {layer}" for layer in range(last)]
  return {
    "real images": images,
    **{
      name: np.concatenate(parts)
      for name, parts in zip([*names, f"these as layer {last} keeps them"], found, strict=True)
    },
    "samples": to_uint8(nsn_jax.sample(sample_key, nsn, len(images))),
  }


def _define_flags() -> None:
  command_line.define_judged_model()
  command_line.define_scenes()
  flags.DEFINE_integer("num_images", 5_000, "Held-out images, and samples.", lower_bound=10)
  command_line.define_seed("Seed of all draws.")


def _main() -> None:
  """Prints the table and writes it beside the model."""
  given = flags.FLAGS
  data, model, nsn = command_line.judged()
  if nsn.num_layers < 2:
    raise ValueError(f"model: expected a network of two layers or more, got {nsn.num_layers}")
  finder, found_by, _, _, test = finding.find(data, given.scenes)
  # Evenly: data sets may be sorted, and the first half of MNIST's are of easier writers.
  count = min(given.num_images, len(test.images))
  images = test.images[np.linspace(0, len(test.images) - 1, count).astype(int)]
  rows = []
  for name, found in bounds(jax.random.key(given.seed), nsn, images).items():
    like = finding.likeness(finder, found)
    rows.append({"from": name, **like.as_dict()})
    print(f"{name}: {like.row()}", flush=True)
  out = model.with_suffix(".bounds.json")
  result: dict[str, Any] = {
    "dataset": data.name,
    "num_images": len(images),
    "found_by": found_by,
    "rows": rows,
  }
  provenance.write_result(out, result)
  print(f"{layouts.bounds.caption(result)}:\n{tables.aligned(layouts.bounds.cells(rows))}")
  print(f"wrote {out}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
