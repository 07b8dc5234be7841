"""One network of several processes' that were trained alike: the first one's."""

import pathlib
import tempfile

import jax
import numpy as np

from nsn_jax import alike, processes, serialization
from nsn_jax.network import NSN

__all__ = ["network_of_first"]


def network_of_first(nsn: NSN) -> NSN:
  """The first process's network, on every one: those of others may be rounded otherwise.

  It is sent where it is another one, which needs as much memory again.
  """
  if jax.process_count() == 1:
    return nsn
  own = alike.digest(nsn)
  if all(other == own for other in processes.joined(np.asarray([own]))):
    return nsn
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "nsn.safetensors")
    if jax.process_index() == 0:
      serialization.save(path, nsn)
      processes.of_first(path.read_bytes())
      return nsn
    path.write_bytes(processes.of_first(b""))
    return serialization.load(path)
