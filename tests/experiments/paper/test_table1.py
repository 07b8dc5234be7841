"""Table 1 small, on digits, and the densities that it asks the models for."""

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

import nsn_jax
from experiments.common import judging, workdir
from experiments.paper import contenders, layouts, table1
from nsn_jax import baselines, data, density


def test_table1(small, judge: judging.Judge, tmp_path, monkeypatch):
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
  for name in ("agan", "real"):
    with pytest.raises(ValueError, match=rf"models: expected some of gan, .*, got '{name}'"):
      table1.make_table(tmp_path, [name], settings, judge)


def test_densities_are_the_models_own(nsn, monkeypatch):
  key, images = jax.random.key(0), data.load("digits", split="test", limit=130).images

  def found(model, state=None) -> dict:
    if isinstance(model, nsn_jax.NSN):
      return contenders.of_network(model, {}).density(key, images)
    # What sampling needs plays no part in a density.
    monkeypatch.setattr(type(model), "generating", lambda *_: ())
    return contenders.of_baseline(model, state, {}).density(key, images)

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


def test_a_seed_that_diverges_is_told_and_not_left_out(judge: judging.Judge, tmp_path, monkeypatch):
  settings = table1.Settings("digits", num_seeds=2, num_samples=50, num_epochs=1, limit=150)
  find = contenders.find

  def first_diverges(*given, seed, **options):
    if seed == 0:
      raise baselines.DivergedError("the loss is nan")
    return find(*given, seed=seed, **options)

  monkeypatch.setattr(contenders, "find", first_diverges)
  row = table1.make_row("vae", tmp_path / "vae", settings, judge, None)
  assert row["scores"][0] is None and row["scores"][1] > 0 and row["spread"] is None
  assert "diverged" in layouts.table1.as_text([row])


def test_a_folder_that_another_table_uses_is_left_alone(judge: judging.Judge, tmp_path):
  with (
    workdir.using(tmp_path),
    pytest.raises(OSError, match=r"workdir: .* in use by process \d+ since"),
  ):
    table1.make_table(tmp_path, ["vae"], table1.Settings("digits"), judge)
  with pytest.raises(ValueError, match=r"num_samples: expected at least 10, .* got 9"):
    table1.make_table(tmp_path, ["vae"], table1.Settings("digits", num_samples=9), judge)
  assert not list(tmp_path.iterdir())
