"""Model files: arrays and plain values only, in the safetensors format. Loading runs no code."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from nsn_jax import checks, files, network
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.whitening import Whitening

__all__ = ["load", "save"]

_FORMAT = "nsn_jax"
#: 2: all metadata in one entry, as those of several come in any order, and a checksum in it.
_VERSION = 2


def save(path: str | os.PathLike[str], nsn: NSN) -> None:
  """Writes a network, whole or trained in part, to one file.

  The file is complete or not there: it is written beside its place and moved. Equal networks are
  equal bytes, and what is written, `load` takes.

  Raises:
    ValueError: for a network whose arrays do not make one: of other shapes than configured, not
      float32, not finite, or with unborn filters.
    OSError: where `path` cannot be written.
  """
  target = checks.path("path", path)
  network.check_sound("nsn", nsn)
  arrays: dict[str, np.ndarray] = {}
  for index, filters in enumerate(nsn.filters):
    for field, value in filters._asdict().items():
      arrays[f"filters.{index}.{field}"] = np.asarray(value)
  if nsn.whitening is not None:
    for field, value in nsn.whitening._asdict().items():
      arrays[f"whitening.{field}"] = np.asarray(value)
  # safetensors writes the buffer as it lies.
  arrays = {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
  config = json.dumps(dataclasses.asdict(nsn.config), sort_keys=True)
  entry = {"version": _VERSION, "config": config, "sha256": files.digest(arrays, config)}
  metadata = {_FORMAT: json.dumps(entry, sort_keys=True)}
  files.write_bytes(target, safetensors.numpy.save(arrays, metadata))


def _config(text: str) -> NetworkConfig:
  """Plain values to a configuration; unknown or missing fields raise TypeError, bad ones Value."""
  plain: dict[str, Any] = json.loads(text)
  plain["layers"] = tuple(LayerConfig(**layer) for layer in plain["layers"])
  plain["sampler"] = SamplerConfig(**plain["sampler"])
  return NetworkConfig(**plain)


def _entry(metadata: Mapping[str, str]) -> tuple[str, str | None]:
  """Configuration and checksum, if any, of a file's metadata.

  Raises:
    ValueError: for a foreign file, or one of another version.
  """
  if _FORMAT in metadata:
    entry: dict[str, Any] = json.loads(metadata[_FORMAT])
    known: int | str = _VERSION
  elif metadata.get("format") == _FORMAT:  # Version 1: an entry each, no checksum.
    entry, known = dict(metadata), "1"
  else:
    raise ValueError(f"expected a model file of {_FORMAT}, got another file")
  if entry["version"] != known:
    raise ValueError(f"expected version 1 or {_VERSION}, got version {entry['version']}")
  return entry["config"], None if known == "1" else str(entry["sha256"])


def _assembled(arrays: dict[str, np.ndarray], config: NetworkConfig) -> NSN:
  """Arrays to a network. Raises LookupError or ValueError where they do not fit together."""

  def take(name: str) -> jax.Array:
    value = arrays.pop(name)
    if value.dtype != np.float32:  # JAX would make it one without a word.
      raise ValueError(f"array {name}: expected float32, got {value.dtype}")
    return jnp.asarray(value)

  whitening = None
  if config.whitening_epsilon is not None:
    whitening = Whitening(*(take(f"whitening.{name}") for name in Whitening._fields))
  stack: list[Filters] = []
  for index in range(len(config.layers)):
    if not arrays:
      break  # trained in part
    stack.append(Filters(*(take(f"filters.{index}.{name}") for name in Filters._fields)))
  if arrays:
    raise ValueError(f"unknown arrays {sorted(arrays)}")
  nsn = NSN(tuple(stack), whitening, config)
  network.check_sound("network", nsn)
  return nsn


def load(path: str | os.PathLike[str]) -> NSN:
  """Reads what `save` wrote. Runs no code from the file, whoever made it.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: for a truncated file, a foreign one, one of another version, one whose checksum is
      another, or one whose arrays do not make a network.
  """
  source = checks.path("path", path)
  if not source.is_file():
    raise FileNotFoundError(f"path: expected a model file, found none at {source}")
  try:
    with safetensors.safe_open(source, framework="numpy") as file:
      config, checksum = _entry(file.metadata() or {})
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if checksum is not None and checksum != files.digest(arrays, config):
      raise ValueError("expected the checksum that was written, got another: it is damaged")
    return _assembled(arrays, _config(config))
  except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # dtypes unknown to it
    raise ValueError(
      f"path: expected a whole model file, got a truncated or foreign one: {source} ({error})"
    ) from error
  except (LookupError, ValueError, RecursionError) as error:
    raise ValueError(f"path: the model file does not make a network: {source} ({error})") from error
