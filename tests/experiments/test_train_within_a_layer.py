"""A training that is ended within a layer: what it says, what it keeps, and how it goes on."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import nsn_jax
from experiments.common import runs, workdir
from nsn_jax import files
from tests.experiments import helpers


def _ended_at(layer: int, phase: str, folder, **changes) -> str:
  """Interrupts a training at the first report of a phase, and returns its last line."""

  def stop(at: nsn_jax.Progress) -> None:
    if (at.layer, at.phase) == (layer, phase):
      raise KeyboardInterrupt

  with pytest.raises(workdir.Interrupted) as caught:
    helpers.train(folder, report=stop, **changes)
  return str(caught.value)


def _check_same(folder, trained) -> None:
  whole, result = trained
  assert {p.name for p in folder.iterdir()} == {p.name for p in whole.iterdir()}
  assert (folder / runs.MODEL).read_bytes() == (whole / runs.MODEL).read_bytes()
  found = [[r._replace(seconds=0) for r in layer] for layer in runs.read_metrics(folder)]
  assert found == [[r._replace(seconds=0) for r in layer] for layer in result.history]


def test_training_goes_on_within_a_layer(trained, tmp_path, capsys):
  said = _ended_at(0, "exchange", tmp_path)
  last = trained[1].history[0]
  # The first exchange step was taken when it was told of, and its state not yet.
  steps = sum(record.phase == "growth" for record in last)
  assert f"no layer is finished yet, layer 0 is kept up to step {steps} of growth: go on" in said
  state = nsn_jax.load_state(tmp_path / runs.STATE)
  assert state.state.step == steps
  # As if that had taken long: it counts, once.
  slow = tuple(record._replace(seconds=record.seconds + 1000) for record in state.history)
  nsn_jax.save_state(tmp_path / runs.STATE, state._replace(history=slow))
  assert nsn_jax.load(tmp_path / runs.PARTIAL).num_layers == 0
  spent = json.loads((tmp_path / workdir.CONFIG).read_text())["seconds"]
  capsys.readouterr()
  phases: list[tuple[int, str]] = []
  helpers.train(tmp_path, resume=True, report=lambda at: phases.append((at.layer, at.phase)))
  assert "2 layers, layer 0 in part; on" in capsys.readouterr().err
  assert not {(0, "whitening"), (0, "growth")} & set(phases)
  _check_same(tmp_path, trained)
  seconds = json.loads((tmp_path / workdir.CONFIG).read_text())["seconds"]
  assert runs.read_metrics(tmp_path)[0][-1].seconds > 1000
  assert spent + 1000 < seconds < spent + 2000


def test_the_whitening_is_kept_before_any_step(trained, tmp_path):
  said = _ended_at(0, "patches", tmp_path)
  assert "no layer is finished yet, its whitening is kept: go on" in said
  assert not (tmp_path / runs.STATE).exists()
  phases: list[str] = []
  helpers.train(tmp_path, resume=True, report=lambda at: phases.append(at.phase))
  assert "whitening" not in phases and "growth" in phases
  _check_same(tmp_path, trained)


def test_no_state_of_a_finished_layer_is_left(tmp_path):
  said = _ended_at(1, "patches", tmp_path, checkpoint_seconds=0.0)
  assert "; finished layers are kept: go on" in said
  assert not (tmp_path / runs.STATE).exists()


@pytest.mark.parametrize("kind", ["truncated", "foreign", "of another key", "of a finished layer"])
def test_a_state_that_is_not_gone_on_from_is_one_line(kind, trained, tmp_path, capsys):
  folder = tmp_path / "run"
  said = _ended_at(1, "exchange", folder)
  assert re.search(r"; finished layers are kept, layer 1 is kept up to step \d+ of growth: ", said)
  state = folder / runs.STATE
  found = nsn_jax.load_state(state)
  if kind == "truncated":
    state.write_bytes(state.read_bytes()[:-9])
    reason = "path: .*truncated"
  elif kind == "foreign":
    shutil.copy(trained[0] / runs.MODEL, state)
    reason = "path: .*got another file"
  elif kind == "of another key":
    key = found.origin.key[:-1] + "7"
    nsn_jax.save_state(state, found._replace(origin=found.origin._replace(key=key)))
    reason = "state: expected key .* 00000000', .*00000007'"
  else:
    nsn_jax.save_state(state, found._replace(layer=0))
    reason = "state: expected one of layer 1, .* got one of layer 0"
  capsys.readouterr()
  phases: list[tuple[int, str]] = []
  helpers.train(folder, resume=True, report=lambda at: phases.append((at.layer, at.phase)))
  err = capsys.readouterr().err
  line = rf"^{reason}.*: training goes on from the last finished layer$"
  assert len(re.findall(line, err, re.MULTILINE)) == 1, err
  assert (1, "growth") in phases and not {0} & {at for at, phase in phases if phase == "growth"}
  _check_same(folder, trained)


def test_overwrite_takes_the_state_away(tmp_path):
  _ended_at(0, "exchange", tmp_path)
  assert (tmp_path / runs.STATE).exists()
  with pytest.raises(ValueError, match="a model trained in part"):
    helpers.train(tmp_path)
  _ended_at(0, "whitening", tmp_path, overwrite=True)
  assert {path.name for path in tmp_path.iterdir()} == {workdir.CONFIG}


def test_a_state_that_cannot_be_kept_is_told_once(trained, tmp_path, monkeypatch, capsys):
  write = files.write_bytes

  def full(path, content):
    if path.name == runs.STATE:
      raise OSError("no space left")
    write(path, content)

  monkeypatch.setattr(files, "write_bytes", full)
  helpers.train(tmp_path, checkpoint_seconds=0.0)
  err = capsys.readouterr().err
  assert err.count("the state of the training is not kept (no space left)") == 1
  _check_same(tmp_path, trained)


def test_what_is_no_number_of_seconds(tmp_path):
  for seconds in (-1.0, float("nan"), float("inf")):
    with pytest.raises(ValueError, match=r"^checkpoint_seconds: expected"):
      helpers.train(tmp_path, checkpoint_seconds=seconds)
  assert not list(tmp_path.iterdir())


def test_a_network_of_no_layers_is_not_a_trained_one(tmp_path):
  _ended_at(0, "patches", tmp_path)
  with pytest.raises(OSError, match="trained in part"):
    runs.load_model(tmp_path)
  nsn = nsn_jax.load(tmp_path / runs.PARTIAL)
  assert nsn.num_layers == 0 and np.isfinite(jax.device_get(nsn.whitening.mean)).all()
