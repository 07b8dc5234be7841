"""Table 1, the epsilon strip, and the command that makes all: small, on digits."""

import dataclasses
import html.parser
import json
import math
import re
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import nsn_jax
from experiments import (
  contenders,
  epsilon,
  paper,
  report,
  scoring,
  table1,
  train,
)
from experiments import workdir as work
from nsn_jax import baselines, configs, data, density


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
  """Networks of two small layers, whatever the preset."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      threshold=threshold,
      growth_patches=500,
      exchange_steps=0,
      max_passes=1,
      max_filters=12,
      min_patches=2,
    )
    for kernel, stride, threshold in ((14, 14, -1.0), (2, 1, 1.0))
  )
  monkeypatch.setattr(configs, "get", lambda _: nsn_jax.NetworkConfig(layers=layers))


# Table 1


def test_table1(small, judge: scoring.Judge, tmp_path, monkeypatch):
  settings = table1.Settings("digits", num_seeds=2, num_samples=60, num_epochs=1, limit=200)
  rows = table1.make_table(tmp_path, ["nsn", "vae"], settings, judge)
  assert json.loads((tmp_path / "table1.json").read_text())["rows"] == rows
  nsn, vae = rows
  assert (nsn["num_networks"], vae["num_networks"]) == (1, 2)
  assert nsn["size_is_found"] and not vae["size_is_found"]
  assert len(nsn["num_filters"]) == len(nsn["scores"]) == 2 and vae["num_filters"] is None
  assert nsn["spread"] == pytest.approx(np.std(nsn["scores"], ddof=1))
  assert (nsn["num_steps"], vae["num_steps"]) == (2, 1)
  # Each seed is another training.
  assert len(set(vae["scores"])) == 2
  assert len(nsn["density"]["layers"]) == 2 and vae["density"]["bits"] > 0
  text = (tmp_path / "table1.txt").read_text()
  caption, head = text.split("\n")[:2]
  assert caption == "digits, 200 training images; each score is of 60 samples"
  assert head.split() == ["NSN", "VAE"] and "found" in text
  lines = {line.split("  ")[0]: line.split()[-2:] for line in text.split("\n")}
  assert lines["epochs"] == ["-", "1"] and lines["collapsed"] == ["-", "-"]  # of GANs alone
  # What is there is not made again, what is missing is; rows of other settings stay as they are.
  monkeypatch.setattr(table1, "make_row", lambda *_: pytest.fail("made again"))
  assert table1.make_table(tmp_path, ["vae"], settings, judge) == [vae]
  with pytest.raises(pytest.fail.Exception, match="made again"):
    table1.make_table(tmp_path, ["dcgan"], settings, judge)
  with pytest.raises(ValueError, match=r"num_seeds: expected 2, .* got 3: give another --workdir"):
    table1.make_table(tmp_path, ["vae"], dataclasses.replace(settings, num_seeds=3), judge)
  assert (tmp_path / "table1.txt").read_text() == text
  for name in ("gan", "real"):
    with pytest.raises(ValueError, match=rf"models: expected some of dcgan, .*, got '{name}'"):
      table1.make_table(tmp_path, [name], settings, judge)


def test_densities_are_the_models_own(nsn):
  key, images = jax.random.key(0), data.load("digits", split="test", limit=130).images

  def found(model, state=None) -> dict:
    contender = contenders.Contender(lambda *_: images, 1, {}, model, state)
    return table1.held_out_density(key, contender, images)

  layers = found(nsn)["layers"]
  assert layers == [fit._asdict() for fit in density.layer_fits(nsn, images)]
  pixelcnn = baselines.make("pixelcnn", (28, 28, 1), width=4, num_layers=2)
  state = jax.jit(pixelcnn.init)(key)
  # Of a network without training: near 8 bits; the last batch is not full.
  assert found(pixelcnn, state)["bits"] == pytest.approx(
    float(jax.jit(pixelcnn.bits)(state.params, baselines.to_signed(images)).mean()), rel=1e-5
  )
  vae = baselines.make("vae", (28, 28, 1), hidden=8)
  state = jax.jit(vae.init)(key)
  parts = jax.jit(vae.negative_elbo)(key, state.encoder, state.decoder, baselines.to_signed(images))
  assert found(vae, state)["bits"] == pytest.approx(float(sum(parts)) / 784 / math.log(2))
  gan = baselines.make("dcgan", (28, 28, 1), width=4)
  assert found(gan) == {"kind": "none"}


def test_a_seed_that_diverges_is_told_and_not_left_out(judge: scoring.Judge, tmp_path, monkeypatch):
  settings = table1.Settings("digits", num_seeds=2, num_samples=50, num_epochs=1, limit=150)
  find = contenders.find

  def first_diverges(name, folder, **options):
    if options["seed"] == 0:
      raise baselines.DivergedError("the loss is nan")
    return find(name, folder, **options)

  monkeypatch.setattr(contenders, "find", first_diverges)
  row = table1.make_row("vae", tmp_path / "vae", settings, judge, None)
  assert row["scores"][0] is None and row["scores"][1] > 0 and row["spread"] is None
  assert "diverged" in table1.as_text([row])


# epsilon


def test_epsilon(nsn, judge: scoring.Judge, tmp_path, monkeypatch):
  monkeypatch.setattr(epsilon, "EPSILONS", (1.0,))
  monkeypatch.setattr(epsilon, "_BETAS", (1.0, 2.0))
  images = data.load("digits", limit=150).images
  lines: list[str] = []
  rows = epsilon.vary(jax.random.key(0), nsn, images, judge, tmp_path, 50, lines.append)
  assert [row["epsilon"] for row in rows] == [None, 1.0] and len(lines) == 2
  # The numbers are given: only epsilon differs.
  assert [row["num_filters"] for row in rows] == [list(nsn.num_filters)] * 2
  assert {row["sampler"]["beta"] for row in rows} <= {1.0, 2.0}
  assert (tmp_path / "epsilon.png").stat().st_size > 0
  without = epsilon.vary(jax.random.key(0), nsn, images, None, tmp_path, 50, lines.append)
  assert "score" not in without[0]
  assert without[0]["sampler"] == dataclasses.asdict(nsn.config.sampler)


# paper


def _planned(folder, datasets, **options):
  options = {"data_dir": None, "limit": None, "num_samples": 1000, **options}
  return list(paper.stages(folder, datasets, **options))


def test_every_stage_is_a_command_that_its_launcher_takes(tmp_path, run_python):
  stages = _planned(tmp_path, ["digits"], limit=100)
  kinds = [stage.kind for stage in stages]
  assert kinds == [
    "train",
    "score",
    "samples",
    "effects",
    "epsilon",
    "occlusion",
    "interpolation",
    "style",
    "tables34",
    "table1",
  ]
  assert len({stage.name for stage in stages}) == len(stages)
  # Parsing alone, in a process of its own, as flags are global.
  run_python(f"""
import importlib
from absl import flags
for kind, arguments in {[(stage.kind, stage.arguments) for stage in stages]!r}:
  before = set(flags.FLAGS)
  importlib.import_module(f"experiments.{{kind}}")._define_flags()
  flags.FLAGS(["x", *arguments])
  for name in set(flags.FLAGS) - before:
    delattr(flags.FLAGS, name)
""")


def test_stages_of_data_without_labels(tmp_path):
  np.savez(
    tmp_path / "x.npz",
    images=np.zeros((9, 28, 28, 1), np.uint8),
    test_images=np.zeros((3, 28, 28, 1), np.uint8),
  )
  with pytest.raises(ValueError, match="has none of its own"):
    _planned(tmp_path, [f"npz:{tmp_path / 'x.npz'}"])
  assert paper.slug("lsun/church_outdoor") == "church_outdoor"
  assert paper.slug("folder:../a/buildings") == "buildings" and paper.slug("mnist") == "mnist"


def test_data_sets_that_are_not_there_are_left_out_and_named(tmp_path, capsys):
  assert paper.present(["digits", f"folder:{tmp_path}"], None) == ["digits"]
  assert f"folder:{tmp_path} is left out: name: expected image files" in capsys.readouterr().out
  with pytest.raises(data.DataError, match="datasets: expected one that is there"):
    paper.present([f"folder:{tmp_path}"], None)


class _Page(html.parser.HTMLParser):
  def __init__(self) -> None:
    super().__init__()
    self.open: list[str] = []
    self.pictures: list[str] = []
    self.headings = 0

  def handle_starttag(self, tag, attrs):
    if tag not in ("meta", "img", "br"):
      self.open.append(tag)
    self.headings += tag == "h2"
    if tag == "img":
      self.pictures.append(dict(attrs)["src"])

  def handle_endtag(self, tag):
    assert self.open.pop() == tag


def test_paper_runs_what_is_missing_and_reports(small, tmp_path, monkeypatch, capfd):
  stages = _planned(tmp_path, ["digits"], limit=60)
  # In this process, so that the small network takes part.
  place = tmp_path / "digits" / "digits"
  train.train(
    workdir=place,
    dataset="digits",
    config=configs.get("digits"),
    preset="digits",
    limit=60,
    num_samples=4,
  )
  wanted = [stage for stage in stages if stage.kind in ("interpolation", "style", "tables34")]
  assert [paper.run(stage, tmp_path) for stage in wanted] == [True] * 3
  assert [paper.run(stage, tmp_path) for stage in wanted] == [False] * 3
  with Image.open(tmp_path / "digits" / "style.png") as picture:
    # A held-out digit and three draws of it, side by side at the size asked for.
    assert picture.width > 4 * paper._STYLED_SIZE > picture.height > paper._STYLED_SIZE
  changed = wanted[0]._replace(arguments=(*wanted[0].arguments, "--num_pairs=1"))
  assert paper.run(changed, tmp_path)
  facts = work.read_json(tmp_path / "done" / "digits.interpolation.json")
  assert facts["seconds"] > 0 and "--num_pairs=1" in facts["command"] and facts["revision"]
  assert [record["kind"] for record in paper.records(tmp_path)] == [
    "interpolation",
    "style",
    "tables34",
  ]
  assert paper.records(tmp_path)[0] == facts
  # A network that was trained anew is shown anew.
  config = place / work.CONFIG
  before = work.read_json(config)
  work.write_json(config, before | {"seconds": before["seconds"] + 1})
  assert paper.run(changed, tmp_path) and not paper.run(changed, tmp_path)
  failing = wanted[0]._replace(arguments=("--model=none",))
  with pytest.raises(OSError, match="interpolation ended with exit code 1"):
    paper.run(failing, tmp_path)
  assert "error:" in capfd.readouterr().err
  page = report.write(tmp_path, [("digits", "digits", "digits")]).read_text()
  found = _Page()
  found.feed(page)
  assert found.headings == 10 and not found.open
  # samples.png, style.png, 9a and 9b, all embedded: nothing is fetched.
  assert len(found.pictures) == 4 and all(p.startswith("data:image/png") for p in found.pictures)
  assert not re.search(r'(src|href)="(?!data:|#|https://arxiv.org)', page)
  assert "python -m experiments.interpolation" in page and "Not made yet" in page
  assert "28x28" in page  # Tables 3 and 4


def test_the_report_shows_table_2_where_it_is_there(tmp_path):
  scores = {
    "num_images": 100,
    "inception_score": 8.0,
    "inception_score_deviation": 0.1,
    "fid": 9.0,
    "kid": 0.1,
    "kid_deviation": 0.01,
    "precision": 0.5,
    "recall": 0.2,
    "copy_ratio": 1.0,
    "suspected_copies": 0.0,
    "paper": None,
    "training_seconds": 60.0,
    "sampling_seconds": 1.0,
    "num_parameters": 7,
    "source": {"num_epochs": 3},
    "command": "python -m experiments.table2",
    "revision": "abc",
    "device": "CPU, 1 core",
    "dataset": "digits",
    "network": "a classifier",
  }
  rows = [scores | {"model": "dcgan"}, scores | {"model": "nsn", "inception_score": 6.5}]
  folder = tmp_path / "table2" / "digits"
  (folder / "dcgan").mkdir(parents=True)
  for place in (folder / "dcgan.png", folder / "dcgan" / "curve.png"):
    Image.new("L", (3, 3)).save(place)
  (tmp_path / "table2" / "table2.json").write_text(json.dumps({"rows": rows}))
  page = report.write(tmp_path, []).read_text()
  found = _Page()
  found.feed(page)
  assert len(found.pictures) == 2 and not found.open
  assert "samples of DCGAN" in page and "training of DCGAN" in page
  assert "IS 6.50, worse than DCGAN&#39;s by 1.50" in page


def test_a_trial_does_not_pass_for_a_whole_run(run_python, tmp_path):
  (tmp_path / "settings.json").write_text('{"limit": 60}')
  script = f"""
import sys, runpy
sys.argv = ["paper", "--datasets=digits", "--workdir={tmp_path}"]
runpy.run_module("experiments.paper", run_name="__main__")
"""
  with pytest.raises(AssertionError, match=r"limit: expected 60, as .*, got None: give another"):
    run_python(script)


def test_bad_stages_are_refused(run_python, tmp_path):
  script = f"""
import sys, runpy
sys.argv = ["paper", "--datasets=digits", "--workdir={tmp_path}", "--stages=train,sing"]
runpy.run_module("experiments.paper", run_name="__main__")
"""
  with pytest.raises(AssertionError, match=r"stages: expected some of train, score, .*got 'sing'"):
    run_python(script)


def test_a_result_says_how_it_was_made(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["somewhere/score.py", "--model=a b"])
  work.write_result(tmp_path / "x.json", {"rows": [1]})
  found = work.read_json(tmp_path / "x.json")
  assert found["command"] == "python -m experiments.score '--model=a b'"
  assert found["revision"] and found["device"] and found["versions"]["jax"] == jax.__version__
  assert found["seconds"] > 0 and found["rows"] == [1]
