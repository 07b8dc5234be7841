"""Model files: arrays and plain values only, in the safetensors format. Loading runs no code."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from nsn_jax import checks, files, network
from nsn_jax.config import NetworkConfig
from nsn_jax.curves import Curves
from nsn_jax.decoder_features import Features
from nsn_jax.decoders import Decoder
from nsn_jax.filters import Factors, Filters
from nsn_jax.gains import Gains
from nsn_jax.network import NSN, Contrast
from nsn_jax.prior import Prior
from nsn_jax.whitening import Whitening

__all__ = ["load", "save"]

_FORMAT = "nsn_jax"
#: 2: all metadata in one entry, as those of several come in any order, and a checksum in it.
#: 3: factors, prior, decoders and contrast.
#: 4: decoders may have no projection of what they see.
_VERSION = 4
_READ_VERSIONS = (2, 3, 4)


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
  arrays = dict(_named("filters", nsn.filters))
  for field in ("whitening", "prior", "fed", "exact", "contrast"):
    arrays |= _named(field, getattr(nsn, field))
  # safetensors writes the buffer as it lies.
  arrays = {name: np.asarray(value, np.float32, order="C") for name, value in arrays.items()}
  config = json.dumps(dataclasses.asdict(nsn.config), sort_keys=True)
  seen = json.dumps({name: _seen(getattr(nsn, name)) for name in _DECODERS}, sort_keys=True)
  entry = {
    "version": _VERSION,
    "config": config,
    "seen": seen,
    "sha256": files.digest(arrays, config + seen),
  }
  metadata = {_FORMAT: json.dumps(entry, sort_keys=True)}
  files.write_bytes(target, safetensors.numpy.save(arrays, metadata))


#: Fields of a network that hold decoders.
_DECODERS = ("fed", "exact")


def _named(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
  """Every array in a part of a network, by its path: "filters.0.mean"."""
  if isinstance(value, tuple):
    fields = getattr(value, "_fields", range(len(value)))
    parts: list[tuple[Any, Any]] = list(zip(fields, value, strict=True))
  elif dataclasses.is_dataclass(value):
    parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
  else:
    # What is static is no array.
    if value is not None and not isinstance(value, bool | int):
      yield name, np.asarray(value)
    return
  for field, part in parts:
    yield from _named(f"{name}.{field}", part)


def _seen(decoders: tuple[Decoder | None, ...] | None) -> list[list[Any] | None] | None:
  """What decoders see of a feature map, plain: context and logits of each."""
  if decoders is None:
    return None
  return [None if x is None else [x.features.context, x.features.logits] for x in decoders]


def _config(text: str) -> NetworkConfig:
  """Plain values to a configuration; unknown or missing fields raise TypeError, bad ones Value."""
  return NetworkConfig.from_plain(json.loads(text))


def _entry(metadata: Mapping[str, str]) -> tuple[str, str, str | None]:
  """Configuration, what decoders see, and checksum, if any, of a file's metadata.

  Raises:
    ValueError: for a foreign file, or one of another version.
  """
  if _FORMAT in metadata:
    entry: dict[str, Any] = json.loads(metadata[_FORMAT])
    known: tuple[int | str, ...] = _READ_VERSIONS
  elif metadata.get("format") == _FORMAT:  # Version 1: an entry each, no checksum.
    entry, known = dict(metadata), ("1",)
  else:
    raise ValueError(f"expected a model file of {_FORMAT}, got another file")
  if entry["version"] not in known:
    raise ValueError(f"expected a version from 1 to {_VERSION}, got version {entry['version']}")
  checksum = None if known == ("1",) else str(entry["sha256"])
  return entry["config"], str(entry.get("seen", "")), checksum


def _assembled(arrays: dict[str, np.ndarray], config: NetworkConfig, seen: str) -> NSN:
  """Arrays to a network. Raises LookupError, TypeError or ValueError where they do not fit."""

  def take(name: str) -> jax.Array:
    value = arrays.pop(name)
    if value.dtype != np.float32:  # JAX would make it one without a word.
      raise ValueError(f"array {name}: expected float32, got {value.dtype}")
    return jnp.asarray(value)

  def decoder(name: str, context: Any, logits: Any) -> Decoder:
    if type(context) is not int or type(logits) is not bool:
      raise ValueError(
        f"{name}: expected a whole number and true or false, got {context}, {logits}"
      )
    of = f"{name}.features"
    projection, position, mean = (
      take(x) if x in arrays else None
      for x in (f"{of}.projection", f"{of}.position", f"{name}.mean")
    )
    features = Features(take(f"{of}.center"), projection, context, logits, position)
    return Decoder(features, mean, *(take(f"{name}.{x}") for x in ("basis", "bias", "weight")))

  whitening = None
  if config.whitening_epsilon is not None:
    whitening = Whitening(*(take(f"whitening.{name}") for name in Whitening._fields))
  stack: list[Filters] = []
  while f"filters.{len(stack)}.mean" in arrays and len(stack) < len(config.layers):
    name = f"filters.{len(stack)}"
    factors = None
    if f"{name}.factors.loading" in arrays:
      factors = Factors(*(take(f"{name}.factors.{field}") for field in Factors._fields))
    stack.append(Filters(take(f"{name}.mean"), take(f"{name}.variance"), factors))
  prior = contrast = None
  if "prior.share" in arrays:
    classes = take("prior.class_share") if "prior.class_share" in arrays else None
    prior = Prior(take("prior.share"), classes)
  if "contrast.factor" in arrays:
    gains = None
    if "contrast.gains.gain" in arrays:
      gains = Gains(*(take(f"contrast.gains.{field}") for field in Gains._fields))
    curves: list[Curves] = []
    while f"contrast.curves.{len(curves)}.shift" in arrays:
      of = f"contrast.curves.{len(curves)}"
      curves.append(Curves(*(take(f"{of}.{field}") for field in Curves._fields)))
    factor, center = take("contrast.factor"), take("contrast.center")
    contrast = Contrast(factor, center, gains, tuple(curves) or None)
  found: dict[str, tuple[Decoder | None, ...] | None] = dict.fromkeys(_DECODERS)
  for name, each in (json.loads(seen) if seen else {}).items():
    if name not in found:
      raise ValueError(f"unknown decoders {name}")
    if each is not None:
      found[name] = tuple(
        None if x is None else decoder(f"{name}.{index}", *x) for index, x in enumerate(each)
      )
  if arrays:
    raise ValueError(f"unknown arrays {sorted(arrays)}")
  nsn = NSN(tuple(stack), whitening, config, prior, found["fed"], found["exact"], contrast)
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
      config, seen, checksum = _entry(file.metadata() or {})
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if checksum is not None and checksum != files.digest(arrays, config + seen):
      raise ValueError("expected the checksum that was written, got another: it is damaged")
    return _assembled(arrays, _config(config), seen)
  except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # dtypes unknown to it
    raise ValueError(
      f"path: expected a whole model file, got a truncated or foreign one: {source} ({error})"
    ) from error
  except (LookupError, ValueError, RecursionError) as error:
    raise ValueError(f"path: the model file does not make a network: {source} ({error})") from error
