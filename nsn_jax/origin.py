"""What decides the bits of a layer's training, so that no state of another training is taken up."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from nsn_jax import files
from nsn_jax.config import NetworkConfig
from nsn_jax.rows import Rows

__all__ = [
  "Origin",
  "StateError",
  "check",
  "digest_of_some",
  "flat",
  "images_digest",
  "origin_of",
]

#: Of the images so many are looked at, and so many values of each array: what is cheap tells other
#: data and other networks apart, not a single value that was changed on purpose.
_NUM_IMAGES, _NUM_VALUES = 64, 1 << 18
#: Hexadecimal digits of a digest: enough for chance, and for a line that can be read.
_DIGITS = 16


class StateError(ValueError):
  """A state that training cannot go on from: damaged, or of another training."""


class Origin(NamedTuple):
  """What a training was, as its states tell.

  Attributes:
    key: generator and words of the PRNG key, as "threefry2x32 00000000 00000007".
    config: the `NetworkConfig` as JSON, which says `num_shards`, too.
    num_images: N, of all processes.
    images: digest of some of the images.
    memory_budget: in bytes; how many patches growth looks at depends on it.
    below: digest of the whitening and the layers below.
  """

  key: str
  config: str
  num_images: int
  images: str
  memory_budget: int
  below: str


def digest_of_some(*trees: Any) -> str:
  """A digest of evenly spaced values of every array of pytrees, and of their shapes."""
  arrays, shapes = {}, []
  for index, leaf in enumerate(jax.tree.leaves(trees)):
    flat = np.asarray(leaf).reshape(-1)
    shapes.append(np.shape(leaf))
    # Odd, so that it does not come to the same column of every row.
    arrays[str(index)] = flat[:: flat.size // _NUM_VALUES | 1]
  return files.digest(arrays, str(shapes))[:_DIGITS]


def images_digest(images: Rows) -> str:
  """A digest of some images, from the first to the last; every process has to ask for it."""
  numbers = np.unique(np.linspace(0, len(images) - 1, _NUM_IMAGES).astype(np.int64))
  return digest_of_some(images.take(numbers))


def origin_of(
  key: jax.Array, config: NetworkConfig, images: Rows, seen: str, memory_budget: int, below: Any
) -> Origin:
  """Of the training of the layer above others.

  Args:
    key: the training's.
    config: of the whole network.
    images: all of them.
    seen: their digest (`images_digest`).
    memory_budget: in bytes.
    below: a pytree of whitening and layers that are trained.
  """
  words = " ".join(f"{word:08x}" for word in np.asarray(jax.random.key_data(key)).tolist())
  text = json.dumps(dataclasses.asdict(config), sort_keys=True)
  name = f"{jax.random.key_impl(key)} {words}"
  return Origin(name, text, len(images), seen, memory_budget, digest_of_some(below))


def check(given: Origin, expected: Origin) -> None:
  """Raises StateError, which names the first field that differs, unless two origins are one."""
  theirs, ours = dict(_fields(given)), dict(_fields(expected))
  for name in [*ours, *theirs]:
    if theirs.get(name) != ours.get(name):
      raise StateError(
        f"state: expected {name} {ours.get(name)!r}, as this training has, "
        f"got {theirs.get(name)!r}: it is of another training"
      )


def _fields(origin: Origin) -> Iterator[tuple[str, Any]]:
  """Every value by its name, as "config.layers[0].threshold"."""
  for name, value in origin._asdict().items():
    yield from flat(name, _config(value) if name == "config" else value)


def _config(text: str) -> Any:
  """Plain values of a configuration; those of fields that came later are their defaults."""
  plain = json.loads(text)
  try:
    return dataclasses.asdict(NetworkConfig.from_plain(plain))
  except (LookupError, TypeError, ValueError):  # A foreign one, which is refused as it stands.
    return plain


def flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
  """The values of nested dicts and lists by their paths, as "config.layers[0].threshold"."""
  if isinstance(value, dict):
    for key, part in value.items():
      yield from flat(f"{name}.{key}", part)
  elif isinstance(value, list | tuple):
    for index, part in enumerate(value):
      yield from flat(f"{name}[{index}]", part)
  else:
    yield name, value
