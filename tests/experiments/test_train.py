"""Training of a network in a folder: what it leaves, going on after Ctrl-C, and every refusal."""

import json
import re
import signal

import jax
import numpy as np
import pytest

import nsn_jax
from experiments.common import command_line, runs, workdir
from nsn_jax import data, files
from tests.experiments import helpers


def _assert_same_filters(one, other):
  jax.tree.map(np.testing.assert_array_equal, one.filters, other.filters)


def test_outputs(trained):
  workdir, result = trained
  names = {path.name for path in workdir.iterdir()}
  layers = {f"filters_layer{layer}.png" for layer in range(2)}
  assert (
    names
    == {
      "model.safetensors",
      "metrics.jsonl",
      "config.json",
      "growth.png",
      "samples.png",
    }
    | layers
  )
  _assert_same_filters(nsn_jax.load(workdir / "model.safetensors"), result.nsn)


def test_is_the_librarys_own_training(trained):
  _, result = trained
  images = data.load("digits", image_size=helpers.SIDE, limit=120).images
  direct = nsn_jax.fit(jax.random.key(0), images, helpers.mini_network())
  _assert_same_filters(direct, result.nsn)


def test_metrics(trained):
  workdir, result = trained
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  assert [row["layer"] for row in rows] == sorted(row["layer"] for row in rows)
  assert {row["layer"] for row in rows} == {0, 1}
  assert set(rows[0]) == {"layer", *nsn_jax.Record._fields}
  for layer, count in enumerate(result.nsn.num_filters):
    assert result.history[layer][-1].num_filters == count
    steps = [(r["phase"], r["step"]) for r in rows if r["layer"] == layer]
    assert len(steps) == len(set(steps))
  assert runs.read_metrics(workdir) == result.history


def test_config(trained):
  workdir, result = trained
  config = json.loads((workdir / "config.json").read_text())
  assert config["dataset"] == "digits" and config["seed"] == 0 and config["finished"]
  assert config["data"]["shape"] == [120, 12, 12, 1]
  assert config["num_filters"] == list(result.nsn.num_filters)
  assert config["network"]["layers"][1]["kernel"] == 5
  assert config["versions"]["jax"] == jax.__version__ and config["device"]
  assert config["seconds"] >= sum(records[-1].seconds for records in result.history)


def test_pictures_sizes(trained):
  workdir, result = trained
  # Seven columns of 12 pixels, each 10 wide: the least that fills 800.
  tile = 12 * 10
  assert helpers.picture_size(workdir / "samples.png") == (7 * (tile + 3) + 3, tile + 6)
  for layer, count in enumerate(result.nsn.num_filters):
    width, height = helpers.picture_size(workdir / f"filters_layer{layer}.png")
    rows = -(-count // 16)
    assert 700 < width < 1000 and height > rows * 40
  assert helpers.picture_size(workdir / "growth.png")[0] > 800


def test_interrupted_and_resumed(trained, tmp_path, capsys):
  def stop(at):
    if at.layer == 1:
      raise KeyboardInterrupt

  with pytest.raises(workdir.Interrupted, match=r"layer 1.*--workdir=.* --resume"):
    helpers.train(tmp_path, report=stop)
  assert nsn_jax.load(tmp_path / runs.PARTIAL).num_layers == 1
  assert not (tmp_path / runs.MODEL).exists()
  with pytest.raises(OSError, match="trained in part"):
    runs.load_model(tmp_path)
  with pytest.raises(ValueError, match="--resume"):
    helpers.train(tmp_path)
  with pytest.raises(ValueError, match=r"seed: expected 0.* got 1"):
    helpers.train(tmp_path, resume=True, seed=1)
  with pytest.raises(ValueError, match=r"limit: expected 120.* got 121"):
    helpers.train(tmp_path, resume=True, limit=121)
  other = helpers.mini_network(whitening_epsilon=0.25)
  with pytest.raises(ValueError, match=r"network.whitening_epsilon: expected 0.5.* got 0.25"):
    helpers.train(tmp_path, resume=True, network=other)
  # Begun by a version that knew fewer fields.
  begun = json.loads((tmp_path / workdir.CONFIG).read_text())
  for name in ("contrast_directions", "contrast_windows", "num_shards"):
    del begun["network"][name]
  (tmp_path / workdir.CONFIG).write_text(json.dumps(begun))
  with pytest.raises(ValueError, match=r"network.whitening_epsilon: expected 0.5.* got 0.25"):
    helpers.train(tmp_path, resume=True, network=other)
  # A process that is killed while it writes leaves half a line, of a layer that is not kept.
  with (tmp_path / runs.METRICS).open("a") as file:
    file.write('{"layer": 1, "phase": "growth", "step": 0, "num_fil')

  result = helpers.train(tmp_path, resume=True)
  _assert_same_filters(result.nsn, trained[1].nsn)
  rows = [r._replace(seconds=0) for records in result.history for r in records]
  assert rows == [r._replace(seconds=0) for records in trained[1].history for r in records]
  assert not (tmp_path / runs.PARTIAL).exists()
  assert {p.name for p in tmp_path.iterdir()} == {p.name for p in trained[0].iterdir()}

  (tmp_path / "samples.png").unlink()
  before = (tmp_path / runs.METRICS).read_bytes()
  helpers.train(tmp_path, resume=True)
  assert "finished" in capsys.readouterr().err
  assert (tmp_path / "samples.png").exists()
  assert (tmp_path / runs.METRICS).read_bytes() == before


def test_other_images_under_the_same_name(tmp_path):
  images = data.load("digits", limit=120).images  # as many as elsewhere: compiled already
  np.savez(tmp_path / "images.npz", images=images)

  def stop(_):
    raise KeyboardInterrupt

  settings = {"name": f"npz:{tmp_path / 'images.npz'}"}
  with pytest.raises(KeyboardInterrupt, match="no layer is finished yet"):
    helpers.train(tmp_path / "run", report=stop, **settings)
  np.savez(tmp_path / "images.npz", images=images[::-1])
  with pytest.raises(ValueError, match="dataset: expected the images"):
    helpers.train(tmp_path / "run", resume=True, **settings)


def test_refusals_keep_what_is_there(trained):
  workdir, _ = trained
  before = {path: path.read_bytes() for path in workdir.iterdir()}
  for changes, message in (
    ({}, "workdir: .*holds a model.*--resume.*--overwrite"),
    ({"resume": True, "overwrite": True}, "resume"),
    ({"overwrite": True, "name": "digit"}, "digit"),
    ({"overwrite": True, "image_size": 13}, "kernel, stride"),
    ({"overwrite": True, "num_samples": 0}, "num_samples"),
    ({"overwrite": True, "memory_budget_gb": 0.0}, "memory_budget_gb"),
  ):
    with pytest.raises(ValueError, match=message):
      helpers.train(workdir, **changes)
  assert {path: path.read_bytes() for path in workdir.iterdir()} == before


def test_a_folder_that_another_training_uses_is_left_alone(tmp_path):
  with workdir.using(tmp_path):
    for how in ({}, {"resume": True}, {"overwrite": True}):
      with pytest.raises(OSError, match=r"workdir: .* in use by process \d+ since"):
        helpers.train(tmp_path, **how)
  assert not list(tmp_path.iterdir())


def test_a_resumption_that_cannot_write_loses_no_record(tmp_path, monkeypatch):
  def stop(at):
    if at.layer == 1:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    helpers.train(tmp_path, report=stop)
  before = (tmp_path / runs.METRICS).read_bytes()
  write = files.write_bytes

  def full(path, content):
    if path.name == runs.METRICS:
      raise OSError("no space left")
    write(path, content)

  with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left"):
    patch.setattr(files, "write_bytes", full)
    helpers.train(tmp_path, resume=True)
  assert before and (tmp_path / runs.METRICS).read_bytes() == before


def test_a_network_that_is_damaged_or_gone_is_one_line(trained, tmp_path):
  def stop(at):
    if at.layer == 1:
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    helpers.train(tmp_path, report=stop)
  partial = tmp_path / runs.PARTIAL
  content = partial.read_bytes()
  partial.write_bytes(content[: len(content) // 2])
  before = (tmp_path / runs.METRICS).read_bytes()
  with pytest.raises(ValueError, match=r"model\.partial\.safetensors.*give --overwrite"):
    helpers.train(tmp_path, resume=True)
  partial.unlink()
  runs.append_metrics(tmp_path, 1, trained[1].history[1])
  with pytest.raises(ValueError, match=r"workdir: expected model\.partial.*give --overwrite"):
    helpers.train(tmp_path, resume=True)
  assert (tmp_path / runs.METRICS).read_bytes().startswith(before)
  # Killed when the first layer's records were there, and its network was not: begun anew.
  runs.trim_metrics(tmp_path, 1)
  _assert_same_filters(helpers.train(tmp_path, resume=True).nsn, trained[1].nsn)
  assert len(runs.read_metrics(tmp_path)) == 2


def test_overwrite_takes_away_only_its_own(tmp_path):
  (tmp_path / "notes.txt").write_text("mine")
  (tmp_path / "filters_layer9.png").write_text("old")
  (tmp_path / runs.MODEL).write_text("old")

  def stop(_):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    helpers.train(tmp_path, overwrite=True, report=stop)
  assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "config.json"}


def test_workdir_that_cannot_be_written(tmp_path):
  # A file in the folder's place: permissions would not stop a root user.
  (tmp_path / "file").write_text("")

  def late(*_, **__):
    raise AssertionError("the folder is tried before the data are read")

  for path in (tmp_path / "file", tmp_path / "file" / "below"):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="workdir: expected"):
      patch.setattr(data, "load", late)
      helpers.train(path)


def test_bad_command_lines(trained, tmp_path):
  workdir = trained[0]
  cases = (
    (
      1,
      r"preset: expected one of .*got 'mnits'",
      "train",
      f"--workdir={tmp_path / 'new'}",
      "--dataset=digits",
      "--preset=mnits",
    ),
    (2, r"--num_samples=0", "sample", f"--workdir={workdir}", "--num_samples=0"),
    (2, r"--gamma=2,x.* expected a number", "sample", f"--workdir={workdir}", "--gamma=2,x"),
  )
  processes = [helpers.start(*arguments) for _, _, *arguments in cases]
  for (code, message, *_), process in zip(cases, processes, strict=True):
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("\n") == 1 and err.startswith("error: ") and re.search(message, err)
  assert not (tmp_path / "new").exists()


def test_sample_command(trained):
  workdir = trained[0]
  process = helpers.start("sample", f"--workdir={workdir}", "--num_samples=5", "--num_draws=2,1")
  out, err = process.communicate(timeout=60)
  assert process.returncode == 0 and not err
  with np.load(workdir / "samples.npz") as arrays:
    assert len(arrays["images"]) == 5 and arrays["num_draws"].tolist() == [2, 1]
  assert "samples_grid.png" in out
  for name in ("samples.npz", "samples_grid.png"):
    (workdir / name).unlink()


def test_ctrl_c(tmp_path):
  process = helpers.start(
    "train", f"--workdir={tmp_path}", "--dataset=digits", "--preset=mnist", "--limit=50"
  )
  assert process.stderr.readline().startswith("digits: 50 images of 28x28x1")
  process.send_signal(signal.SIGINT)
  _, err = process.communicate(timeout=60)
  assert process.returncode == command_line.INTERRUPTED
  assert err.count("\n") == 1 and err.startswith("interrupted") and "--resume" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_that_end_it_are_told_of_as_ctrl_c_is(number, tmp_path):
  process = helpers.start(
    "train", f"--workdir={tmp_path}", "--dataset=digits", "--preset=mnist", "--limit=50"
  )
  assert process.stderr.readline().startswith("digits: 50 images of 28x28x1")
  assert (tmp_path / workdir.LOCK).exists()
  process.send_signal(number)
  _, err = process.communicate(timeout=60)
  assert process.returncode == 128 + number
  assert err.count("\n") == 1 and err.startswith("interrupted") and "--resume" in err
  assert {path.name for path in tmp_path.iterdir()} == {"config.json"}
