"""Model files: bit for bit there and back, and nothing but a clear error for any other file."""

import dataclasses
import json
import pathlib
import pickle
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from nsn_jax import files, presets
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.decoder_features import Features
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.sampler import sample
from nsn_jax.serialization import load, save
from nsn_jax.whitening import Whitening


def _network(whitened: bool = True) -> NSN:
  """7 -> 3 -> 1, no field of its configuration at the default."""
  rng = np.random.default_rng(0)

  def array(*shape: int) -> jax.Array:
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)

  filters = (
    Filters(array(4, 3, 3, 2), jnp.abs(array(4)) + 1e-20),
    Filters(array(3, 3, 3, 4), jnp.abs(array(3)) + 1e-4),
  )
  whitening = Whitening(array(7, 7, 2), array(2, 49, 49), array(2, 49, 49))
  layers = tuple(
    LayerConfig(
      kernel=3,
      stride=stride,
      threshold=-1 / 3,
      growth_patches=123,
      seeds_per_step=5,
      em_steps=2,
      min_patches=3,
      tolerated_share=0.01,
      patience=2,
      min_growth=0.03,
      max_growth_steps=44,
      exchange_steps=0,
      max_filters=77,
      max_passes=0,
      tolerance=1e-5,
      variance_floor=1e-6,
      use_basis=False,
      sample_patches=999,
      rank=2,
      pooled=True,
      decoder="linear",
      context=3,
      num_features=7,
      num_directions=9,
      position_features=5,
    )
    for stride in (2, 1)
  )
  sampler = SamplerConfig(
    gamma=(200.0, 20.0),
    num_draws=(1, 3),
    alpha=0.1,
    beta=-2.5,
    prior="mixture",
    temperature=0.7,
    decoder="exact",
  )
  config = NetworkConfig(
    layers=layers,
    whitening_epsilon=0.3 if whitened else None,
    sampler=sampler,
    exact_decoders=False,
  )
  return NSN(filters, whitening if whitened else None, config)


def _assert_same(a: NSN, b: NSN) -> None:
  assert a.config == b.config and hash(a.config) == hash(b.config)
  assert jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    assert isinstance(x, jax.Array) and x.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(x).view(np.uint32), np.asarray(y).view(np.uint32))


# there and back


@pytest.mark.parametrize("whitened", [False, True])
def test_a_network_comes_back_bit_for_bit(tmp_path, whitened):
  nsn = _network(whitened)
  path = tmp_path / "model.safetensors"
  save(path, nsn)
  _assert_same(load(path), nsn)
  save(str(path), load(str(path)))  # Over itself, and by a name.
  _assert_same(load(path), nsn)
  assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("num_layers", [0, 1])
def test_a_network_trained_in_part_comes_back(tmp_path, num_layers):
  for whitened in (False, True):
    nsn = _network(whitened)
    part = dataclasses.replace(nsn, filters=nsn.filters[:num_layers])
    save(tmp_path / "part", part)
    _assert_same(load(tmp_path / "part"), part)


@pytest.mark.parametrize("name", presets.names())
def test_the_presets_configurations_come_back(tmp_path, name):
  nsn = NSN((), None, dataclasses.replace(presets.get(name), whitening_epsilon=None))
  save(tmp_path / "model", nsn)
  assert load(tmp_path / "model").config == nsn.config


def test_arrays_of_any_layout_come_back(tmp_path):
  nsn = _network(whitened=False)
  first = nsn.filters[0]
  turned = Filters(np.asfortranarray(first.mean), np.asarray(first.variance)[::-1][::-1])
  save(tmp_path / "model", NSN((turned, nsn.filters[1]), None, nsn.config))
  _assert_same(load(tmp_path / "model"), nsn)


def test_a_configuration_of_numpys_numbers_is_kept(tmp_path):
  # Whatever a configuration takes can be saved: training must not end in an error here.
  numbers = {"threshold": np.float32(-1.5), "tolerance": np.float64(0.25)}
  layer = LayerConfig(kernel=3, stride=1, **numbers)
  config = NetworkConfig(layers=(layer,), whitening_epsilon=None)
  save(tmp_path / "model", NSN((), None, config))
  found = load(tmp_path / "model").config.layers[0]
  assert (found.threshold, found.tolerance) == (-1.5, 0.25)


def test_files_hold_arrays_and_plain_values_only(tmp_path):
  save(tmp_path / "model", _network())
  with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:
    assert set(file.keys()) == {
      "filters.0.mean",
      "filters.0.variance",
      "filters.1.mean",
      "filters.1.variance",
      "whitening.mean",
      "whitening.transform",
      "whitening.inverse",
    }
    (name,) = file.metadata()
    entry = json.loads(file.metadata()[name])
  assert (name, entry["version"], sorted(entry)) == (
    "nsn_jax",
    4,
    ["config", "seen", "sha256", "version"],
  )
  assert json.loads(entry["config"])["layers"][0]["max_filters"] == 77


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "model"
  save(path, _network())

  def fail(*_: object) -> None:
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, "replace", fail)
    with pytest.raises(KeyboardInterrupt):
      save(path, _network(whitened=False))
  _assert_same(load(path), _network())
  assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_save_where_nothing_can_be_written(tmp_path):
  with pytest.raises(OSError, match="nowhere"):
    save(tmp_path / "nowhere" / "model", _network())


# other files


def _tampered(
  path: pathlib.Path,
  arrays: dict[str, Any] = {},  # noqa: B006
  whitened: bool = True,
  nsn: NSN | None = None,
  **entry: Any,
) -> pathlib.Path:
  """A saved network with other arrays or entries, its checksum right; None takes one away."""
  save(path, _network(whitened) if nsn is None else nsn)
  with safetensors.safe_open(path, framework="numpy") as file:
    old = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    about = json.loads(file.metadata()["nsn_jax"])
  old = {name: value for name, value in {**old, **arrays}.items() if value is not None}
  about |= entry
  if isinstance(about["config"], str):
    about["sha256"] = files.digest(old, about["config"] + str(about.get("seen") or ""))
  about = {name: value for name, value in about.items() if value is not None}
  path.write_bytes(safetensors.numpy.save(old, {"nsn_jax": json.dumps(about)}))
  return path


def _refused(path: pathlib.Path, message: str = "") -> None:
  with pytest.raises(ValueError, match=f"^path: .*{message}") as caught:
    load(path)
  assert str(path) in str(caught.value)


class _Exploit:
  """Writes a file where it is unpickled."""

  def __init__(self, path: pathlib.Path):
    self.path = path

  def __reduce__(self) -> tuple[Any, ...]:
    return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
  path = tmp_path / "model"
  save(path, _network())
  whole = path.read_bytes()
  path.write_bytes(whole[: int(share * len(whole))])
  _refused(path, "truncated")


def test_a_file_with_a_tail_is_refused(tmp_path):
  path = tmp_path / "model"
  save(path, _network())
  path.write_bytes(path.read_bytes() + b"\0" * 8)
  _refused(path)


@pytest.mark.parametrize("kind", ["random", "text", "zeros", "npz", "npy", "zip"])
def test_a_foreign_file_is_refused(tmp_path, kind, no_pickle):
  path = tmp_path / "model"
  arrays = {"filters.0.mean": np.zeros([2, 3, 3, 1], np.float32)}
  with path.open("wb") as file:
    if kind == "npz":
      np.savez(file, **arrays)
    elif kind == "npy":
      np.save(file, np.array([{}], object), allow_pickle=True)
    else:
      file.write(
        {
          "random": np.random.default_rng(0).bytes(5000),
          "text": b"digits\n" * 50,
          "zeros": bytes(5000),
          "zip": b"PK\x03\x04" + bytes(100),
        }[kind]
      )
  _refused(path)


def test_a_pickle_is_never_unpickled(tmp_path, no_pickle):
  path, trace = tmp_path / "model", tmp_path / "trace"
  path.write_bytes(pickle.dumps(_Exploit(trace)))
  _refused(path)
  assert not trace.exists()


def test_a_safetensors_file_of_something_else_is_refused(tmp_path):
  path = tmp_path / "model"
  arrays = {"weight": np.zeros([2, 2], np.float32)}
  path.write_bytes(safetensors.numpy.save(arrays))
  _refused(path, "another file")
  path.write_bytes(safetensors.numpy.save(arrays, {"format": "pt"}))
  _refused(path, "another file")
  path.write_bytes(safetensors.numpy.save(arrays, {"format": "nsn_jax"}))
  _refused(path, "version")
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax": "{}"}))
  _refused(path, "version")


@pytest.mark.parametrize("version", [0, 5, "1.0", "", [], True])
def test_another_version_is_refused(tmp_path, version):
  path = _tampered(tmp_path / "model", version=version)
  _refused(path, re.escape(f"expected a version from 1 to 4, got version {version}"))


def test_a_file_without_a_version_is_refused(tmp_path):
  _refused(_tampered(tmp_path / "model", version=None), "version")


@pytest.mark.parametrize("entry", ["", "{", "null", "3", "[]", "[" * 200_000])
def test_metadata_that_are_no_record_are_refused(tmp_path, entry):
  path = tmp_path / "model"
  path.write_bytes(safetensors.numpy.save({"x": np.zeros(1, np.float32)}, {"nsn_jax": entry}))
  _refused(path)


def _of_version_1(path: pathlib.Path, nsn: NSN, **entries: str) -> pathlib.Path:
  """A file as they were before checksums: an entry each."""
  arrays = {
    f"filters.{index}.{name}": np.asarray(value)
    for index, filters in enumerate(nsn.filters)
    for name, value in filters._asdict().items()
    if value is not None
  }
  if nsn.whitening is not None:
    values = nsn.whitening._asdict().items()
    arrays |= {f"whitening.{name}": np.asarray(value) for name, value in values}
  about = {
    "format": "nsn_jax",
    "version": "1",
    "config": json.dumps(dataclasses.asdict(nsn.config)),
  }
  path.write_bytes(safetensors.numpy.save(arrays, about | entries))
  return path


@pytest.mark.parametrize("whitened", [False, True])
def test_files_of_version_1_are_read(tmp_path, whitened):
  nsn = _network(whitened)
  _assert_same(load(_of_version_1(tmp_path / "model", nsn)), nsn)
  _refused(_of_version_1(tmp_path / "model", nsn, version="0"), "got version 0")
  # A file of version 2 does not become one of version 1 by leaving out its checksum.
  _refused(_tampered(tmp_path / "model", sha256=0, config=None), "config")


# checksums


def test_any_flipped_bit_is_seen(tmp_path):
  path = tmp_path / "model"
  save(path, _network())
  whole = path.read_bytes()
  rng = np.random.default_rng(0)
  for place in rng.choice(len(whole), 200, replace=False):
    damaged = bytearray(whole)
    damaged[place] ^= 1 << rng.integers(8)
    path.write_bytes(damaged)
    _refused(path)
  path.write_bytes(whole)
  _assert_same(load(path), _network())


def test_a_checksum_that_is_left_out_is_missed(tmp_path):
  path = _tampered(tmp_path / "model")
  with safetensors.safe_open(path, framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    entry = json.loads(file.metadata()["nsn_jax"])
  del entry["sha256"]
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax": json.dumps(entry)}))
  _refused(path, "sha256")


def test_equal_networks_are_equal_bytes(tmp_path):
  for name in "ab":
    save(tmp_path / name, _network())
  save(tmp_path / "c", load(tmp_path / "a"))
  assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


# what is written can be read


def _with_filters(mean: Any, variance: Any) -> NSN:
  nsn = _network(whitened=False)
  return dataclasses.replace(nsn, filters=(Filters(mean, variance), *nsn.filters[1:]))


_MEAN, _VARIANCE = (np.asarray(x) for x in _network(whitened=False).filters[0][:2])
_UNSOUND: dict[str, NSN | Any] = {
  "None": None,
  "filters": _network().filters[0],
  "NaN mean": _with_filters(np.full_like(_MEAN, np.nan), _VARIANCE),
  "NaN mean in a jax array": _with_filters(jnp.asarray(_MEAN).at[0, 1].set(jnp.nan), _VARIANCE),
  "NaN variance": _with_filters(_MEAN, np.full_like(_VARIANCE, np.nan)),
  "variance of 0": _with_filters(_MEAN, jnp.zeros_like(_VARIANCE)),
  "unborn filters": _with_filters(_MEAN, jnp.full(_VARIANCE.shape, jnp.inf)),
  "float64": _with_filters(_MEAN.astype(np.float64), _VARIANCE),
  "float16": _with_filters(_MEAN.astype(np.float16), _VARIANCE),
  "bfloat16": _with_filters(jnp.asarray(_MEAN, jnp.bfloat16), _VARIANCE),
  "integers": _with_filters(_MEAN.astype(np.int32), _VARIANCE),
  "a list": _with_filters(_MEAN.tolist(), _VARIANCE),
  "fewer variances": _with_filters(_MEAN, _VARIANCE[:2]),
  "another window": _with_filters(_MEAN[:, :2], _VARIANCE),
  "no filters": _with_filters(_MEAN[:0], _VARIANCE[:0]),
  "filters that the next layer does not see": _with_filters(_MEAN[:3], _VARIANCE[:3]),
  "more layers than configured": dataclasses.replace(_network(), filters=_network().filters * 2),
  "a list of layers": dataclasses.replace(_network(), filters=list(_network().filters)),
  "no whitening": dataclasses.replace(_network(), whitening=None),
  "a whitening that is not configured": dataclasses.replace(
    _network(whitened=False), whitening=_network().whitening
  ),
  "a configuration as a dict": dataclasses.replace(
    _network(), config=dataclasses.asdict(_network().config)
  ),
}


@pytest.mark.parametrize("kind", _UNSOUND)
def test_a_network_that_load_would_refuse_is_not_saved(tmp_path, kind):
  with pytest.raises(ValueError, match=r"^nsn[.:\[]"):
    save(tmp_path / "model", _UNSOUND[kind])
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  "stored",
  [
    np.asfortranarray,
    lambda x: np.repeat(x, 2, axis=0)[::2],
    lambda x: x.astype(">f4"),
    lambda x: x[..., ::-1].copy()[..., ::-1],
    jnp.asarray,
  ],
  ids=["Fortran order", "strided", "big-endian", "reversed", "jax"],
)
def test_arrays_in_any_order_come_back_as_they_are(tmp_path, stored):
  path = tmp_path / "model"
  save(path, _with_filters(stored(_MEAN), stored(_VARIANCE)))
  _assert_same(load(path), _network(whitened=False))


def _config(**changes: Any) -> str:
  return json.dumps({**dataclasses.asdict(_network().config), **changes})


_LAYER = dataclasses.asdict(_network().config.layers[0])


@pytest.mark.parametrize(
  "config",
  [
    None,
    "",
    "{",
    "null",
    "[]",
    "3",
    '"config"',
    "{}",
    _config(surprise=1),
    _config(layers=[]),
    _config(layers=None),
    _config(layers=3),
    _config(layers=[[]]),
    _config(layers=[{**_LAYER, "surprise": 1}] * 2),
    _config(layers=[{**_LAYER, "stride": 4}] * 2),
    _config(layers=[{**_LAYER, "kernel": 2, "stride": 1}] * 2),
    _config(layers=[{**_LAYER, "kernel": "3"}] * 2),
    _config(layers=[{**_LAYER, "threshold": None}] * 2),
    _config(layers=[{**_LAYER, "threshold": float("nan")}] * 2),
    _config(layers=[_LAYER]),
    _config(layers=[{}, {}]),
    _config(sampler={}, whitening_epsilon=-1),
    _config(sampler=None),
    _config(sampler={"x": 1}),
    _config(sampler={"gamma": [1, 2, 3]}),
    _config(sampler={"gamma": "large"}),
    _config(whitening_epsilon="much"),
    _config(whitening_epsilon=None),
    3,
    ["config"],
    "[" * 200_000,
  ],
)
def test_a_tampered_configuration_is_refused(tmp_path, config):
  _refused(_tampered(tmp_path / "model", config=config))


def _zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
  return np.zeros(shape, dtype)


_NAN = np.array([1.0, np.nan, 1.0], np.float32)
_INF = np.array([1.0, np.inf, 1.0], np.float32)


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("filters.0.mean", None),
    ("filters.0.variance", None),
    ("filters.1.mean", None),
    ("filters.0.mean", _zeros(4, 3, 3, 1)),  # the whitening has two channels
    ("filters.0.mean", _zeros(4, 4, 4, 2)),
    ("filters.0.mean", _zeros(5, 3, 3, 2)),
    ("filters.0.mean", _zeros(4, 18)),
    ("filters.0.mean", _zeros()),
    ("filters.0.mean", _zeros(4, 3, 3, 2, dtype=np.float64)),
    ("filters.0.mean", _zeros(4, 3, 3, 2, dtype=np.int32)),
    ("filters.0.mean", _zeros(4, 3, 3, 2, dtype=np.float16)),
    ("filters.0.mean", _zeros(4, 3, 3, 2, dtype=jnp.bfloat16)),
    ("filters.1.mean", _zeros(3, 3, 3, 5)),  # the layer below has four filters
    ("filters.0.mean", np.full([4, 3, 3, 2], np.nan, np.float32)),
    ("filters.1.variance", _NAN),
    ("filters.1.variance", _INF),
    ("filters.1.variance", _zeros(3)),
    ("filters.1.variance", -np.ones(3, np.float32)),
    ("filters.1.variance", np.ones([3, 1], np.float32)),
    ("filters.1.variance", _zeros()),
    ("filters.2.mean", _zeros(2, 3, 3, 3)),
    ("surprise", _zeros(1)),
    ("whitening.mean", None),
    ("whitening.inverse", None),
    ("whitening.mean", _zeros(7, 7)),
    ("whitening.mean", _zeros(7, 7, 1)),
    ("whitening.transform", _zeros(2, 48, 49)),
    ("whitening.inverse", _zeros(49, 49)),
    ("whitening.transform", np.full([2, 49, 49], np.inf, np.float32)),
  ],
)
def test_tampered_arrays_are_refused(tmp_path, name, value):
  _refused(_tampered(tmp_path / "model", arrays={name: value}))


@pytest.mark.parametrize("value", [_zeros(), _zeros(4), _zeros(4, 18)])
def test_filters_of_another_rank_are_refused_without_a_whitening(tmp_path, value):
  _refused(_tampered(tmp_path / "model", arrays={"filters.0.mean": value}, whitened=False))


def test_a_whitening_of_another_size_is_refused(tmp_path):
  # Layers of 3x3 windows make 7x7 to 1x1, and 9x9 to 2x2.
  other = {"mean": _zeros(9, 9, 2), "transform": _zeros(2, 81, 81), "inverse": _zeros(2, 81, 81)}
  arrays = {f"whitening.{name}": value for name, value in other.items()}
  _refused(_tampered(tmp_path / "model", arrays=arrays), "9 x 9 images to end at a 1 x 1 map")


def test_an_array_of_a_type_unknown_to_numpy_is_refused(tmp_path):
  path = _tampered(tmp_path / "model")
  raw = path.read_bytes()
  size = int.from_bytes(raw[:8], "little")
  header = json.loads(raw[8 : 8 + size])
  entry = header["filters.0.variance"]
  begin, end = entry["data_offsets"]
  entry |= {"dtype": "F8_E4M3", "shape": [end - begin]}
  text = json.dumps(header).encode()
  path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
  _refused(path)


def test_a_layer_without_filters_is_refused(tmp_path):
  nothing = {"filters.1.mean": _zeros(0, 3, 3, 4), "filters.1.variance": _zeros(0)}
  _refused(_tampered(tmp_path / "model", arrays=nothing))


def test_a_lower_layer_that_is_missing_is_refused(tmp_path):
  nothing = {"filters.0.mean": None, "filters.0.variance": None}
  _refused(_tampered(tmp_path / "model", arrays=nothing))


def test_no_file(tmp_path):
  for path in (tmp_path / "model", tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^path: .*") as caught:
      load(path)
    assert str(path) in str(caught.value)


# what follows the layers


def test_factors_prior_decoders_and_contrast_come_back(tmp_path, decoded_digits):
  nsn, _ = decoded_digits
  save(tmp_path / "model", nsn)
  found = load(tmp_path / "model")
  _assert_same(found, nsn)
  assert found.fed is not None and found.exact is not None and nsn.fed is not None
  assert [x and x.features.context for x in found.fed] == [
    x and x.features.context for x in nsn.fed
  ]
  assert found.exact[0].features.logits and not found.fed[0].features.logits
  a, b = (sample(jax.random.key(1), x, 5, label=3) for x in (found, nsn))
  np.testing.assert_array_equal(a, b)


def test_what_a_decoder_sees_of_each_position_comes_back(tmp_path, decoded_digits):
  nsn, _ = decoded_digits
  first = nsn.fed[0]
  k, size = nsn.filters[0].num_filters, first.weight.shape[1]
  position, projection = np.ones((k, 2), np.float32), np.ones((18, size), np.float32)
  of = Features(jnp.zeros(18), jnp.asarray(projection), 3, False, jnp.asarray(position))
  changed = dataclasses.replace(nsn, fed=(dataclasses.replace(first, features=of), *nsn.fed[1:]))
  save(tmp_path / "model", changed)
  _assert_same(load(tmp_path / "model"), changed)
  bad = dataclasses.replace(of, position=jnp.asarray(position[1:]))
  wrong = dataclasses.replace(nsn, fed=(dataclasses.replace(first, features=bad), *nsn.fed[1:]))
  with pytest.raises(ValueError, match=r"fed\[0\]\.features\.position: expected shape"):
    save(tmp_path / "wrong", wrong)


def test_files_of_version_3_are_read_whose_decoders_all_have_projections(tmp_path, decoded_digits):
  nsn, _ = decoded_digits
  first = nsn.fed[0]
  k, size = nsn.filters[0].num_filters, first.weight.shape[1]
  of = Features(jnp.zeros(k), jnp.eye(k, size), 1, False)
  decoder = dataclasses.replace(first, features=of)
  nsn = dataclasses.replace(nsn, fed=(decoder, None, None), exact=None)
  _assert_same(load(_tampered(tmp_path / "old", nsn=nsn, version=3)), nsn)


def test_files_of_version_2_are_read(tmp_path):
  nsn = _network(whitened=True)
  _assert_same(load(_tampered(tmp_path / "old", nsn=nsn, version=2, seen=None)), nsn)


@pytest.mark.parametrize(
  "name",
  ["filters.2.factors.loading", "prior.share", "fed.0.weight", "exact.1.bias", "contrast.factor"],
)
def test_what_follows_the_layers_is_checked(tmp_path, decoded_digits, name):
  nsn, _ = decoded_digits
  save(tmp_path / "model", nsn)
  with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    entry = json.loads(file.metadata()["nsn_jax"])
  for value in (np.full_like(arrays[name], np.nan), np.zeros((2, 2), np.float32), None):
    changed = arrays | {name: value} if value is not None else dict(arrays)
    if value is None:
      del changed[name]
    entry["sha256"] = files.digest(changed, entry["config"] + entry["seen"])
    path = tmp_path / "changed"
    path.write_bytes(safetensors.numpy.save(changed, {"nsn_jax": json.dumps(entry)}))
    _refused(path)


@pytest.mark.parametrize(
  "seen", ["[", '{"fed": 3}', '{"other": null}', '{"fed": [[2, true], null, null]}', '{"fed": []}']
)
def test_decoders_that_are_described_wrongly_are_refused(tmp_path, decoded_digits, seen):
  save(tmp_path / "model", decoded_digits[0])
  with safetensors.safe_open(tmp_path / "model", framework="numpy") as file:
    arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    entry = json.loads(file.metadata()["nsn_jax"])
  entry |= {"seen": seen, "sha256": files.digest(arrays, entry["config"] + seen)}
  path = tmp_path / "changed"
  path.write_bytes(safetensors.numpy.save(arrays, {"nsn_jax": json.dumps(entry)}))
  _refused(path)
