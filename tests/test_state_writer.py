"""The writer beside a training: the newest state, in time, and no wait for a slow or full disk."""

import threading
import time
import warnings as python_warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import files, state_writer
from nsn_jax.origin import Origin

_LONG = 1000.0


def _state(step: int) -> nsn_jax.TrainingState:
  filters = nsn_jax.Filters(jnp.full((2, 1, 1, 3), float(step)), jnp.ones(2))
  state = nsn_jax.LayerState("em", step, filters, (2, 0.5, -1.0))
  return nsn_jax.TrainingState(0, state, (), 10, "", Origin("k", "{}", 3, "", 1, ""))


def _step(path) -> int | None:
  """Of the state in a file; None where there is none."""
  return nsn_jax.load_state(path).state.step if path.exists() else None


def _until(condition) -> None:
  end = time.monotonic() + 20
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.005)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "state"


def test_with_no_seconds_each_state_is_on_the_disk_before_training_goes_on(path):
  writer = nsn_jax.StateWriter(path, 0)
  assert writer.kept is None and not path.exists()
  for step in range(3):
    writer(_state(step))
    assert _step(path) == step and writer.kept.state.step == step
  assert not any(thread.name == "nsn_jax.state" for thread in threading.enumerate())
  writer.close()
  assert _step(path) == 2


def test_the_first_state_is_written_as_it_comes_and_the_last_at_the_end(path):
  with nsn_jax.StateWriter(path, _LONG) as writer:
    writer(_state(0))
    _until(lambda: _step(path) == 0)
    for step in range(1, 5):
      writer(_state(step))
    time.sleep(0.1)
    assert _step(path) == 0
  assert _step(path) == 4
  writer.close()  # Once more.
  assert not any(thread.name == "nsn_jax.state" for thread in threading.enumerate())


def test_the_newest_is_written_when_the_time_is_over_though_no_step_ends(path, monkeypatch):
  written = []
  save = state_writer.save_state

  def spy(place, state):
    written.append(state.state.step)
    save(place, state)

  monkeypatch.setattr(state_writer, "save_state", spy)
  with nsn_jax.StateWriter(path, 0.3) as writer:
    writer(_state(0))
    _until(lambda: written)
    start = time.monotonic()
    for step in range(1, 9):
      writer(_state(step))
    _until(lambda: len(written) == 2)
    assert time.monotonic() - start > 0.2
    time.sleep(0.4)
    writer(_state(9))
    _until(lambda: len(written) == 3)
  assert written == [0, 8, 9]


def test_a_slow_disk_holds_nothing_up(path, monkeypatch):
  going, write = threading.Event(), files.write_bytes

  def slow(*arguments):
    assert going.wait(20)
    write(*arguments)

  monkeypatch.setattr(files, "write_bytes", slow)
  writer = nsn_jax.StateWriter(path, 0.001)
  start = time.monotonic()
  for step in range(20):
    writer(_state(step))
  assert time.monotonic() - start < 5 and not path.exists()
  going.set()
  writer.close()
  assert _step(path) == 19


def test_arrays_that_are_changed_later_are_kept_as_they_were(path):
  mean = np.zeros((2, 1, 1, 3), np.float32)
  state = _state(0)
  filters = nsn_jax.Filters(mean, np.ones(2, np.float32))
  writer = nsn_jax.StateWriter(path, _LONG)
  writer(state)
  _until(path.exists)
  writer(state._replace(state=state.state._replace(filters=filters)))
  mean[:] = 7.0
  writer.close()
  assert not nsn_jax.load_state(path).state.filters.mean.any()


@pytest.mark.parametrize("every_s", [0.0, 0.001])
def test_a_full_disk_is_told_once_and_training_goes_on(path, every_s, monkeypatch):
  told: list[str] = []
  writer = nsn_jax.StateWriter(path, every_s, warn=told.append)
  writer(_state(0))
  _until(lambda: _step(path) == 0)

  def full(*_):
    raise OSError(28, "No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(files, "write_bytes", full)
    for step in range(1, 50):
      writer(_state(step))
      time.sleep(0.002)
  assert len(told) == 1 and "No space left" in told[0] and str(path) in told[0]
  assert "\n" not in told[0]
  writer(_state(50))
  writer.close()
  assert _step(path) == 50 and len(told) == 1


def test_by_default_it_is_a_warning(path, monkeypatch):
  writer = nsn_jax.StateWriter(path.parent / "nowhere" / "state", 0)
  with pytest.warns(RuntimeWarning, match="state of the training is not kept"):
    writer(_state(0))
  with python_warnings.catch_warnings():
    python_warnings.simplefilter("error")
    writer(_state(1))
    writer.close()
  assert writer.kept is None


@pytest.mark.parametrize("every_s", [0.0, _LONG])
def test_what_is_cleared_does_not_come_back(path, every_s, monkeypatch):
  writer = nsn_jax.StateWriter(path, every_s)
  writer.clear()  # Of nothing.
  writer(_state(0))
  _until(path.exists)
  writer(_state(1))
  writer.clear()
  assert not path.exists() and writer.kept is None
  writer.close()
  assert not path.exists()
  writer(_state(2))  # Of the next layer.
  writer.close()
  assert _step(path) == 2


def test_a_write_under_way_does_not_come_back_either(path, monkeypatch):
  begun, going, write = threading.Event(), threading.Event(), files.write_bytes

  def slow(*arguments):
    begun.set()
    assert going.wait(20)
    write(*arguments)

  monkeypatch.setattr(files, "write_bytes", slow)
  writer = nsn_jax.StateWriter(path, 0.001)
  writer(_state(0))
  assert begun.wait(20)
  threading.Timer(0.2, going.set).start()
  writer.clear()
  writer.close()
  assert not path.exists()


def test_the_first_process_alone_writes(path, monkeypatch):
  monkeypatch.setattr(jax, "process_index", lambda: 1)
  writer = nsn_jax.StateWriter(path, 0)
  writer(_state(0))
  writer.close()
  path.write_text("the first one's")
  writer.clear()
  assert path.exists()
