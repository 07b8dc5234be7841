"""State files: bit for bit there and back, and one clear line for any other file."""

import dataclasses
import json
import pathlib
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import nsn_jax
from nsn_jax import LayerState, Record, StateError, TrainingState, files, training
from nsn_jax.filters import Factors, Filters
from nsn_jax.origin import Origin

_BORN, _ROOM = 3, 5
_ORIGIN = Origin("threefry2x32 00000000 00000007", '{"layers": [1, 2]}', 300, "ab", 4 * 10**9, "cd")
_RECORDS = (
  Record("growth", 0, 2, 0.5, -1.25, 1500, 0.125),
  Record("growth", 1, _BORN, float(np.float32(1 / 3)), -1e-8, 3 * 10**9, 7.0),
)


def _state(phase: str = "growth", by: Any = np.asarray) -> TrainingState:
  rng = np.random.default_rng(0)
  size = _ROOM if phase == "growth" else _BORN
  mean = rng.standard_normal((size, 2, 2, 3)).astype(np.float32)
  mean[0, 0, 0] = [-0.0, 1e-45, 3e38]
  variance = np.full(size, np.inf, np.float32)
  variance[:_BORN] = 1e-20, 1.0, 3e38
  info = (_BORN, float(np.float32(0.1)), -2.5)
  state = LayerState(phase, 4, Filters(by(mean), by(variance)), info, 2, phase == "em")
  return TrainingState(1, state, _RECORDS, 10**12, "basis" * (phase == "sample"), _ORIGIN)


def _with(state: TrainingState, **changes: Any) -> TrainingState:
  """Another layer state: `changes` are of it, or of its filters."""
  inner = state.state
  of_filters = {name: changes.pop(name) for name in Filters._fields if name in changes}
  if of_filters:
    changes["filters"] = inner.filters._replace(**of_filters)
  return state._replace(state=inner._replace(**changes))


def _assert_same(a: TrainingState, b: TrainingState) -> None:
  for field in ("mean", "variance"):
    x, y = (np.asarray(getattr(s.state.filters, field)) for s in (a, b))
    np.testing.assert_array_equal(x.view(np.uint32), y.view(np.uint32), strict=True)
  plain = [s._replace(state=s.state._replace(filters=None)) for s in (a, b)]
  assert plain[0] == plain[1]


@pytest.mark.parametrize("phase", ["growth", "exchange", "sample", "em"])
@pytest.mark.parametrize("by", [np.asarray, jnp.asarray, np.asfortranarray])
def test_a_state_comes_back_bit_for_bit(tmp_path, phase, by):
  path = tmp_path / "state"
  nsn_jax.save_state(path, _state(phase, by))
  found = nsn_jax.load_state(str(path))
  _assert_same(found, _state(phase))
  assert isinstance(found.state.filters.mean, jax.Array)
  assert all(isinstance(record, Record) for record in found.history)
  assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_equal_states_are_equal_bytes(tmp_path):
  for name, by in zip("ab", (np.asarray, jnp.asarray), strict=True):
    nsn_jax.save_state(tmp_path / name, _state(by=by))
  nsn_jax.save_state(tmp_path / "c", nsn_jax.load_state(tmp_path / "a"))
  assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "state"
  nsn_jax.save_state(path, _state())

  def fail(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
      nsn_jax.save_state(path, _state("em"))
  _assert_same(nsn_jax.load_state(path), _state())
  assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_no_file(tmp_path):
  for path in (tmp_path / "state", tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^path: .*expected a state file"):
      nsn_jax.load_state(path)
  with pytest.raises(OSError, match="nowhere"):
    nsn_jax.save_state(tmp_path / "nowhere" / "state", _state())


# damage


def _refused(path: pathlib.Path, message: str = "") -> None:
  with pytest.raises(StateError, match=f"^path: .*{message}") as caught:
    nsn_jax.load_state(path)
  assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
  path = tmp_path / "state"
  nsn_jax.save_state(path, _state())
  whole = path.read_bytes()
  path.write_bytes(whole[: int(share * len(whole))])
  _refused(path, "truncated")


def test_a_file_with_a_tail_is_refused(tmp_path):
  path = tmp_path / "state"
  nsn_jax.save_state(path, _state())
  path.write_bytes(path.read_bytes() + b"\0" * 8)
  _refused(path)


def test_any_flipped_bit_is_seen(tmp_path):
  path = tmp_path / "state"
  nsn_jax.save_state(path, _state())
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  for place in rng.choice(len(whole), 300, replace=False):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)
    _refused(path)
  path.write_bytes(whole)
  _assert_same(nsn_jax.load_state(path), _state())


@pytest.mark.parametrize("kind", ["random", "text", "zeros", "npy", "pickle", "a model"])
def test_a_foreign_file_is_refused(tmp_path, kind, no_pickle):
  path = tmp_path / "state"
  if kind == "npy":
    with path.open("wb") as file:
      np.save(file, np.array([{}], object), allow_pickle=True)
  elif kind == "a model":
    layer = nsn_jax.LayerConfig(kernel=3, stride=1)
    nsn_jax.save(path, nsn_jax.NSN((), None, nsn_jax.NetworkConfig(layers=(layer,))))
  else:
    path.write_bytes(
      {
        "random": np.random.default_rng(0).bytes(5000),
        "text": b"digits\n" * 50,
        "zeros": bytes(5000),
        "pickle": pickle.dumps(print),
      }[kind]
    )
  _refused(path)


def _tampered(path: pathlib.Path, phase: str = "growth", **changes: Any) -> pathlib.Path:
  """A saved state with other entries, arrays ("mean", "variance") or values ("state.step").

  The checksum is right, unless it is given; None takes one away.
  """
  nsn_jax.save_state(path, _state(phase))
  with safetensors.safe_open(path, framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    entry = json.loads(file.metadata()["nsn_jax.state"])
  plain: Any = json.loads(entry["state"])
  for name, value in changes.items():
    if name in ("version", "sha256"):
      continue
    *outer, last = name.split("__")
    place = arrays if name in ("mean", "variance", "surprise") else plain
    for part in outer:
      place = place[int(part) if part.isdigit() else part]
    if value is None:
      del place[last]
    else:
      place[int(last) if last.isdigit() else last] = value
  entry["state"] = json.dumps(plain) if "whole" not in changes else changes["whole"]
  entry["sha256"] = files.digest(arrays, str(entry["state"]))
  entry |= {name: changes[name] for name in ("version", "sha256") if name in changes}
  entry = {name: value for name, value in entry.items() if value is not None}
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax.state": json.dumps(entry)}))
  return path


def test_tampering_alone_is_no_damage(tmp_path):
  _assert_same(nsn_jax.load_state(_tampered(tmp_path / "state")), _state())
  found = nsn_jax.load_state(_tampered(tmp_path / "state", state__step=9, patches=3))
  assert (found.state.step, found.patches) == (9, 3)


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, [], "a\nb", None])
def test_another_version_is_refused(tmp_path, version):
  _refused(_tampered(tmp_path / "state", version=version), "version")


def test_a_checksum_that_is_left_out_is_missed(tmp_path):
  _refused(_tampered(tmp_path / "state", sha256=None), "sha256")
  _refused(_tampered(tmp_path / "state", sha256="ab"), "checksum")


@pytest.mark.parametrize("entry", ["", "{", "null", "3", "[]", "{}", "[" * 200_000])
def test_metadata_that_are_no_record_are_refused(tmp_path, entry):
  path = tmp_path / "state"
  arrays = {"mean": np.zeros((1, 1, 1, 1), np.float32), "variance": np.ones(1, np.float32)}
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax.state": entry}))
  _refused(path)
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax": entry}))
  _refused(path, "another file")


def _zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
  return np.zeros(shape, dtype)


_NAN, _INF = float("nan"), float("inf")


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("whole", ""),
    ("whole", "null"),
    ("whole", "[]"),
    ("whole", 3),
    ("whole", "{}"),
    ("whole", "[" * 200_000),
    ("mean", None),
    ("variance", None),
    ("surprise", _zeros(1)),
    ("mean", _zeros(4, 2, 2, 3)),
    ("mean", _zeros(5, 12)),
    ("mean", _zeros()),
    ("mean", _zeros(5, 2, 2, 0)),
    ("mean", _zeros(5, 2, 2, 3, dtype=np.float64)),
    ("mean", _zeros(5, 2, 2, 3, dtype=np.int32)),
    ("mean", _zeros(5, 2, 2, 3, dtype=jnp.bfloat16)),
    ("mean", np.full((5, 2, 2, 3), np.nan, np.float32)),
    ("variance", np.array([1, 1, _NAN, _INF, _INF], np.float32)),
    ("variance", np.array([1, 1, 0, _INF, _INF], np.float32)),
    ("variance", np.array([1, 1, -1, _INF, _INF], np.float32)),
    ("variance", np.array([1, _INF, 1, 1, _INF], np.float32)),
    ("variance", np.array([1, 1, 1, 1, _INF], np.float32)),
    ("variance", np.full(5, _INF, np.float32)),
    ("variance", np.ones((5, 1), np.float32)),
    ("extra", 1),
    ("layer", None),
    ("layer", -1),
    ("layer", 1.0),
    ("layer", True),
    ("layer", 10**400),
    ("patches", -1),
    ("patches", 2**63),
    ("basis", 3),
    ("history", None),
    ("history", 3),
    ("history__0", []),
    ("history__0", ["growth"]),
    ("history__0__0", "whitening"),
    ("history__0__1", -1),
    ("history__0__4", _NAN),
    ("history__0__6", -1.0),
    ("state", []),
    ("state__phase", "grown"),
    ("state__phase", ["growth"]),
    ("state__phase", "em"),  # where all are born
    ("state__step", 1.5),
    ("state__step", None),
    ("state__stalled", "2"),
    ("state__done", 1),
    ("state__info", [3, 0.5]),
    ("state__info", [2, 0.5, 0.5]),  # three are born
    ("state__info", [3.0, 0.5, 0.5]),
    ("state__info__1", _NAN),
    ("state__info__2", _INF),
    ("state__a\nb", 1),
    ("origin", None),
    ("origin", "mine"),
    ("origin__key", 7),
    ("origin__config", "{"),
    ("origin__config", "[]"),
    ("origin__num_images", 0),
    ("origin__memory_budget", 0.5),
    ("origin__surprise", 0),
    ("origin__below", None),
  ],
)
def test_what_makes_no_state_is_refused(tmp_path, name, value):
  _refused(_tampered(tmp_path / "state", **{name: value}))


def test_unborn_filters_are_of_growth_alone(tmp_path):
  variance = np.array([1, 1, _INF], np.float32)
  for phase in ("exchange", "sample", "em"):
    path = _tampered(tmp_path / "state", phase, variance=variance, state__info=[2, 0.5, 0.5])
    _refused(path, "filters: expected 2 born ones")
  _refused(_tampered(tmp_path / "state", "sample", basis=""), "basis")


_UNSOUND = {
  "None": None,
  "a layer's state": _state().state,
  "a list of records": _state()._replace(history=list(_RECORDS)),
  "no records": _state()._replace(history=("growth",)),
  "float64": _with(_state(), mean=np.zeros((5, 2, 2, 3))),
  "a list": _with(_state(), variance=[1.0] * 5),
  "NaN": _with(_state(), mean=np.full((5, 2, 2, 3), np.nan, np.float32)),
  "unborn in em": _with(_state(), phase="em"),
  "factors": _with(_state(), factors=Factors(*[np.zeros((1, 1), np.float32)] * 3)),
  "numpy's info": _with(_state(), info=np.zeros(3)),
  "an origin that is a tuple": _state()._replace(origin=tuple(_ORIGIN)),
}


@pytest.mark.parametrize("kind", _UNSOUND)
def test_a_state_that_load_would_refuse_is_not_saved(tmp_path, kind):
  with pytest.raises(ValueError, match=r"^state[.:\[]"):
    nsn_jax.save_state(tmp_path / "state", _UNSOUND[kind])
  assert not list(tmp_path.iterdir())


# another training's

_KEY = jax.random.key(0)
_IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)
_LAYERS = tuple(
  nsn_jax.LayerConfig(kernel=kernel, stride=stride) for kernel, stride in ((4, 4), (2, 1))
)
_CONFIG = nsn_jax.NetworkConfig(layers=_LAYERS)
_BELOW = Filters(np.ones((2, 4, 4, 1), np.float32), np.ones(2, np.float32))


class _Trained(Exception):  # noqa: N818
  """A layer would have been trained."""


@pytest.fixture
def told(monkeypatch) -> dict[str, Any]:
  """Arguments of a `fit` that trains nothing, with the state that it told of in layer 1."""
  states: list[TrainingState] = []

  def train(_key, _maps, _config, log, _budget, resumed=None):
    log.keep(_state("em").state)
    raise _Trained(resumed)

  monkeypatch.setattr(training, "_train_layer", train)
  given = {
    "key": _KEY,
    "images": _IMAGES,
    "config": _CONFIG,
    "initial": nsn_jax.NSN((_BELOW,), None, _CONFIG),
  }
  with pytest.raises(_Trained):
    nsn_jax.fit(**given, on_state=states.append)
  return given | {"state": states[0]}


def test_a_state_of_the_same_training_is_taken_up(told):
  with pytest.raises(_Trained) as caught:
    nsn_jax.fit(**told)
  assert caught.value.args[0] is told["state"]


def _other_config(**changes: Any) -> nsn_jax.NetworkConfig:
  return dataclasses.replace(_CONFIG, **changes)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"key": jax.random.key(1)}, "key 'threefry2x32 00000000 00000001', .* 00000000'"),
    ({"key": jax.random.key(0, impl="rbg")}, "key 'rbg .*got 'threefry2x32"),
    ({"images": _IMAGES[:19]}, "num_images 19, .*got 20"),
    ({"images": _IMAGES[::-1]}, "images '[0-9a-f]{16}', .*got '[0-9a-f]{16}'"),
    ({"memory_budget_gb": 3.0}, "memory_budget 3000000000, .*got 4000000000"),
    ({"config": _other_config(num_shards=8)}, "config.num_shards 8, .*got 16"),
    (
      {"config": _other_config(layers=(dataclasses.replace(_LAYERS[0], rank=1), _LAYERS[1]))},
      r"config.layers\[0\].rank 1, .*got 0",
    ),
    ({"initial": nsn_jax.NSN((_BELOW._replace(mean=_BELOW.mean * 2),), None, _CONFIG)}, "below"),
    ({"initial": None}, "one of layer 0, .*got one of layer 1"),
  ],
)
def test_a_state_of_another_training_is_refused(told, changes, message):
  if "config" in changes:
    changes = changes | {"initial": dataclasses.replace(told["initial"], config=changes["config"])}
  begun: list[nsn_jax.NSN] = []
  with pytest.raises(StateError, match=f"^state: expected {message}") as caught:
    nsn_jax.fit(**told | changes, on_begin=begun.append)
  assert "\n" not in str(caught.value) and not begun


def test_a_state_of_a_finished_network_is_refused(told):
  top = Filters(np.ones((2, 2, 2, 2), np.float32), np.ones(2, np.float32))
  whole = nsn_jax.NSN((_BELOW, top), None, _CONFIG)
  with pytest.raises(StateError, match="state: expected none, as 2 of 2 layers are trained"):
    nsn_jax.fit(**told | {"initial": whole})


def test_a_state_that_is_none_is_refused(told):
  unsound = _with(told["state"], info=(7, 0.5, 0.5))
  for state in ("x", {}, told["state"].state, unsound):
    with pytest.raises(ValueError, match=r"^state"):
      nsn_jax.fit(**told | {"state": state})


def test_training_begins_with_the_whitening(told):
  config = _other_config(whitening_epsilon=0.1)
  given = {"key": _KEY, "images": _IMAGES, "config": config}
  begun: list[nsn_jax.NSN] = []
  with pytest.raises(_Trained):
    nsn_jax.fit(**given, on_begin=begun.append)
  (nsn,) = begun
  assert nsn.num_layers == 0 and nsn.whitening is not None and nsn.config == config

  phases: list[str] = []
  with pytest.raises(_Trained):
    nsn_jax.fit(**given, initial=nsn, report=lambda at: phases.append(at.phase))
  assert "whitening" not in phases
  with pytest.raises(ValueError, match=r"^initial: expected the whitening of images \[8, 8, 3\]"):
    nsn_jax.fit(**given | {"images": np.repeat(_IMAGES, 3, axis=3)}, initial=nsn)
