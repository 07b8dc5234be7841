"""What must be the same on all processes of a training, as facts that they compare."""

import dataclasses
from typing import Any

import jax
import jaxlib
import numpy as np

import nsn_jax
from nsn_jax import files, origin

__all__ = ["digest", "facts"]


def digest(tree: Any) -> str:
  """A short hash of a pytree of arrays that every process holds: names, shapes and bits."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
  return files.digest(arrays)[:16]


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
      of_fields = dataclasses.is_dataclass(value) and not isinstance(value, type)
      plain = dataclasses.asdict(value) if of_fields else value
      found |= {path: str(part) for path, part in origin.flat(name, plain)}
  return found
