"""Table 2 small, end to end, on digits; its two layouts from rows made up."""

import json
import re

import numpy as np
import pytest

import nsn_jax
from experiments.common import baseline_training, judging, runs, workdir
from experiments.paper import contenders, layouts, origins, published, table2
from experiments.paper.layouts import names
from nsn_jax import data, files, presets

SCORES = {
  "num_images": 50_000,
  "inception_score": 8.126,
  "inception_score_deviation": 0.049,
  "fid": 12.345,
  "kid": 0.0015,
  "kid_deviation": 0.0002,
  "precision": 0.5,
  "recall": 0.25,
  "copy_ratio": 0.9,
  "suspected_copies": 0.012,
}


COSTS = {"training_seconds": 600.0, "sampling_seconds": 7.62, "num_parameters": 1_234_567}


TRAINED = COSTS | {"source": {"num_epochs": 7, "device": "CPU, 2 cores"}}


FREE = dict.fromkeys(COSTS) | {"source": {}}


def _row(dataset: str, model: str, network: str, costs: dict) -> dict:
  paper = published.inception_score(dataset, model)
  return {"dataset": dataset, "model": model, "network": network, "paper": paper, **SCORES, **costs}


@pytest.fixture
def rows() -> list[dict]:
  return [
    _row("mnist", "nsn", "a", TRAINED),
    _row("mnist", "real", "a", FREE),
    _row("mnist", "vae", "a", TRAINED),
    _row("lfw", "nsn", "b_1 99%", TRAINED),
  ]


def test_text(rows):
  text = layouts.table2.as_text(rows)
  first, second = text.strip().split("\n\n")
  head, names, *lines, by_eye, by_papers, verdict = first.splitlines()
  assert head == "mnist, judged by: a" and second.startswith("lfw, judged by: b_1 99%")
  assert names.split() == [
    "family",
    "IS",
    "paper's",
    "IS",
    "FID",
    "KID",
    "x",
    "1000",
    "precision",
    "recall",
    "nearest",
    "copies",
    "epochs",
    "training",
    "trained",
    "on",
    "sampling",
    "parameters",
    "images",
  ]
  # Real data first, whatever the order of the rows.
  assert [line.split("  ")[0] for line in lines] == ["real, held out", "VAE", "NSN"]
  # Two blanks and more are between columns.
  assert re.split("  +", lines[2]) == [
    "NSN",
    "NSN",
    "8.13 +- 0.05",
    "2.44 +- 0.02",
    "12.35",
    "1.50 +- 0.20",
    "0.500",
    "0.250",
    "0.90",
    "1.2%",
    "7",
    "10.0 min",
    "CPU, 2 cores",
    "7.6 s",
    "1,234,567",
    "50,000",
  ]
  assert "1.99 +- 0.01" in lines[0] and "+- 0.02" not in lines[1]  # the paper has no VAE
  assert len({len(line) for line in (names, *lines)}) == 1
  assert by_eye == "Settings of NSN: set by eye." and by_papers.startswith(
    "Settings of VAE: their "
  )
  assert verdict.startswith("NSN against the best baseline of each: IS 8.13, ")


def test_verdicts_by_hand(rows):
  nsn = rows[0] | {"fid": 10.0, "inception_score": 9.0, "recall": 0.1}
  others = [
    rows[2] | {"fid": 12.5, "inception_score": 8.0, "recall": 0.4},
    rows[2] | {"model": "dcgan", "fid": 14.0, "inception_score": 8.5, "recall": 0.3},
    rows[1] | {"fid": 1.0, "inception_score": 9.9},  # real data are no opponent
  ]
  (found,) = layouts.table2.verdicts([nsn, *others])
  assert "IS 9.00, better than DCGAN's by 0.50" in found  # more is better
  assert "FID 10.00, better than VAE's by 2.50" in found  # less is better
  assert "recall 0.100, worse than VAE's by 0.300" in found
  assert layouts.table2.verdicts(others) == layouts.table2.verdicts([nsn]) == []


_OF_MNIST = "classifier of mnist, 99.38% on test images"


@pytest.mark.parametrize(
  ("network", "source", "said"),
  [
    (_OF_MNIST, {"settings": "finder"}, "which has no part in these scores"),
    (_OF_MNIST, {"settings": "judge"}, "by the inception score of the same classifier"),
    # A row of before there was a finder.
    (_OF_MNIST, {}, "by the inception score of the same classifier"),
    ("classifier of scenes, 86.05% on test images", {}, "set by eye"),
    ("ImageNet Inception v3", {"settings": "judge"}, "not of this network"),
  ],
)
def test_who_found_settings_is_said(network, source, said):
  rows = [
    _row("mnist", "nsn", network, COSTS | {"source": source}),
    _row("mnist", "nsn-large", network, COSTS | {"source": source}),
    _row("mnist", "dcgan", network, COSTS | {"source": {"options": {"width": 32}}}),
    _row("mnist", "vae", network, COSTS | {"source": {"options": {}}}),
    _row("mnist", "real", network, FREE),
  ]
  of_nsn, of_others = layouts.table2.origins(rows)
  assert of_nsn.startswith("Settings of NSN; NSN, large: ") and said in of_nsn
  assert of_others.startswith("Settings of DCGAN (width=32); VAE: their papers', but for epochs ")
  for text in (layouts.table2.as_text(rows), layouts.table2.as_latex(rows)):
    assert said in text and "their papers'" in text


def test_models_whose_settings_were_found_otherwise_are_said_apart():
  rows = [
    _row("mnist", "nsn", _OF_MNIST, COSTS | {"source": {"settings": "finder"}}),
    _row("mnist", "nsn-plain", _OF_MNIST, COSTS | {"source": {"settings": "eye"}}),
  ]
  first, second = layouts.table2.origins(rows)
  assert first.startswith("Settings of NSN: found by FID")
  assert second == "Settings of NSN, plain: set by eye."


def test_every_preset_says_who_found_its_settings():
  assert origins.FOUND_BY.keys() == set(presets.names())


def test_latex(rows):
  text = layouts.table2.as_latex(rows)
  assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 2
  assert "b\\_1 99\\%" in text and "8.13 $\\pm$ 0.05" in text
  _, _, body, *_ = text.split("\\hline\n")  # The head stands between the first two.
  assert body.count("\\\\") == 3
  assert all(line.count("&") == 15 for line in body.strip().splitlines())


def test_every_row_of_the_paper_has_a_name():
  for found in published.INCEPTION_SCORES.values():
    assert found.keys() <= names.titles().keys()


@pytest.fixture
def few(judge: judging.Judge, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
  """Few digits, a small network and the weak judge."""
  layers = tuple(
    nsn_jax.LayerConfig(
      kernel=kernel,
      stride=stride,
      threshold=-1.0,
      growth_patches=500,
      exchange_steps=0,
      max_passes=1,
      max_filters=12,
    )
    for kernel, stride in ((14, 14), (2, 1))
  )
  monkeypatch.setattr(
    presets, "get", lambda _: nsn_jax.NetworkConfig(layers=layers, exact_decoders=False)
  )
  monkeypatch.setattr(judging, "judge", lambda *_, **__: judge)
  return {"datasets": ["digits"], "limit": 300, "num_samples": 150, "num_epochs": 1}


def _make_table(folder, models, *, datasets, limit, image_size=None, **settings):
  specs = [runs.DataSpec(name, limit=limit, image_size=image_size) for name in datasets]
  return table2.make_table(folder, specs, models, **settings)


def test_a_small_table(few, tmp_path, capsys, monkeypatch):
  spec = runs.DataSpec("digits", limit=300)
  # A baseline that is there is found, with the options that it was trained with.
  baseline_training.train(
    tmp_path / "digits" / "vae",
    runs.BaselineTraining(
      data=spec, model="vae", num_epochs=1, options={"hidden": 40}, score_every=0
    ),
  )
  # Of a run that was killed while it drew.
  left = tmp_path / "digits" / f"real.png.{0:032x}.tmp"
  left.write_bytes(b"half")
  found = _make_table(tmp_path, ["real", "nsn", "vae"], **few)
  assert not left.exists()
  assert json.loads((tmp_path / "table2.json").read_text())["rows"] == found
  rows = {row["model"]: row for row in found}
  assert list(rows) == ["real", "nsn", "vae"]
  held_out = data.load("digits", split="test", limit=300).images
  assert rows["real"]["num_images"] == len(held_out)
  assert rows["nsn"]["num_images"] == rows["vae"]["num_images"] == 150
  assert rows["real"]["training_seconds"] is None and rows["nsn"]["training_seconds"] > 0
  assert rows["vae"]["source"]["options"] == {"hidden": 40}
  assert rows["real"]["fid"] < rows["vae"]["fid"] and rows["nsn"]["source"]["num_filters"]
  for row in found:
    assert row["revision"] and row["device"] and "classifier of digits" in row["network"]
    assert row["paper"] is None  # which has no digits
  assert "digits, NSN: IS" in capsys.readouterr().out
  for name in ("table2.txt", "table2.tex", "digits/nsn.png", "digits/real.png", "digits/vae.png"):
    assert (tmp_path / name).stat().st_size > 0
  # What is there is not made again, what is missing is.
  find = contenders.find
  monkeypatch.setattr(contenders, "find", lambda *_, **__: pytest.fail("drawn again"))
  assert _make_table(tmp_path, ["nsn", "real"], **few) == found
  with pytest.raises(pytest.fail.Exception, match="drawn again"):
    _make_table(tmp_path, ["vae"], **few | {"num_epochs": 2})
  for name, value in (("num_samples", 151), ("limit", 299), ("seed", 1), ("image_size", 14)):
    with pytest.raises(ValueError, match=rf"{name}: expected .* got {value}: give another"):
      _make_table(tmp_path, ["nsn"], **few | {name: value})
  assert json.loads((tmp_path / "table2.json").read_text())["rows"] == found
  # A model that was trained on since is judged anew, and one of other data is no row of these.
  config = tmp_path / "digits" / "nsn" / workdir.CONFIG
  before = files.read_json(config)
  files.write_json(config, before | {"seconds": before["seconds"] + 1})
  with pytest.raises(pytest.fail.Exception, match="drawn again"):
    _make_table(tmp_path, ["nsn"], **few)
  monkeypatch.setattr(contenders, "find", find)
  with pytest.raises(ValueError, match=r"limit: expected 300, as training in .* began, got 200"):
    contenders.find("nsn", tmp_path / "digits" / "nsn", spec.replace(limit=200))
  # A finished training is taken as it is, however many epochs the model's default asks for.
  found = contenders.find("vae", tmp_path / "digits" / "vae", spec)
  assert found.facts["num_epochs"] == 1 == len(runs.read_epochs(tmp_path / "digits" / "vae"))


def test_errors(few, tmp_path):
  with pytest.raises(ValueError, match=r"models: expected some of real, .*, got 'agan'"):
    _make_table(tmp_path, ["agan"], **few)
  np.savez(
    tmp_path / "x.npz",
    images=np.zeros((12, 8, 8, 1), np.uint8),
    test_images=np.zeros((12, 8, 8, 1), np.uint8),
  )
  with pytest.raises(ValueError, match=r"scenes: expected a folder.*has no labels to judge by"):
    _make_table(tmp_path, ["real"], **few | {"datasets": [f"npz:{tmp_path / 'x.npz'}"]})


def test_a_folder_that_another_table_uses_is_left_alone(few, tmp_path):
  with (
    workdir.using(tmp_path),
    pytest.raises(OSError, match=r"workdir: .* in use by process \d+ since"),
  ):
    _make_table(tmp_path, ["real"], **few)
  assert not list(tmp_path.iterdir())


def test_too_few_images_are_told_of_before_anything_is_trained(few, tmp_path, monkeypatch):
  monkeypatch.setattr(judging, "judge", lambda *_, **__: pytest.fail("trained a judge"))
  with pytest.raises(ValueError, match=r"num_samples: expected at least 10, .* got 9"):
    _make_table(tmp_path, ["vae"], **few | {"num_samples": 9})
  with pytest.raises(ValueError, match=r"test images of digits: expected at least 10, .* got 9"):
    _make_table(tmp_path, ["real"], **few | {"limit": 9})
