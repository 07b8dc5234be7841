"""The pages of the results: up to date, every file linked, and what is stale or loose is told."""

import json
import re
import shutil

import pytest

from experiments.paper import layouts, results_page
from nsn_jax import baselines
from tests.experiments.helpers import ROOT


@pytest.fixture
def clone(tmp_path):
  """README and results, to be changed."""
  shutil.copytree(ROOT / "experiments" / "results", tmp_path / "experiments" / "results")
  for name in ("README.md", "experiments/README.md"):
    shutil.copy(ROOT / name, tmp_path / name)
  return tmp_path


def test_the_pages_are_up_to_date():
  assert results_page.write(check=True) == []


def test_every_link_of_every_page_leads_to_a_file():
  for page in ("README.md", "BUILD.md", "experiments/README.md", "experiments/results/README.md"):
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
      assert "://" in link or (path.parent / link).exists(), f"{page}: {link}"


def test_the_readme_is_short():
  assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_a_changed_number_makes_pages_stale_and_writing_mends_them(clone):
  path = clone / "experiments" / "results" / "tables" / "table2.json"
  table = json.loads(path.read_text())
  # The opponent that the README shows, whichever it is now.
  _, _, block = layouts.table2.main_judges(table["rows"])[0]
  opponents = [row for row in block if row["model"] in baselines.MODELS]
  row = min(opponents, key=lambda row: row["fid"])
  row["inception_score"] = 7.654
  path.write_text(json.dumps(table))
  before = (clone / "README.md").read_text()
  stale = results_page.write(clone, check=True)
  assert {path.relative_to(clone).as_posix() for path in stale} == {
    "README.md",
    "experiments/results/README.md",
  }
  assert (clone / "README.md").read_text() == before  # a check writes nothing
  assert results_page.write(clone) == stale and results_page.write(clone) == []
  assert "7.65" in (clone / "README.md").read_text()
  assert "7.65 +- " in (clone / "experiments" / "results" / "README.md").read_text()


def test_outlier_scores_are_shown_where_they_are_there(clone):
  row = {
    "density": "NSN",
    "of": "the last layer's map",
    "held_out": 2.5,
    "auroc": {"clothes": 0.99},
  }
  found = {
    "dataset": "mnist",
    "num_images": 2000,
    "rows": [row],
    "revision": "abc",
    "device": "CPU",
  }
  (clone / "experiments" / "results" / "mnist" / "outliers.json").write_text(json.dumps(found))
  results_page.write(clone)
  pages = [
    (clone / "experiments" / name).read_text() for name in ("results/README.md", "README.md")
  ]
  assert re.search(r"\| NSN +\| the last layer's map +\| +\+2\.500 \| +0\.990 \|", pages[0])
  assert "AUROC of clothes: NSN 0.990" in pages[1]


def test_bounds_are_shown_where_they_are_there(clone):
  rows = [
    {"from": name, "fid": fid, "precision": 0.9, "recall": 0.8}
    for name, fid in (("real images", 0.5), ("these as layer 2 keeps them", 3.25), ("samples", 4.0))
  ]
  found = {
    "dataset": "mnist",
    "num_images": 5000,
    "found_by": "a classifier",
    "rows": rows,
    "revision": "abc",
    "device": "CPU",
  }
  path = clone / "experiments" / "results" / "mnist" / "mnist-best.bounds.json"
  path.write_text(json.dumps(found))
  results_page.write(clone)
  pages = [
    (clone / "experiments" / name).read_text() for name in ("results/README.md", "README.md")
  ]
  assert re.search(r"\| these as layer 2 keeps them +\| +3\.25 \| +0\.900 \|", pages[0])
  assert "real 0.5, as the last layer keeps them 3.2, samples 4.0" in pages[1]


def test_a_file_that_nothing_links_to_is_told(clone):
  shutil.copy(
    clone / "experiments" / "results" / "mnist" / "growth.png",
    clone / "experiments" / "results" / "mnist" / "loose.png",
  )
  with pytest.raises(ValueError, match=r"got mnist/loose\.png that are not: give each a caption"):
    results_page.write(clone)


def test_missing_words_and_marks_are_told(clone):
  readme = clone / "README.md"
  text = readme.read_text()
  readme.write_text(text.replace("<!-- /headline -->", ""))
  with pytest.raises(ValueError, match=r"README\.md: expected the marks"):
    results_page.write(clone)
  readme.write_text(text)
  words = clone / "experiments" / "results" / "words.json"
  less = json.loads(words.read_text())
  del less["datasets"]["lfw"]
  words.write_text(json.dumps(less))
  with pytest.raises(ValueError, match=r"results: expected a title of 'lfw' in words\.json"):
    results_page.write(clone)
  words.unlink()
  with pytest.raises(ValueError, match=r"results: expected words\.json in"):
    results_page.write(clone)


def test_a_missing_table_is_told(clone):
  (clone / "experiments" / "results" / "tables" / "table1.json").unlink()
  with pytest.raises(
    ValueError, match=r"results: expected 'rows' in tables/table1\.json, got none"
  ):
    results_page.write(clone)


def test_a_table_without_an_opponent_has_no_headline(clone):
  path = clone / "experiments" / "results" / "tables" / "table2.json"
  table = json.loads(path.read_text())
  table["rows"] = [row for row in table["rows"] if row["model"] in ("real", "nsn")]
  path.write_text(json.dumps(table))
  results_page.write(clone)
  headline = (clone / "README.md").read_text().partition("<!-- headline")[2]
  assert "MNIST" not in headline.partition("<!-- /headline")[0]
