"""What must be the same on all processes of a training, as facts that they compare."""

import dataclasses
import hashlib
from typing import Any

import jax
import jaxlib
import numpy as np

import nsn_jax

__all__ = ["digest", "facts"]


def digest(tree: Any) -> str:
  """A short hash of a pytree of arrays that every process holds: structure, shapes and bits."""
  found = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    array = np.asarray(leaf)
    found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
    found.update(np.ascontiguousarray(array).tobytes())
  return found.hexdigest()[:16]


def _flat(name: str, value: Any) -> dict[str, str]:
  """The fields of nested configurations, by their paths."""
  if dataclasses.is_dataclass(value):
    fields = [(f"{name}.{f.name}", getattr(value, f.name)) for f in dataclasses.fields(value)]
  elif isinstance(value, tuple) and any(dataclasses.is_dataclass(part) for part in value):
    fields = [(f"{name}[{index}]", part) for index, part in enumerate(value)]
  else:
    return {name: str(value)}
  found: dict[str, str] = {}
  for path, part in fields:
    found |= _flat(path, part)
  return found


def facts(
  mesh: jax.sharding.Mesh | None, key: jax.Array | None, rows: Any, **more: Any
) -> dict[str, str]:
  """What decides the bits of a training, beside the rows themselves.

  Args:
    mesh: as `fit` takes it.
    key: PRNG key; None for a computation that has none.
    rows: images or maps [n, ...] of this process, of which kind and shape count, and not how many.
    **more: by their names configurations, plain values, and pytrees of arrays.
  """
  devices = jax.local_devices() if mesh is None else mesh.devices.flat
  found = {
    "nsn_jax": nsn_jax.__version__,
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "mesh": str([device.id for device in devices]),
    "images": f"{rows.dtype} [N, {', '.join(map(str, rows.shape[1:]))}]",
  }
  if key is not None:
    words = np.asarray(jax.random.key_data(key)).tolist()
    found["key"] = f"{words} of {jax.random.key_impl(key)}"
  for name, value in more.items():
    if any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(value)):
      found[name] = f"one of digest {digest(value)}"
    else:
      found |= _flat(name, value)
  return found
