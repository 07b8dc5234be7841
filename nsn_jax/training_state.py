"""State files: where a training is within a layer, in the safetensors format. No code is run."""

import json
import os
from collections.abc import Mapping
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from nsn_jax import checks, files
from nsn_jax.filters import Filters
from nsn_jax.origin import Origin, StateError
from nsn_jax.progress import LayerState, Record, TrainingState

__all__ = ["check_state", "load_state", "on_host", "save_state"]

_FORMAT, _VERSION = "nsn_jax.state", 1
#: In their order; a bank, with unborn filters, is there in the first alone.
_PHASES = ("growth", "exchange", "sample", "em")
#: Patches of all passes are more than 32 bits count.
_MOST_PATCHES = 2**63 - 1


def save_state(path: str | os.PathLike[str], state: TrainingState) -> None:
  """Writes the state of a training to one file: what `on_state` of `fit` is told of.

  The file is complete or not there, and equal states are equal bytes. `load_state` takes what is
  written. Unborn filters of a bank, of variance +inf, are written as they are.

  Args:
    path: of the file; one that is there is replaced.
    state: its filters by JAX or numpy: mean float32 [K, h, w, C], variance float32 [K].

  Raises:
    ValueError: for a state whose values do not make one.
    OSError: where `path` cannot be written.
  """
  target = checks.path("path", path)
  check_state("state", state)
  layer_state = state.state
  # safetensors writes the buffer as it lies.
  arrays = {
    name: np.asarray(getattr(layer_state.filters, name), np.float32, order="C")
    for name in ("mean", "variance")
  }
  plain = state._asdict() | {
    "state": layer_state._replace(filters=None)._asdict(),  # type: ignore[arg-type]
    "history": [list(record) for record in state.history],
    "origin": state.origin._asdict(),
  }
  text = json.dumps(plain, sort_keys=True)
  entry = {"version": _VERSION, "state": text, "sha256": files.digest(arrays, text)}
  metadata = {_FORMAT: json.dumps(entry, sort_keys=True)}
  files.write_bytes(target, safetensors.numpy.save(arrays, metadata))


def load_state(path: str | os.PathLike[str]) -> TrainingState:
  """Reads what `save_state` wrote. Runs no code from the file, whoever made it.

  Returns:
    A state for `fit(..., state=...)`, which says whether it is of that training.

  Raises:
    FileNotFoundError: where there is no such file.
    StateError: a ValueError; for a truncated file, a foreign one, one of another version, one whose
      checksum is another, or one whose values do not make a state.
  """
  source = checks.path("path", path)
  if not source.is_file():
    raise FileNotFoundError(f"path: expected a state file, found none at {source}")
  try:
    with safetensors.safe_open(source, framework="numpy") as file:
      text, checksum = _entry(file.metadata() or {})
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if checksum != files.digest(arrays, text):
      raise ValueError("expected the checksum that was written, got another: it is damaged")
    return _assembled(arrays, json.loads(text))
  except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # dtypes unknown to it
    raise StateError(
      "path: expected a whole state file, got a truncated or foreign one: "
      f"{source} ({_one_line(error)})"
    ) from error
  except (LookupError, ValueError, RecursionError) as error:
    raise StateError(
      f"path: the file makes no state of a training: {source} ({_one_line(error)})"
    ) from error


def _one_line(error: Exception) -> str:
  return " ".join(str(error).split())  # A file's own names may be of several.


def _entry(metadata: Mapping[str, str]) -> tuple[str, Any]:
  """What a state is but its arrays, and the checksum. Raises ValueError for a foreign file."""
  if _FORMAT not in metadata:
    raise ValueError(f"expected a state file of {_FORMAT}, got another file")
  entry: dict[str, Any] = json.loads(metadata[_FORMAT])
  version = entry["version"]
  if type(version) is not int or version != _VERSION:
    raise ValueError(f"expected version {_VERSION}, got version {version!r}")
  return entry["state"], entry["sha256"]


def _assembled(arrays: dict[str, np.ndarray], plain: dict[str, Any]) -> TrainingState:
  """A sound state. Raises LookupError, TypeError or ValueError where the values make none."""
  mean, variance = arrays.pop("mean"), arrays.pop("variance")
  if arrays:
    raise ValueError(f"unknown arrays {sorted(arrays)}")
  inner = dict(plain["state"])
  filters = Filters(mean, variance)  # type: ignore[arg-type]  # numpy's, until they are looked at
  inner |= {"filters": filters, "info": tuple(inner["info"])}
  state = TrainingState(
    **plain
    | {
      "state": LayerState(**inner),
      "history": tuple(Record(*values) for values in plain["history"]),
      "origin": Origin(**plain["origin"]),
    }
  )
  check_state("state", state)
  held = Filters(jnp.asarray(mean), jnp.asarray(variance))
  return state._replace(state=state.state._replace(filters=held))


def on_host(state: TrainingState) -> TrainingState:
  """The same, its arrays on the host, where nothing changes them any more."""
  filters = state.state.filters
  held = Filters(*(_copied(value) for value in (filters.mean, filters.variance)))
  return state._replace(state=state.state._replace(filters=held))


def _copied(value: Any) -> Any:
  # JAX's arrays never change, and are the same on all devices.
  if isinstance(value, np.ndarray):
    return value.copy()
  return np.asarray(value.addressable_data(0))


def check_state(name: str, value: Any) -> None:
  """Raises ValueError unless all that a state holds makes one; whose it is `fit` looks at."""
  checks.instance(name, value, TrainingState)
  checks.integer(f"{name}.layer", value.layer, 0)
  checks.integer(f"{name}.patches", value.patches, 0, _MOST_PATCHES)
  _check_text(f"{name}.basis", value.basis)
  _check_origin(f"{name}.origin", value.origin)
  if not isinstance(value.history, tuple):
    _refuse(f"{name}.history", "a tuple of records", value.history)
  for index, record in enumerate(value.history):
    _check_record(f"{name}.history[{index}]", record)
  _check_layer_state(f"{name}.state", value.state)
  if value.state.phase == "sample" and not value.basis:
    _refuse(f"{name}.basis", "one, as coordinates alone are sampled", value.basis)


def _check_layer_state(name: str, state: Any) -> None:
  checks.instance(name, state, LayerState)
  _check_phase(f"{name}.phase", state.phase)
  checks.integer(f"{name}.step", state.step, 0)
  checks.integer(f"{name}.stalled", state.stalled, 0)
  checks.instance(f"{name}.done", state.done, bool)
  if not isinstance(state.info, tuple) or len(state.info) != 3:
    _refuse(f"{name}.info", "a tuple of three numbers", state.info)
  _check_info(name, *state.info)
  checks.instance(f"{name}.filters", state.filters, Filters)
  for field, layout in (("mean", "K, h, w, C"), ("variance", "K")):
    array = checks.floats(f"{name}.filters.{field}", getattr(state.filters, field), layout)
    if (array.dtype.kind, array.dtype.itemsize) != ("f", 4) or 0 in array.shape:
      _refuse(f"{name}.filters.{field}", "float32, at least one", f"{array.dtype} {array.shape}")
  if state.filters.factors is not None:
    raise ValueError(f"{name}.filters.factors: expected None within a layer")
  mean, variance = np.asarray(state.filters.mean), np.asarray(state.filters.variance)
  born = int(np.isfinite(variance).sum())
  room = len(variance) if state.phase == "growth" else born
  sound = (
    len(mean) == len(variance) == room
    and born == state.info[0]
    and bool(
      np.isfinite(mean).all() and (variance > 0).all() and np.isfinite(variance[:born]).all()
    )
  )
  if not sound:
    _refuse(
      f"{name}.filters",
      f"{state.info[0]} born ones, finite, and unborn ones behind them in growth alone",
      f"{len(mean)} means and {born} of {len(variance)} variances that are finite",
    )


def _check_origin(name: str, origin: Any) -> None:
  checks.instance(name, origin, Origin)
  checks.integer(f"{name}.num_images", origin.num_images, 1)
  checks.integer(f"{name}.memory_budget", origin.memory_budget, 1, _MOST_PATCHES)
  for field in ("key", "config", "images", "below"):
    _check_text(f"{name}.{field}", getattr(origin, field))
  if not isinstance(json.loads(origin.config), dict):
    _refuse(f"{name}.config", "a JSON object", origin.config)


def _check_record(name: str, record: Any) -> None:
  checks.instance(name, record, Record)
  _check_phase(f"{name}.phase", record.phase)
  checks.integer(f"{name}.step", record.step, 0)
  _check_info(name, *record[2:5])
  checks.integer(f"{name}.num_patches", record.num_patches, 0, _MOST_PATCHES)
  checks.number(f"{name}.seconds", record.seconds, 0.0)


def _check_info(name: str, num_filters: Any, below_share: Any, mean_similarity: Any) -> None:
  checks.integer(f"{name}.num_filters", num_filters, 1)
  checks.number(f"{name}.below_share", below_share, 0.0)
  checks.number(f"{name}.mean_similarity", mean_similarity, -np.inf)


def _check_phase(name: str, phase: Any) -> None:
  if phase not in _PHASES:
    _refuse(name, f"one of {', '.join(_PHASES)}", phase)


def _check_text(name: str, value: Any) -> None:
  if not isinstance(value, str):
    _refuse(name, "a text", value)


def _refuse(name: str, expected: str, given: Any) -> NoReturn:
  raise ValueError(f"{name}: expected {expected}, got {given!r:.200}")
