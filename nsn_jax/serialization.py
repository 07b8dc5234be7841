"""Model files: arrays and plain values only, in the safetensors format. Loading runs no code."""

import dataclasses
import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from nsn_jax import files, network
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.whitening import Whitening

__all__ = ["load", "save"]

_FORMAT = "nsn_jax"
_VERSION = 1


def save(path: str | os.PathLike[str], nsn: NSN) -> None:
  """Writes a network, whole or trained in part, to one file.

  The file is complete or not there: it is written beside its place and moved.

  Raises:
    OSError: where `path` cannot be written.
  """
  arrays: dict[str, np.ndarray] = {}
  for index, filters in enumerate(nsn.filters):
    for field, value in filters._asdict().items():
      # safetensors writes the buffer as it lies.
      arrays[f"filters.{index}.{field}"] = np.ascontiguousarray(value)
  if nsn.whitening is not None:
    for field, value in nsn.whitening._asdict().items():
      arrays[f"whitening.{field}"] = np.ascontiguousarray(value)
  metadata = {
    "format": _FORMAT,
    "version": str(_VERSION),
    "config": json.dumps(dataclasses.asdict(nsn.config)),
  }
  data = safetensors.numpy.save(arrays, metadata)
  files.write_bytes(path, data)


def _config(text: str) -> NetworkConfig:
  """Plain values to a configuration; unknown or missing fields raise TypeError, bad ones Value."""
  plain: dict[str, Any] = json.loads(text)
  plain["layers"] = tuple(LayerConfig(**layer) for layer in plain["layers"])
  plain["sampler"] = SamplerConfig(**plain["sampler"])
  return NetworkConfig(**plain)


def _checked(arrays: dict[str, np.ndarray], config: NetworkConfig) -> NSN:
  """Arrays to a network. Raises LookupError or ValueError where they do not fit together."""
  for name, value in arrays.items():
    if value.dtype != np.float32 or not np.isfinite(value).all():
      raise ValueError(f"array {name}: expected finite float32, got {value.dtype} or not finite")

  def take(name: str) -> jax.Array:
    return jnp.asarray(arrays.pop(name))

  whitening = None
  if config.whitening_epsilon is not None:
    whitening = Whitening(*(take(f"whitening.{name}") for name in Whitening._fields))
    if whitening.mean.ndim != 3:
      raise ValueError(f"array whitening.mean: expected [H, W, C], got {whitening.mean.shape}")
    h, w, c = whitening.mean.shape
    if network.map_sizes((h, w), config.layers)[-1] != (1, 1):
      raise ValueError(f"array whitening.mean: expected {h} x {w} images to end at a 1 x 1 map")
    for name in ("transform", "inverse"):
      if getattr(whitening, name).shape != (c, h * w, h * w):
        raise ValueError(
          f"array whitening.{name}: expected shape {(c, h * w, h * w)}, "
          f"got {getattr(whitening, name).shape}"
        )
  stack: list[Filters] = []
  channels = None if whitening is None else whitening.mean.shape[-1]
  for index, layer in enumerate(config.layers):
    if not arrays:
      break  # trained in part
    filters = Filters(*(take(f"filters.{index}.{name}") for name in Filters._fields))
    mean, variance = filters
    expected = (variance.size, layer.kernel, layer.kernel, channels or mean.shape[-1])
    some = variance.ndim == 1 and variance.size
    if not some or mean.shape != expected or not (variance > 0).all():
      raise ValueError(
        f"array filters.{index}.mean: expected shape {expected} and positive "
        f"variances, got {mean.shape}"
      )
    channels = variance.size
    stack.append(filters)
  if arrays:
    raise ValueError(f"unknown arrays {sorted(arrays)}")
  return NSN(tuple(stack), whitening, config)


def load(path: str | os.PathLike[str]) -> NSN:
  """Reads what `save` wrote. Runs no code from the file, whoever made it.

  Raises:
    FileNotFoundError: where there is no such file.
    ValueError: for a truncated file, a foreign one, one of another version, or one whose arrays
      do not make a network.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(f"path: expected a model file, found none at {path}")
  try:
    with safetensors.safe_open(path, framework="numpy") as file:
      metadata = file.metadata() or {}
      if metadata.get("format") != _FORMAT:
        raise ValueError(f"path: expected a model file of {_FORMAT}, got another file: {path}")
      if metadata.get("version") != str(_VERSION):
        raise ValueError(
          f"path: expected a model file of version {_VERSION}, got version "
          f"{metadata.get('version')}: {path}"
        )
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # dtypes unknown to it
    raise ValueError(
      f"path: expected a whole model file, got a truncated or foreign one: {path} ({error})"
    ) from error
  try:
    return _checked(arrays, _config(metadata["config"]))
  except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
    raise ValueError(f"path: the model file does not make a network: {path} ({error})") from error
