"""Training of a baseline in a folder: what it leaves, going on, and every refusal."""

import json
import shutil

import jax
import numpy as np
import pytest

from experiments import train_baseline
from experiments.common import baseline_training, judging, provenance, runs, workdir
from nsn_jax import baselines, data, files, metrics

SETTINGS = {"model": "vae", "dataset": "digits", "options": {"hidden": 16}, "num_epochs": 3}


def _train(place, *, dataset, image_size=None, resume=False, overwrite=False, **settings):
  config = runs.BaselineTraining(data=runs.DataSpec(dataset, image_size=image_size), **settings)
  return baseline_training.train(place, config, resume=resume, overwrite=overwrite)


@pytest.fixture
def judged(judge: judging.Judge, monkeypatch: pytest.MonkeyPatch) -> None:
  """Scores by the weak judge of the tests."""
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)


def test_a_run_leaves_its_files(tmp_path, judged, capsys):
  model, state = _train(tmp_path / "run", score_every=2, score_samples=200, **SETTINGS)
  names = {path.name for path in (tmp_path / "run").iterdir()}
  assert names == {
    "checkpoints",
    "config.json",
    "epochs.jsonl",
    "curve.png",
    *(f"samples_epoch_00{epoch}.png" for epoch in (1, 2, 3)),
  }
  rows = runs.read_epochs(tmp_path / "run")
  # Every second epoch and the last.
  assert ["scores" in row for row in rows] == [False, True, True]
  assert rows[1]["scores"]["num_images"] == 200
  config = json.loads((tmp_path / "run" / workdir.CONFIG).read_text())
  assert config["finished"] and config["model"] == "vae" and config["options"] == {"hidden": 16}
  assert config["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
  out = capsys.readouterr().out
  assert "epoch 3/3: " in out and "reconstruction" in out and "FID" in out
  loaded, again, facts = baseline_training.load(tmp_path / "run")
  assert loaded == model and facts == config
  for one, other in zip(*map(jax.tree.leaves, (state, again)), strict=True):
    np.testing.assert_array_equal(one, other)


def test_resume_ends_as_if_it_had_never_stopped(tmp_path, monkeypatch):
  _, whole = _train(tmp_path / "a", score_every=0, **SETTINGS)
  train = baselines.train

  def interrupted(*arguments, on_epoch, **options):
    def stop(epoch, state):
      on_epoch(epoch, state)
      raise KeyboardInterrupt

    return train(*arguments, on_epoch=stop, **options)

  monkeypatch.setattr(baselines, "train", interrupted)
  with pytest.raises(KeyboardInterrupt, match=r"1 epochs are kept: go on with .* --resume"):
    _train(tmp_path / "b", score_every=0, **SETTINGS)
  monkeypatch.setattr(baselines, "train", train)
  _, again = _train(tmp_path / "b", score_every=0, resume=True, **SETTINGS)
  for one, other in zip(*map(jax.tree.leaves, (whole, again)), strict=True):
    np.testing.assert_array_equal(one, other)
  assert [row["epoch"] for row in runs.read_epochs(tmp_path / "b")] == [0, 1, 2]
  # Finished: there is nothing to do, so the device stays that of the training; and more epochs can
  # be asked for.
  device = workdir.read_config(tmp_path / "b")["device"]
  with monkeypatch.context() as patch:
    patch.setattr(provenance, "_device", lambda: "another")
    _train(tmp_path / "b", score_every=0, resume=True, **SETTINGS)
  assert workdir.read_config(tmp_path / "b")["device"] == device
  _train(tmp_path / "b", score_every=0, resume=True, **SETTINGS | {"num_epochs": 4})
  assert len(runs.read_epochs(tmp_path / "b")) == 4


def test_resume_takes_every_setting_that_is_not_given_from_the_training(tmp_path, run_python):
  stored = SETTINGS | {
    "data_dir": None,
    "image_size": 14,
    "limit": 50,
    "seed": 3,
    "score_every": 4,
    "score_samples": 77,
    "scenes": "photos",
  }
  (tmp_path / workdir.CONFIG).write_text(json.dumps(stored))
  said = run_python(f"""
import json
from absl import flags
from experiments import train_baseline
from experiments.common import baseline_training
baseline_training.train = lambda place, config, **how: print(
  json.dumps(config.as_dict() | how | {{"workdir": place}})
)
train_baseline._define_flags()
flags.FLAGS(["x", "--workdir={tmp_path}", "--resume", "--score_every=2"])
train_baseline._main()
""")
  found = json.loads(said)
  assert found.pop("resume") and not found.pop("overwrite")
  assert found == stored | {"workdir": str(tmp_path), "score_every": 2}


def test_resized_images_are_judged_at_their_size(tmp_path, monkeypatch):
  architecture = metrics.Architecture(channels=(4,), kernels=(5,), num_features=8)

  def judge(name, *, image_size, **_):
    train, test = (
      data.load(name, split=split, image_size=image_size) for split in ("train", "test")
    )
    classifier = metrics.train_classifier(
      jax.random.key(0), train.images, train.labels, num_epochs=1, architecture=architecture
    )
    return judging.Judge(classifier, 0.0, train, test)

  monkeypatch.setattr(judging, "judge", judge)
  _train(tmp_path, image_size=14, score_samples=50, **SETTINGS | {"num_epochs": 1})
  (row,) = runs.read_epochs(tmp_path)
  assert row["scores"]["num_images"] == 50
  assert baseline_training.load(tmp_path)[0].image_shape == (14, 14, 1)


def test_a_folder_in_use_is_left_alone(tmp_path):
  settings = SETTINGS | {"num_epochs": 1, "score_every": 0}
  _train(tmp_path, **settings)
  with pytest.raises(ValueError, match="workdir: expected a folder without a training"):
    _train(tmp_path, **settings)
  with pytest.raises(ValueError, match=r"seed: expected 0, as training in .* began, got 1"):
    _train(tmp_path, **settings | {"seed": 1}, resume=True)
  with pytest.raises(ValueError, match="expected either --resume or --overwrite, got both"):
    _train(tmp_path, **settings, resume=True, overwrite=True)
  _train(tmp_path, **settings | {"seed": 1}, overwrite=True)
  assert json.loads((tmp_path / workdir.CONFIG).read_text())["seed"] == 1


def test_nothing_trained_there(tmp_path):
  with pytest.raises(OSError, match=r"expected a folder with a trained baseline.*train_baseline"):
    baseline_training.load(tmp_path)


def test_divergence_keeps_the_epochs_before(tmp_path, monkeypatch):
  options = {"hidden": 16, "learning_rate": 1e30}
  with pytest.raises(baselines.DivergedError, match="diverged in epoch 1"):
    _train(tmp_path, score_every=0, **SETTINGS | {"options": options})
  assert runs.read_epochs(tmp_path) == []


def test_a_dataset_without_labels_is_scored_by_the_scenes_judge_or_not_at_all(
  tmp_path, judge: judging.Judge, monkeypatch
):
  images = data.load("digits", limit=150).images
  np.savez(tmp_path / "x.npz", images=images)
  settings = SETTINGS | {"dataset": f"npz:{tmp_path / 'x.npz'}", "num_epochs": 1}
  with pytest.raises(ValueError, match=r"scenes: expected a folder.*got none.*--score_every=0"):
    _train(tmp_path / "run", **settings)
  _train(tmp_path / "run", score_every=0, **settings)
  assert len(runs.read_epochs(tmp_path / "run")) == 1
  np.savez(tmp_path / "y.npz", images=images, test_images=images[:20])
  settings["dataset"] = f"npz:{tmp_path / 'y.npz'}"
  asked = []
  monkeypatch.setattr(judging, "judge", lambda name, **_: asked.append(name) or judge)
  _train(tmp_path / "scored", scenes="photos", score_samples=100, **settings)
  assert asked == ["folder:photos"]
  (row,) = runs.read_epochs(tmp_path / "scored")
  assert row["scores"]["num_images"] == 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A finished training of three epochs, and its state; a test changes a copy."""
  folder = tmp_path_factory.mktemp("baseline") / "run"
  return folder, _train(folder, score_every=0, **SETTINGS)[1]


def _copy(whole, tmp_path):
  return shutil.copytree(whole[0], tmp_path / "run")


def _resume(folder):
  return _train(folder, score_every=0, resume=True, **SETTINGS)[1]


def _same(one, other):
  for left, right in zip(*map(jax.tree.leaves, (one, other)), strict=True):
    np.testing.assert_array_equal(left, right)


def _cut(checkpoint):
  for path in (checkpoint / "default" / "d").iterdir():
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize("finished", [True, False])
def test_a_damaged_checkpoint_costs_its_epoch_and_nothing_else(
  finished, whole, tmp_path, warnings, monkeypatch
):
  folder = _copy(whole, tmp_path)
  config = workdir.read_config(folder)
  files.write_json(folder / workdir.CONFIG, config | {"finished": finished})
  _cut(folder / runs.CHECKPOINTS / "2")
  before = runs.read_epochs(folder)
  done = []
  train = baselines.train

  def watched(*arguments, first_epoch, **options):
    done.append((first_epoch, runs.read_epochs(folder)))
    return train(*arguments, first_epoch=first_epoch, **options)

  monkeypatch.setattr(baselines, "train", watched)
  _same(_resume(folder), whole[1])
  assert done == [(2, before[:2])]  # The row of what is trained anew is gone before it is.
  assert [row["epoch"] for row in runs.read_epochs(folder)] == [0, 1, 2]
  assert workdir.read_config(folder)["finished"]
  (told,) = warnings
  assert "epoch 2" in told and "is damaged" in told
  _same(baseline_training.load(folder)[1], whole[1])
  assert len(warnings) == 1


def test_checkpoints_that_are_all_damaged_are_one_line(whole, tmp_path, warnings):
  folder = _copy(whole, tmp_path)
  for epoch in ("1", "2"):
    _cut(folder / runs.CHECKPOINTS / epoch)
  before = runs.read_epochs(folder)
  with pytest.raises(ValueError, match=r"^checkpoints: .*epochs 1, 2: give --overwrite to train"):
    _resume(folder)
  assert runs.read_epochs(folder) == before
  assert _train(folder, score_every=0, overwrite=True, **SETTINGS | {"num_epochs": 1})


def test_checkpoints_that_are_gone_are_one_line(whole, tmp_path):
  folder = _copy(whole, tmp_path)
  shutil.rmtree(folder / runs.CHECKPOINTS)
  message = r"checkpoints: expected the states of 3 epochs in .*, got none: .*--overwrite"
  with pytest.raises(ValueError, match=message):
    _resume(folder)
  # Half-written ones are none.
  (folder / runs.CHECKPOINTS / "2.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
  with pytest.raises(ValueError, match=message):
    _resume(folder)
  assert len(runs.read_epochs(folder)) == 3


def test_a_half_written_checkpoint_is_of_an_epoch_that_was_not_trained(whole, tmp_path):
  folder = _copy(whole, tmp_path)
  place = folder / runs.CHECKPOINTS
  (place / "2").rename(place / "2.orbax-checkpoint-tmp")
  _same(_resume(folder), whole[1])
  assert {path.name for path in place.iterdir()} == {"1", "2"}


def test_killed_before_the_first_checkpoint_is_whole(whole, tmp_path):
  folder = _copy(whole, tmp_path)
  files.write_json(folder / workdir.CONFIG, workdir.read_config(folder) | {"finished": False})
  runs.write_epochs(folder, runs.read_epochs(folder)[:1])
  shutil.rmtree(folder / runs.CHECKPOINTS)
  (folder / runs.CHECKPOINTS).mkdir()
  _same(_resume(folder), whole[1])
  assert [row["epoch"] for row in runs.read_epochs(folder)] == [0, 1, 2]


def test_rows_are_written_before_their_checkpoint(whole, tmp_path, monkeypatch):
  # So that there is never a state without its row.
  class StoppedError(Exception):
    pass

  def stop(*_):
    raise StoppedError

  with monkeypatch.context() as patch, pytest.raises(StoppedError):
    patch.setattr(baselines.Checkpoints, "save", stop)
    _train(tmp_path / "run", score_every=0, **SETTINGS)
  assert [row["epoch"] for row in runs.read_epochs(tmp_path / "run")] == [0]
  _same(_resume(tmp_path / "run"), whole[1])


def test_a_training_without_its_record_is_left_alone(whole, tmp_path):
  folder = _copy(whole, tmp_path)
  (folder / workdir.CONFIG).unlink()
  for how in ({}, {"resume": True}):
    with pytest.raises(ValueError, match=r"expected config\.json beside .* give --overwrite"):
      _train(folder, score_every=0, **how, **SETTINGS)
  assert baselines.Checkpoints(folder / runs.CHECKPOINTS).last_epoch == 2


def test_a_folder_that_another_training_uses_is_left_alone(whole, tmp_path):
  folder = _copy(whole, tmp_path)
  with workdir.using(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for how in ("resume", "overwrite"):
      with pytest.raises(OSError, match=r"workdir: .* in use by process \d+ since"):
        _train(folder, score_every=0, **{how: True}, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_too_few_samples_are_told_of_before_anything_is_trained(tmp_path, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: pytest.fail("trained a judge"))
  with pytest.raises(ValueError, match=r"score_samples: expected at least 10, .* got 9"):
    _train(tmp_path, score_samples=9, **SETTINGS)


def test_a_models_fields_are_options():
  found = train_baseline._options("vae", ["hidden=7", "learning_rate=1e-4"])
  assert found == {"hidden": 7, "learning_rate": 1e-4}
  assert type(found["hidden"]) is int and baselines.make("vae", (8, 8, 1), **found).hidden == 7
  assert train_baseline._options("vae", []) == {}
  for wrong in ("hiden=7", "hidden", "image_shape=3", "=3", ""):
    with pytest.raises(ValueError, match=r"options: expected NAME=VALUE of .*hidden.*, got"):
      train_baseline._options("vae", [wrong])
  # What a word or a fraction means is the model's to say.
  for value in ("many", "1.5"):
    options = train_baseline._options("vae", [f"hidden={value}"])
    with pytest.raises(ValueError, match="hidden: expected an integer"):
      baselines.make("vae", (8, 8, 1), **options)
