"""The launchers: what they leave in a workdir, going on after Ctrl-C, and every refusal's line."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl import flags as absl_flags
from PIL import Image

import nsn_jax
from experiments import flags as command_line
from experiments import pictures, progress, quickstart, sample, train
from nsn_jax import data

_ROOT = pathlib.Path(__file__).resolve().parents[1]


#: Digits of 12x12: a second layer of 5x5 windows ends at 1x1, and fewer programs are compiled.
_SIDE = 12


def _mini_config(**changes):
  """Bottom and top of the MNIST preset, small enough to train in seconds."""
  config = nsn_jax.configs.get("mnist")
  layers = tuple(
    dataclasses.replace(
      layer,
      kernel=kernel,
      threshold=threshold,
      growth_patches=2000,
      seeds_per_step=8,
      exchange_steps=2,
      max_filters=24,
      max_passes=2,
      min_patches=4,
    )
    for layer, kernel, threshold in zip(
      (config.layers[0], config.layers[-1]), (4, 5), (-0.5, -0.5), strict=True
    )
  )
  sampler = nsn_jax.SamplerConfig(gamma=(200.0, 100.0), beta=1.5)
  network = dataclasses.replace(config, layers=layers, whitening_epsilon=0.5, sampler=sampler)
  return dataclasses.replace(network, **changes)


def _train(workdir, **changes):
  settings = {
    "dataset": "digits",
    "image_size": _SIDE,
    "limit": 120,
    "config": _mini_config(),
    "num_samples": 7,
  }
  return train.train(workdir=workdir, **settings | changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A finished workdir. Tests that change one copy it or make their own."""
  workdir = tmp_path_factory.mktemp("trained")
  return workdir, _train(workdir)


def _size(path):
  with Image.open(path) as picture:
    picture.load()
    return picture.size


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
  images = data.load("digits", image_size=_SIDE, limit=120).images
  direct = nsn_jax.fit(jax.random.key(0), images, _mini_config())
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
  assert train.read_metrics(workdir) == result.history


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
  assert _size(workdir / "samples.png") == (7 * (tile + 3) + 3, tile + 6)
  for layer, count in enumerate(result.nsn.num_filters):
    width, height = _size(workdir / f"filters_layer{layer}.png")
    rows = -(-count // 16)
    assert 700 < width < 1000 and height > rows * 40
  assert _size(workdir / "growth.png")[0] > 800


def test_interrupted_and_resumed(trained, tmp_path, capsys):
  def stop(at):
    if at.layer == 1:
      raise KeyboardInterrupt

  with pytest.raises(command_line.Interrupted, match=r"layer 1.*--workdir=.* --resume"):
    _train(tmp_path, report=stop)
  assert nsn_jax.load(tmp_path / train.PARTIAL).num_layers == 1
  assert not (tmp_path / train.MODEL).exists()
  with pytest.raises(OSError, match="trained in part"):
    sample.load_model(tmp_path)
  with pytest.raises(ValueError, match="--resume"):
    _train(tmp_path)
  with pytest.raises(ValueError, match=r"seed: expected 0.* got 1"):
    _train(tmp_path, resume=True, seed=1)
  with pytest.raises(ValueError, match=r"limit: expected 120.* got 121"):
    _train(tmp_path, resume=True, limit=121)
  other = _mini_config(whitening_epsilon=0.25)
  with pytest.raises(ValueError, match=r"network.whitening_epsilon: expected 0.5.* got 0.25"):
    _train(tmp_path, resume=True, config=other)
  # A process that is killed while it writes leaves half a line, of a layer that is not kept.
  with (tmp_path / train.METRICS).open("a") as file:
    file.write('{"layer": 1, "phase": "growth", "step": 0, "num_fil')

  result = _train(tmp_path, resume=True)
  _assert_same_filters(result.nsn, trained[1].nsn)
  rows = [r._replace(seconds=0) for records in result.history for r in records]
  assert rows == [r._replace(seconds=0) for records in trained[1].history for r in records]
  assert not (tmp_path / train.PARTIAL).exists()
  assert {p.name for p in tmp_path.iterdir()} == {p.name for p in trained[0].iterdir()}

  (tmp_path / "samples.png").unlink()
  before = (tmp_path / train.METRICS).read_bytes()
  _train(tmp_path, resume=True)
  assert "finished" in capsys.readouterr().err
  assert (tmp_path / "samples.png").exists()
  assert (tmp_path / train.METRICS).read_bytes() == before


def test_other_images_under_the_same_name(tmp_path):
  images = data.load("digits", limit=120).images  # as many as elsewhere: compiled already
  np.savez(tmp_path / "images.npz", images=images)

  def stop(_):
    raise KeyboardInterrupt

  settings = {"dataset": f"npz:{tmp_path / 'images.npz'}"}
  with pytest.raises(KeyboardInterrupt, match="no layer is finished yet"):
    _train(tmp_path / "run", report=stop, **settings)
  np.savez(tmp_path / "images.npz", images=images[::-1])
  with pytest.raises(ValueError, match="dataset: expected the images"):
    _train(tmp_path / "run", resume=True, **settings)


def test_refusals_keep_what_is_there(trained):
  workdir, _ = trained
  before = {path: path.read_bytes() for path in workdir.iterdir()}
  for changes, message in (
    ({}, "workdir: .*holds a model.*--resume.*--overwrite"),
    ({"resume": True, "overwrite": True}, "resume"),
    ({"overwrite": True, "dataset": "digit"}, "digit"),
    ({"overwrite": True, "image_size": 13}, "kernel, stride"),
    ({"overwrite": True, "num_samples": 0}, "num_samples"),
    ({"overwrite": True, "memory_budget_gb": 0.0}, "memory_budget_gb"),
  ):
    with pytest.raises(ValueError, match=message):
      _train(workdir, **changes)
  assert {path: path.read_bytes() for path in workdir.iterdir()} == before


def test_overwrite_takes_away_only_its_own(tmp_path):
  (tmp_path / "notes.txt").write_text("mine")
  (tmp_path / "filters_layer9.png").write_text("old")
  (tmp_path / train.MODEL).write_text("old")

  def stop(_):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    _train(tmp_path, overwrite=True, report=stop)
  assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "config.json"}


def test_workdir_that_cannot_be_written(tmp_path):
  # A file in the folder's place: permissions would not stop a root user.
  (tmp_path / "file").write_text("")

  def late(*_, **__):
    raise AssertionError("the folder is tried before the data are read")

  for path in (tmp_path / "file", tmp_path / "file" / "below"):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError, match="workdir: expected"):
      patch.setattr(data, "load", late)
      _train(path)


def test_sample(trained, tmp_path):
  _, result = trained
  sampler = dataclasses.replace(result.nsn.config.sampler, alpha=0.1)
  images = sample.write_samples(
    workdir=tmp_path, num_samples=104, seed=5, sampler=sampler, nsn=result.nsn
  )
  with np.load(tmp_path / "samples.npz") as arrays:
    np.testing.assert_array_equal(arrays["images"], images)
    assert arrays["images"].dtype == np.uint8 and arrays["images"].shape == (104, 12, 12, 1)
    assert arrays["seed"] == 5 and arrays["layer"] == 1 and arrays["alpha"] == 0.1
    assert arrays["gamma"].tolist() == list(sampler.gamma)
  raw = np.asarray(nsn_jax.sample(jax.random.key(5), result.nsn, 104, sampler))
  np.testing.assert_array_equal(images, np.rint(np.clip(raw, 0, 1) * 255))
  # Ten rows of the 104, though there are more.
  assert _size(tmp_path / "samples_grid.png") == (10 * 87 + 3, 10 * 87 + 3)
  assert len(data.load(f"npz:{tmp_path / 'samples.npz'}").images) == 104


def test_sample_of_a_lower_layer(trained, tmp_path):
  images = sample.write_samples(workdir=tmp_path, num_samples=3, layer=0, nsn=trained[1].nsn)
  assert images.shape == (3, 4, 4, 1)
  with pytest.raises(ValueError, match="layer: expected an integer from 0 to 1"):
    sample.write_samples(workdir=tmp_path, num_samples=3, layer=2, nsn=trained[1].nsn)


def test_quickstart_twice(tmp_path, monkeypatch):
  # What the launcher adds to training, on the small network and few images.
  whole = train.train
  monkeypatch.setattr(train, "train", lambda **given: whole(**given, image_size=_SIDE, limit=120))
  for _ in range(2):
    found = quickstart.quickstart(tmp_path, _mini_config())
    assert [path.name for path in found] == [
      "samples_grid.png",
      "growth.png",
      "filters_layer0.png",
      "filters_layer1.png",
    ]
    for path in found:
      assert min(_size(path)) > 30
      path.unlink()


def test_grid(tmp_path):
  images = np.stack([np.full((2, 4, 1), value, np.float32) for value in (-1, 0.5, 2)])
  size = pictures.grid(images, tmp_path / "grid.png", columns=2)
  scale = 50  # an image is enlarged to 200 pixels at most
  assert size == (2 * 4 * scale + 9, 2 * 2 * scale + 9) == _size(tmp_path / "grid.png")
  pixels = np.asarray(Image.open(tmp_path / "grid.png"))
  assert (pixels[0] == 255).all() and (pixels[:, 0] == 255).all()
  for (row, column), value in (((0, 0), 0), ((0, 1), 128), ((1, 0), 255), ((1, 1), 255)):
    y, x = 3 + row * 103, 3 + column * 203
    assert (pixels[y : y + 100, x : x + 200] == value).all()
  titled = pictures.grid(images, tmp_path / "titled.png", title="t " * 300, columns=2)
  assert titled[0] == 480 and titled[1] > size[1] + 40
  colour = np.zeros((1, 3, 3, 3), np.uint8)
  colour[..., 2] = 255
  pictures.grid(colour, tmp_path / "colour.png")
  assert np.asarray(Image.open(tmp_path / "colour.png"))[20, 20].tolist() == [0, 0, 255]
  for bad in (np.zeros((0, 2, 2, 1)), np.zeros((2, 2))):
    with pytest.raises(ValueError, match="images: expected"):
      pictures.grid(bad, tmp_path / "bad.png")


def test_histograms(tmp_path):
  real = np.full((2, 4, 4, 1), 51, np.uint8)
  generated = np.array([-3.0, 0.0, 1.0, 5.0], np.float32).reshape(1, 2, 2, 1)
  assert pictures.histograms(real, generated, tmp_path / "h.png") == pytest.approx((0.2, 0.5))
  assert _size(tmp_path / "h.png")[0] > 800
  with pytest.raises(ValueError, match="generated: expected"):
    pictures.histograms(real, real[:0], tmp_path / "h.png")


def test_growth_curve_of_few_records(tmp_path):
  record = nsn_jax.Record("growth", 0, 3, 0.0, -1.0, 10, 0.1)
  pictures.growth_curve([[record], []], tmp_path / "g.png")
  assert _size(tmp_path / "g.png")[0] > 500
  with pytest.raises(ValueError, match="history"):
    pictures.growth_curve([], tmp_path / "g.png")


class _Terminal:
  """A stream that says it is a terminal."""

  def __init__(self):
    self.text = ""

  def isatty(self):
    return True

  def write(self, text):
    self.text += text

  def flush(self):
    pass


def test_progress_line_on_a_terminal(monkeypatch):
  clock = [100.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
  stream = _Terminal()
  line = progress.ProgressLine(3, stream)
  record = nsn_jax.Record("growth", 4, 37, 0.125, -1.0, 1000, 5.0)
  line(nsn_jax.Progress(1, record, "growth", 4, 0, 1000, 1.0))
  clock[0] += 2
  line(nsn_jax.Progress(1, record, "growth", 5, 0, 9000, 1.0))
  expected = "layer 1 [2/3] growth 6, 37 filters, 12.5% below threshold, 4k patches/s"
  assert expected in stream.text and "left" not in stream.text
  line(nsn_jax.Progress(1, record, "em", 0, 8, 9000, 0.5))
  clock[0] += 10
  line(nsn_jax.Progress(1, record, "em", 1, 8, 9000, 0.5))
  # One of the eight took ten seconds, six and a half are left.
  assert "phase done in 1:05 at most" in stream.text
  clock[0] += 10
  line(nsn_jax.Progress(2, None, "maps", 0, 1, 0, 0.25))
  clock[0] += 10
  line(nsn_jax.Progress(2, None, "maps", 0, 1, 0, 0.5))
  assert "layer 2 [3/3] encoding its input, phase done in 0:20 at most" in stream.text
  line.layer_done(1, [record])
  line.close()
  assert "layer 1 [2/3]: 37 filters, 12.50% of the patches" in stream.text


def test_preset_of_a_data_set():
  assert train.preset_of("mnist") == "mnist"
  assert train.preset_of("folder:pictures") == train.preset_of("lsun/church_outdoor") == "church"
  advice = r"has none of its own: experiments\.train takes one by --preset=\.\.\.$"
  with pytest.raises(ValueError, match=rf"preset: expected one of .*mnist.*{advice}"):
    train.preset_of("npz:pictures.npz")


def test_sampler_flags():
  numbers = command_line._Numbers
  assert numbers(float).parse("200,200,2e1") == (200.0, 200.0, 20.0)
  assert numbers(int).parse("3") == 3
  for kind, text in ((float, "200,"), (int, "1.5"), (float, "")):
    with pytest.raises(ValueError, match="one a layer separated by commas, got"):
      numbers(kind).parse(text)
  assert "gamma" not in absl_flags.FLAGS  # importing a launcher defines no flag


def test_a_models_own_data_set_is_the_default(run_python, tmp_path):
  (tmp_path / "config.json").write_text('{"dataset": "digits"}')
  (tmp_path / "other").mkdir()
  script = """
import pathlib
from absl import flags
from experiments import flags as command_line
command_line.define_judged_model()
model = pathlib.Path("{}") / "model.safetensors"
for arguments in ([], ["--dataset=mnist"]):
  flags.FLAGS(["x", f"--model={model}", *arguments])
  try:
    print(command_line.judged_dataset())
  except (ValueError, OSError) as error:
    print(error)
"""

  def found(folder):
    return run_python(script.replace("{}", str(folder))).splitlines()

  assert "model: expected a model file, found none at" in found(tmp_path)[0]
  for folder in (tmp_path, tmp_path / "other"):
    (folder / "model.safetensors").touch()
  assert found(tmp_path) == ["digits", "mnist"]
  assert "dataset: expected one of digits" in found(tmp_path / "other")[0]


# As `python -m`; but a shell's background job, as these tests may be, hands on an ignored Ctrl-C.
_AS_MAIN = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def _start(module, *arguments):
  return subprocess.Popen(
    [sys.executable, "-c", _AS_MAIN, f"experiments.{module}", *arguments],
    cwd=_ROOT,
    text=True,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    env=os.environ | {"PYTHONUNBUFFERED": "1"},
  )


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
  processes = [_start(*arguments) for _, _, *arguments in cases]
  for (code, message, *_), process in zip(cases, processes, strict=True):
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("\n") == 1 and err.startswith("error: ") and re.search(message, err)
  assert not (tmp_path / "new").exists()


def test_sample_command(trained):
  workdir = trained[0]
  process = _start("sample", f"--workdir={workdir}", "--num_samples=5", "--num_draws=2,1")
  out, err = process.communicate(timeout=60)
  assert process.returncode == 0 and not err
  with np.load(workdir / "samples.npz") as arrays:
    assert len(arrays["images"]) == 5 and arrays["num_draws"].tolist() == [2, 1]
  assert "samples_grid.png" in out
  for name in ("samples.npz", "samples_grid.png"):
    (workdir / name).unlink()


def test_ctrl_c(tmp_path):
  process = _start(
    "train", f"--workdir={tmp_path}", "--dataset=digits", "--preset=mnist", "--limit=50"
  )
  assert process.stderr.readline().startswith("digits: 50 images of 28x28x1")
  process.send_signal(signal.SIGINT)
  try:
    _, err = process.communicate(timeout=15)
  except subprocess.TimeoutExpired:
    # About one of fifty was lost, probably within a weak reference's callback, where Python drops
    # an interrupt and of which JAX has many while it compiles. One presses again.
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
  assert process.returncode == command_line.INTERRUPTED
  assert err.count("\n") == 1 and err.startswith("interrupted") and "--resume" in err
