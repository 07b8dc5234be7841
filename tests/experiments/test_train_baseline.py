"""Small runs of the baselines' launcher, and of the scores that its curve is made of."""

import json

import jax
import numpy as np
import pytest

from experiments import evaluation, scoring, train_gan
from experiments import workdir as work
from nsn_jax import baselines, data, metrics

SETTINGS = {"model": "vae", "dataset": "digits", "options": {"hidden": 16}, "num_epochs": 3}


@pytest.fixture
def judged(judge: scoring.Judge, monkeypatch: pytest.MonkeyPatch) -> None:
  """Scores by the weak judge of the tests."""
  monkeypatch.setattr(scoring, "judge", lambda *_, **__: judge)


@pytest.fixture(scope="module")
def against(judge: scoring.Judge) -> evaluation.Reference:
  return evaluation.reference(judge.classifier, judge.train, judge.test)


def test_real_images_beat_noise_in_every_score(against, judge: scoring.Judge):
  rng = np.random.default_rng(0)
  held_out = judge.test.images
  noise = rng.integers(0, 256, held_out.shape).astype(np.uint8)
  key = jax.random.key(0)
  real, bad = (evaluation.evaluate(key, against, x) for x in (held_out, noise))
  assert real.num_images == len(held_out)
  assert real.inception_score > 1.5 * bad.inception_score
  assert real.fid < bad.fid / 20 and real.kid < bad.kid / 20
  assert real.precision > 0.8 > 0.1 > bad.precision and real.recall > 0.8 > 0.1 > bad.recall
  assert real.copy_ratio == pytest.approx(1, abs=0.02) and bad.copy_ratio > 1.5
  assert real.suspected_copies < 0.03


def test_copies_of_training_images_are_told(against):
  copies = evaluation.evaluate(jax.random.key(0), against, against.train[:300])
  assert copies.suspected_copies == 1 and copies.copy_ratio < 0.05


def test_a_run_leaves_its_files(tmp_path, judged, capsys):
  model, state = train_gan.train(
    workdir=tmp_path / "run", score_every=2, score_samples=200, **SETTINGS
  )
  names = {path.name for path in (tmp_path / "run").iterdir()}
  assert names == {
    "checkpoints",
    "config.json",
    "epochs.jsonl",
    "curve.png",
    *(f"samples_epoch_00{epoch}.png" for epoch in (1, 2, 3)),
  }
  rows = train_gan.read_epochs(tmp_path / "run")
  # Every second epoch and the last.
  assert ["scores" in row for row in rows] == [False, True, True]
  assert rows[1]["scores"]["num_images"] == 200
  config = json.loads((tmp_path / "run" / work.CONFIG).read_text())
  assert config["finished"] and config["model"] == "vae" and config["options"] == {"hidden": 16}
  assert config["seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
  out = capsys.readouterr().out
  assert "epoch 3/3: " in out and "reconstruction" in out and "FID" in out
  loaded, again, facts = train_gan.load(tmp_path / "run")
  assert loaded == model and facts == config
  for one, other in zip(*map(jax.tree.leaves, (state, again)), strict=True):
    np.testing.assert_array_equal(one, other)


def test_resume_ends_as_if_it_had_never_stopped(tmp_path, monkeypatch):
  _, whole = train_gan.train(workdir=tmp_path / "a", score_every=0, **SETTINGS)
  train = baselines.train

  def interrupted(*arguments, on_epoch, **options):
    def stop(epoch, state):
      on_epoch(epoch, state)
      raise KeyboardInterrupt

    return train(*arguments, on_epoch=stop, **options)

  monkeypatch.setattr(baselines, "train", interrupted)
  with pytest.raises(KeyboardInterrupt, match=r"1 epochs are kept: go on with .* --resume"):
    train_gan.train(workdir=tmp_path / "b", score_every=0, **SETTINGS)
  monkeypatch.setattr(baselines, "train", train)
  _, again = train_gan.train(workdir=tmp_path / "b", score_every=0, resume=True, **SETTINGS)
  for one, other in zip(*map(jax.tree.leaves, (whole, again)), strict=True):
    np.testing.assert_array_equal(one, other)
  assert [row["epoch"] for row in train_gan.read_epochs(tmp_path / "b")] == [0, 1, 2]
  # Finished: there is nothing to do, so the device stays that of the training; and more epochs can
  # be asked for.
  device = work.read_config(tmp_path / "b")["device"]
  with monkeypatch.context() as patch:
    patch.setattr(work, "_device", lambda: "another")
    train_gan.train(workdir=tmp_path / "b", score_every=0, resume=True, **SETTINGS)
  assert work.read_config(tmp_path / "b")["device"] == device
  train_gan.train(
    workdir=tmp_path / "b", score_every=0, resume=True, **SETTINGS | {"num_epochs": 4}
  )
  assert len(train_gan.read_epochs(tmp_path / "b")) == 4


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
  (tmp_path / work.CONFIG).write_text(json.dumps(stored))
  said = run_python(f"""
import json
from absl import flags
from experiments import train_gan
train_gan.train = lambda **given: print(json.dumps(given))
train_gan._define_flags()
flags.FLAGS(["x", "--workdir={tmp_path}", "--resume", "--score_every=2"])
train_gan._main()
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
    return scoring.Judge(classifier, 0.0, train, test)

  monkeypatch.setattr(scoring, "judge", judge)
  train_gan.train(workdir=tmp_path, image_size=14, score_samples=50, **SETTINGS | {"num_epochs": 1})
  (row,) = train_gan.read_epochs(tmp_path)
  assert row["scores"]["num_images"] == 50
  assert train_gan.load(tmp_path)[0].image_shape == (14, 14, 1)


def test_a_folder_in_use_is_left_alone(tmp_path):
  settings = SETTINGS | {"num_epochs": 1, "score_every": 0, "workdir": tmp_path}
  train_gan.train(**settings)
  with pytest.raises(ValueError, match="workdir: expected a folder without a training"):
    train_gan.train(**settings)
  with pytest.raises(ValueError, match=r"seed: expected 0, as training in .* began, got 1"):
    train_gan.train(**settings | {"seed": 1}, resume=True)
  with pytest.raises(ValueError, match="expected either --resume or --overwrite, got both"):
    train_gan.train(**settings, resume=True, overwrite=True)
  train_gan.train(**settings | {"seed": 1}, overwrite=True)
  assert json.loads((tmp_path / work.CONFIG).read_text())["seed"] == 1


def test_nothing_trained_there(tmp_path):
  with pytest.raises(OSError, match=r"expected a folder with a trained baseline.*train_gan"):
    train_gan.load(tmp_path)


def test_divergence_keeps_the_epochs_before(tmp_path, monkeypatch):
  options = {"hidden": 16, "learning_rate": 1e30}
  with pytest.raises(baselines.DivergedError, match="diverged in epoch 1"):
    train_gan.train(workdir=tmp_path, score_every=0, **SETTINGS | {"options": options})
  assert train_gan.read_epochs(tmp_path) == []


def test_a_dataset_without_labels_is_scored_by_the_scenes_judge_or_not_at_all(
  tmp_path, judge: scoring.Judge, monkeypatch
):
  images = data.load("digits", limit=150).images
  np.savez(tmp_path / "x.npz", images=images)
  settings = SETTINGS | {"dataset": f"npz:{tmp_path / 'x.npz'}", "num_epochs": 1}
  with pytest.raises(ValueError, match=r"scenes: expected a folder.*got none.*--score_every=0"):
    train_gan.train(workdir=tmp_path / "run", **settings)
  train_gan.train(workdir=tmp_path / "run", score_every=0, **settings)
  assert len(train_gan.read_epochs(tmp_path / "run")) == 1
  np.savez(tmp_path / "y.npz", images=images, test_images=images[:20])
  settings["dataset"] = f"npz:{tmp_path / 'y.npz'}"
  asked = []
  monkeypatch.setattr(scoring, "judge", lambda name, **_: asked.append(name) or judge)
  train_gan.train(workdir=tmp_path / "scored", scenes="photos", score_samples=100, **settings)
  assert asked == ["folder:photos"]
  (row,) = train_gan.read_epochs(tmp_path / "scored")
  assert row["scores"]["num_images"] == 100
