"""A training that goes on from any state that it told of ends with the same bits.

It goes on by the programs that it began with, and so these are compiled in haste.
"""

import json
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest

import nsn_jax
from nsn_jax import LayerConfig, NetworkConfig, TrainingState, training
from tests.resuming import KEY, Trained, assert_same_bits, train

# Growth comes to more than it may, and is cut down; the iterations on a sample end by tolerance.
BY_COORDINATES = LayerConfig(
  kernel=16,
  stride=1,
  threshold=-1.9,
  growth_patches=200,
  sample_patches=250,
  seeds_per_step=6,
  min_patches=4,
  em_steps=2,
  exchange_steps=3,
  max_filters=9,
  max_passes=6,
  tolerance=0.01,
)
# Two layers, the first of factors, which are fitted after its last state. Passes over all
# patches end by tolerance, before there are as many as there may be.
PLAIN = (
  LayerConfig(
    kernel=4,
    stride=4,
    threshold=-0.5,
    growth_patches=500,
    seeds_per_step=6,
    em_steps=2,
    exchange_steps=2,
    max_filters=12,
    max_passes=9,
    tolerance=0.01,
    rank=1,
  ),
  LayerConfig(
    kernel=2,
    stride=1,
    threshold=0.5,
    growth_patches=150,
    seeds_per_step=4,
    em_steps=2,
    exchange_steps=1,
    max_filters=8,
    max_passes=2,
  ),
)


@pytest.fixture(scope="module")
def images(digits) -> np.ndarray:
  return np.round(digits[:300] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def by_coordinates(images) -> Trained:
  # Sixty-four values of each image, four times: coordinates are fewer.
  large = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)
  return train(large, NetworkConfig(layers=(BY_COORDINATES,), exact_decoders=False))


@pytest.fixture(scope="module")
def plain(images) -> Trained:
  return train(images, NetworkConfig(layers=PLAIN, whitening_epsilon=0.5, exact_decoders=False))


def _steps(states: Sequence[TrainingState]) -> list[tuple[object, ...]]:
  """All that states tell but for filters and seconds."""
  return [
    (
      s.layer,
      s.state._replace(filters=None),
      tuple(record._replace(seconds=0.0) for record in s.history),
      s.patches,
      s.basis,
      s.origin,
    )
    for s in states
  ]


def _check_resumed(trained: Trained, index: int, path: pathlib.Path) -> None:
  state = trained.states[index]
  nsn_jax.save_state(path, state)
  found = train(
    trained.images,
    trained.nsn.config,
    initial=trained.parts[state.layer],
    state=nsn_jax.load_state(path),
  )
  assert_same_bits(found.nsn, trained.nsn)
  assert found.histories == trained.histories[state.layer :]
  assert _steps(found.states) == _steps(trained.states[index + 1 :])
  for a, b in zip(found.states, trained.states[index + 1 :], strict=True):
    np.testing.assert_array_equal(a.state.filters.mean, b.state.filters.mean)


def test_states_by_coordinates_are_of_every_kind(by_coordinates):
  states = [s.state for s in by_coordinates.states]
  assert {s.phase for s in states} == {"growth", "exchange", "sample", "em"}
  grown = [s for s in states if s.phase == "growth"]
  assert len(grown) > 1 and grown[-1].info[0] > BY_COORDINATES.max_filters
  sampled = [s for s in states if s.phase == "sample"]
  assert 1 < len(sampled) < BY_COORDINATES.max_passes and sampled[-1].done
  assert all(s.basis for s in by_coordinates.states)


def test_by_coordinates_from_every_state(by_coordinates, tmp_path):
  for index in range(len(by_coordinates.states)):
    _check_resumed(by_coordinates, index, tmp_path / "state")


def test_states_on_patches_are_of_every_kind(plain):
  assert [s.layer for s in plain.states] == sorted(s.layer for s in plain.states)
  for layer in (0, 1):
    states = [s.state for s in plain.states if s.layer == layer]
    assert {s.phase for s in states} == {"growth", "exchange", "em"}
  passes = [s.state for s in plain.states if s.layer == 0 and s.state.phase == "em"]
  assert 1 < len(passes) < PLAIN[0].max_passes and passes[-1].done
  assert not any(s.basis for s in plain.states)


def test_on_patches_from_a_spread_of_states(plain, tmp_path):
  # First and last of each phase and layer.
  places: dict[tuple[int, str], list[int]] = {}
  for index, s in enumerate(plain.states):
    places.setdefault((s.layer, s.state.phase), []).append(index)
  for index in sorted({one for found in places.values() for one in (found[0], found[-1])}):
    _check_resumed(plain, index, tmp_path / "state")


def test_another_state_would_end_with_other_bits(by_coordinates, monkeypatch):
  # So that what is compared above could differ.
  state = by_coordinates.states[0]
  filters = state.state.filters
  other = filters._replace(mean=np.asarray(filters.mean) * np.float32(1.01))
  changed = state._replace(state=state.state._replace(filters=other))
  found = train(by_coordinates.images, by_coordinates.nsn.config, state=changed)
  with pytest.raises(AssertionError):
    assert_same_bits(found.nsn, by_coordinates.nsn)


def test_a_state_of_a_version_that_knew_fewer_fields(by_coordinates):
  images, config = by_coordinates.images, by_coordinates.nsn.config
  state = by_coordinates.states[-1]
  whole = json.loads(state.origin.config)
  known = {k: v for k, v in whole.items() if k not in ("contrast_directions", "num_shards")}
  known["layers"] = [{k: v for k, v in x.items() if k != "pooled"} for x in whole["layers"]]

  def of(plain):
    return state._replace(origin=state.origin._replace(config=json.dumps(plain)))

  assert_same_bits(nsn_jax.fit(KEY, images, config, state=of(known)), by_coordinates.nsn)
  for other in (known | {"contrast_directions": 3}, whole | {"contrast_colours": 3}):
    with pytest.raises(nsn_jax.StateError, match=r"state: expected config\.contrast_\w* .* got 3"):
      nsn_jax.fit(KEY, images, config, state=of(other))


def test_coordinates_of_another_basis_are_refused(by_coordinates, monkeypatch):
  images, config = by_coordinates.images, by_coordinates.nsn.config
  states = {s.state.phase: s for s in by_coordinates.states}
  find = training.find_basis

  def turned(*arguments):
    found = find(*arguments)
    return found._replace(vectors=-found.vectors)

  monkeypatch.setattr(training, "find_basis", turned)
  for phase in ("growth", "exchange", "sample"):
    with pytest.raises(nsn_jax.StateError, match=r"state: expected filters \[1, 1, 128\] in basis"):
      nsn_jax.fit(KEY, images, config, state=states[phase])
  # The last pass is on the patches themselves.
  found = nsn_jax.fit(KEY, images, config, state=states["em"])
  assert_same_bits(found, by_coordinates.nsn)
  em = states["em"].state
  narrow = em._replace(filters=em.filters._replace(mean=np.asarray(em.filters.mean)[:, 1:]))
  with pytest.raises(nsn_jax.StateError, match=r"expected filters \[16, 16, 1\]"):
    nsn_jax.fit(KEY, images, config, state=states["em"]._replace(state=narrow))
