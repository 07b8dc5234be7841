"""The search for the sampler's settings."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

import nsn_jax
from experiments import tune_sampler
from experiments.common import finding, judging
from nsn_jax import data
from nsn_jax.pixel_range import to_uint8
from tests.experiments import helpers

_FEW = (tune_sampler.values("num_draws", 2, 4), tune_sampler.factors("gamma", 0.5))


def test_the_search_never_ends_above_its_start(nsn: nsn_jax.NSN, finder: finding.Finder) -> None:
  images = data.load("digits", limit=200).images
  contrast_key, sample_key = jax.random.split(jax.random.key(1))

  def cost(sampler: nsn_jax.SamplerConfig) -> finding.Likeness:
    # Every setting at the contrast that it needs.
    contrast = nsn_jax.find_contrast(contrast_key, nsn, images, sampler)
    network = dataclasses.replace(nsn, contrast=contrast)
    return finding.likeness(finder, to_uint8(nsn_jax.sample(sample_key, network, 200, sampler)))

  best, reached = tune_sampler.search(
    jax.random.key(1), finder, nsn, images, num_samples=200, rounds=1, knobs=_FEW
  )
  assert reached == cost(best)
  # The sharpest setting is not the most like real images: this network has few filters.
  assert reached.cost < cost(nsn.config.sampler).cost and best != nsn.config.sampler


def test_what_is_tried() -> None:
  best = nsn_jax.SamplerConfig(gamma=(8.0, 6.0), num_draws=2)
  tried = [settings(best) for settings in tune_sampler.candidates(2, _FEW)]
  assert tried == [
    [dataclasses.replace(best, num_draws=4)],
    [dataclasses.replace(best, gamma=(8.0, 3.0))],  # the last layer first
    [dataclasses.replace(best, gamma=(4.0, 6.0))],
  ]
  # Every knob is a field of the sampler's, and every field is tried.
  changed = set()
  for settings in tune_sampler.candidates(2):
    for setting in settings(best):
      names = [field.name for field in dataclasses.fields(best)]
      changed |= {name for name in names if getattr(setting, name) != getattr(best, name)}
  assert {"gamma", "temperature", "alpha", "num_draws"} <= changed
  # Contrast is found without a classifier. What is relative to it is beta of the layer that decodes
  # to pixels; others' would be undone by it.
  betas = [
    setting.beta
    for settings in tune_sampler.candidates(2)
    for setting in settings(best)
    if setting.beta != best.beta
  ]
  assert betas and all(isinstance(beta, tuple) and beta[1] == 1.0 for beta in betas)


def test_what_has_no_labels_is_found_and_scored_by_classifiers_of_scenes(
  nsn: nsn_jax.NSN,
  judge: judging.Judge,
  finder: finding.Finder,
  tmp_path: pathlib.Path,
  monkeypatch: pytest.MonkeyPatch,
  capsys: pytest.CaptureFixture[str],
) -> None:
  train, test = (data.load("digits", split=split).images for split in ("train", "test"))
  np.savez(tmp_path / "x.npz", images=train, test_images=test)
  nsn_jax.save(tmp_path / "model.safetensors", nsn)
  asked = []

  def judged(name: str, **_: object) -> judging.Judge:
    asked.append(("judge", name))
    return judge

  def found(name: str, images: np.ndarray, **_: object) -> finding.Finder:
    asked.append(("finder", name, len(images)))
    return finder

  monkeypatch.setattr(judging, "judge", judged)
  monkeypatch.setattr(finding, "finder", found)

  def tune(*arguments: str) -> None:
    flags = [f"--model={tmp_path / 'model.safetensors'}", f"--dataset=npz:{tmp_path / 'x.npz'}"]
    few = ["--search_samples=100", "--num_samples=100", "--rounds=1"]
    with helpers.given(tune_sampler, *flags, *few, *arguments):
      tune_sampler._main()

  with pytest.raises(ValueError, match=r"scenes: expected a folder.*give --scenes=\.\.\.$"):
    tune()
  assert not asked
  tune("--scenes=photos")
  # The judge comes last: it has no part in what is found.
  assert asked == [("finder", "folder:photos", len(train)), ("judge", "folder:photos")]
  written = json.loads((tmp_path / "model.sampler.json").read_text())
  assert written["found_by"]["network"].startswith("classifier of scenes")
  scores = written["scored_by"]["samples"]
  assert scores["num_images"] == 100 and scores["fid"] > written["scored_by"]["real"]["fid"]
  last = capsys.readouterr().out.splitlines()[-1]
  assert last.startswith("100 fresh samples: IS ") and f"FID {scores['fid']:.2f}" in last
