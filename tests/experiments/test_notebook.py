"""The Colab notebook, top to bottom, on the embedded data."""

import importlib.util
import os
import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "experiments" / "colab.ipynb"

#: In place of the notebook's own: few digits.
SETTINGS = """
DATASET, PRESET, DATA_DIR, LIMIT, NUM_SAMPLES, WORKDIR = "digits", None, None, 400, 300, "runs"
SOURCE = ""
"""


Executed = tuple[nbformat.NotebookNode, pathlib.Path]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
  folder = tmp_path_factory.mktemp("notebook")
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
  assert len(parameters) == 1
  parameters[0].source = SETTINGS
  path = os.environ.get("PYTHONPATH")
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("PYTHONPATH", f"{ROOT}:{path}" if path else str(ROOT))
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": folder}}).execute()
  return notebook, folder


def test_it_draws_every_figure(executed):
  notebook, folder = executed
  shown = [
    output
    for cell in notebook.cells
    if cell.cell_type == "code"
    for output in cell.outputs
    if "image/png" in output.get("data", {})
  ]
  # Real images, growth, 3 layers of filters, nearest, 3 layers of samples, 4 effects, Fig 9a, 9b.
  assert len(shown) == 15
  assert (folder / "runs" / "model.safetensors").is_file()


def test_it_tells_the_filters_and_the_score(executed):
  notebook, _ = executed
  text = "".join(
    output.get("text", "")
    for cell in notebook.cells
    if cell.cell_type == "code"
    for output in cell.outputs
  )
  assert "filters found: (" in text and "samples:     IS " in text and "triples" in text


def test_it_is_committed_without_outputs_and_with_the_settings_that_a_user_sets():
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
  assert all(not cell.outputs and cell.execution_count is None for cell in cells)
  mine, theirs = {}, {}
  exec(SETTINGS, {}, mine)
  exec(cells[0].source, {}, theirs)
  assert mine.keys() == theirs.keys()


def test_opened_alone_it_says_what_it_needs(tmp_path, monkeypatch):
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  first = next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
  text = notebook.cells[first - 1].source
  assert "## Settings" in text and "`SOURCE`" in text and "git address" in text
  settings, install = [cell.source for cell in notebook.cells if cell.cell_type == "code"][:2]
  names = {}
  exec(settings, names)
  assert names["SOURCE"] == ""  # Nobody knows where the repository will be.
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
  message = r"^SOURCE: expected the repository's git address.* set SOURCE = \"https://.* Settings"
  with pytest.raises(FileNotFoundError, match=message):
    exec(install, names)
