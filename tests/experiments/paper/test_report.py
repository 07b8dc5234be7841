"""The report: one page, nothing fetched, with what is there and how it was made."""

import html
import html.parser
import json
import re

import pytest
from PIL import Image

from experiments.common import network_training, runs, workdir
from experiments.paper import report, stages
from nsn_jax import files


def _planned(folder, datasets, **options):
  options = {"data_dir": None, "limit": None, "num_samples": 1000, **options}
  return list(stages.plan(folder, datasets, **options))


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


@pytest.mark.usefixtures("small")
def test_paper_runs_what_is_missing_and_reports(tmp_path, capfd):
  planned = _planned(tmp_path, ["digits"], limit=60)
  # In this process, so that the small network takes part.
  place = tmp_path / "digits" / "digits"
  training = runs.NetworkTraining.of_preset("digits", runs.DataSpec("digits", limit=60))
  network_training.train(place, training, num_samples=4)
  wanted = [stage for stage in planned if stage.kind in ("arithmetic", "styling", "tables34")]
  kinds = {stage.kind for stage in planned}
  assert [stages.run(stage, tmp_path) for stage in wanted] == [True] * 3
  assert [stages.run(stage, tmp_path) for stage in wanted] == [False] * 3
  with Image.open(tmp_path / "digits" / "styling.png") as picture:
    # A held-out digit and three draws of it, side by side at the size asked for.
    assert picture.width > 4 * stages._STYLED_SIZE > picture.height > stages._STYLED_SIZE
  changed = wanted[1]._replace(arguments=(*wanted[1].arguments, "--num_styled=1"))
  assert stages.run(changed, tmp_path)
  with Image.open(tmp_path / "digits" / "styling.png") as picture:
    assert picture.width < 3 * stages._STYLED_SIZE
  facts = files.read_json(tmp_path / "done" / "digits.styling.json")
  assert facts["seconds"] > 0 and "--num_styled=1" in facts["command"] and facts["revision"]
  found = stages.records(tmp_path, kinds)
  assert [record["kind"] for record in found] == ["arithmetic", "styling", "tables34"]
  assert found[1] == facts
  # What a former version left under another name is no stage of this one.
  files.write_json(tmp_path / "done" / "digits.samples.json", facts | {"kind": "samples"})
  assert len(stages.records(tmp_path, kinds)) == 3
  # A network that was trained anew is shown anew.
  config = place / workdir.CONFIG
  before = files.read_json(config)
  files.write_json(config, before | {"seconds": before["seconds"] + 1})
  tables = wanted[2]
  assert stages.run(tables, tmp_path) and not stages.run(tables, tmp_path)
  failing = wanted[0]._replace(arguments=("--model=none",))
  with pytest.raises(OSError, match="arithmetic ended with exit code 1"):
    stages.run(failing, tmp_path)
  assert "error:" in capfd.readouterr().err
  page = report.write(tmp_path, [("digits", "digits", "digits")]).read_text()
  found = _Page()
  found.feed(page)
  assert found.headings == 10 and not found.open
  # samples.png, styling.png, 9a and 9b, all embedded: nothing is fetched.
  assert len(found.pictures) == 4 and all(p.startswith("data:image/png") for p in found.pictures)
  assert not re.search(r'(src|href)="(?!data:|#|https://arxiv.org)', page)
  assert "python -m experiments.paper.arithmetic" in page and "Not made yet" in page
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


def _results(folder):
  """What the launchers of a data set left, made up; pictures of three pixels."""
  own = folder / "shoes" / "digits"
  own.mkdir(parents=True)
  files.write_json(own / workdir.CONFIG, {"seconds": 1.0})
  score = {
    "inception_score": 7.0,
    "deviation": 0.1,
    "confidence": 0.9,
    "class_shares": [0.4, 0.6],
    "mean_pixel_ratio": 1.0,
    "white_excess": 0.0,
  }
  found = {"num_samples": 100, "judge_accuracy": 0.9, "real": score, "samples": score}
  files.write_json(own / "model.score.json", found)
  for name in ("epsilon/epsilon", "filling/filling_disc", "sample_grids/nearest", "digits/samples"):
    path = folder / "shoes" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    Image.new("L", (3, 3)).save(path)
  rows = [
    {"epsilon": epsilon, "score": score | {"inception_score": value}, "sampler": {"beta": 1.0}}
    for epsilon, value in ((None, 6.0), (0.5, 7.25))
  ]
  files.write_json(folder / "shoes" / "epsilon" / "epsilon.json", {"rows": rows})
  rows = [
    {"mask": "disc", "method": method, "psnr": psnr, "ssim": 0.5}
    for method, psnr in (("NSN", 10.0), ("biharmonic", 12.5))
  ]
  files.write_json(folder / "shoes" / "filling" / "filling.json", {"rows": rows})
  copies = {"distance": {"generated": 3.0, "held_out": 4.0, "ratio": 0.75, "suspected": 0.125}}
  files.write_json(folder / "shoes" / "sample_grids" / "sample_grids.json", {"copies": copies})


def test_what_the_report_says_of_a_run_is_of_that_run(tmp_path):
  _results(tmp_path)
  page = report.write(tmp_path, [("shoes", "folder:shoes", "digits")]).read_text()
  text = html.unescape(re.sub(r"\s+", " ", page))
  assert "epsilon 0.5 (7.25), then none, plain (6.00); neighbours differ by 1.25 at most" in text
  assert "Highest PSNR: biharmonic, behind disc. NSN's better filling is short of that" in text
  assert "Highest inception score: digits's, 7.00; real images have 7.00." in text
  assert "12.5% of the samples are nearer than 99% of the held-out images are" in text
  # Nothing of other data, nor what an eye once saw in them.
  for word in ("faces", "recognisable", "strokes", "blur", "buildings are", "digits the nearest"):
    assert word not in text.lower().replace("occluded faces and digits filled", "")
