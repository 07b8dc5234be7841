"""The Colab notebook, top to bottom, on the embedded data."""

import importlib.machinery
import importlib.metadata
import importlib.util
import pathlib
import re
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests import haste

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "experiments" / "colab.ipynb"

#: In place of the notebook's own: few digits.
SETTINGS = """
DATASET, PRESET, DATA_DIR, LIMIT, NUM_SAMPLES, WORKDIR = "digits", None, None, 200, 100, "runs"
SOURCE = ""
"""

#: After the notebook's imports: the preset's three layers with few filters, and a judge that has
#: hardly learned. What they come to is tested elsewhere; here all cells are to fit together.
SMALL = """
import dataclasses

judging._RECIPES["digits"] |= {"num_epochs": 1}
_preset = nsn_jax.presets.get("digits")
_few = {"growth_patches": 500, "exchange_steps": 1, "max_passes": 1, "max_filters": 12}
_layers = tuple(dataclasses.replace(layer, min_patches=2, **_few) for layer in _preset.layers)
_preset = dataclasses.replace(_preset, layers=_layers, exact_decoders=False)
nsn_jax.presets.get = lambda _: _preset
"""

Executed = tuple[nbformat.NotebookNode, pathlib.Path]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
  folder = tmp_path_factory.mktemp("notebook")
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
  assert len(parameters) == 1
  parameters[0].source = SETTINGS
  (imports,) = (index for index, cell in enumerate(notebook.cells) if "import jax\n" in cell.source)
  notebook.cells.insert(imports + 1, nbformat.v4.new_code_cell(SMALL))
  # It trains a judge and reads much with it.
  with haste.compiled(in_haste=True, for_long=True), pytest.MonkeyPatch.context() as patch:
    patch.setenv("SOURCE", str(ROOT))
    patch.setenv("NSN_JAX_CACHE", str(folder / "cache"))  # Nobody else is to find that judge.
    patch.delenv("PYTHONPATH", raising=False)
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


# Where it finds the repository


@pytest.fixture
def install(tmp_path, monkeypatch):
  """Runs the cell that finds and installs, in a folder, with a SOURCE; returns what it names."""
  monkeypatch.delenv("SOURCE", raising=False)
  monkeypatch.setattr(sys, "path", list(sys.path))
  monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
  cells = nbformat.read(NOTEBOOK, as_version=4).cells
  settings, install = [cell.source for cell in cells if cell.cell_type == "code"][:2]

  def run(folder=tmp_path, source=""):
    names = {}
    exec(settings, names)
    assert names["SOURCE"] == ""  # Nobody knows where the repository will be.
    monkeypatch.chdir(folder)
    exec(install, names | {"SOURCE": source} if source else names)
    return sys.path[0]

  return run


def _clone(folder):
  """As much of the repository as it is known by."""
  (folder / "experiments").mkdir(parents=True)
  (folder / "pyproject.toml").write_text('[project]\nname = "nsn_jax"\n')
  return folder


def _git(folder, *arguments):
  identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
  subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("below", [".", "experiments", "experiments/results/mnist"])
def test_inside_a_clone_it_needs_nothing(below, install, monkeypatch):
  assert install(ROOT / below) == str(ROOT)
  # Nor does what is set for something else matter.
  monkeypatch.setenv("SOURCE", "elsewhere")
  assert install(ROOT / below) == str(ROOT)


def test_a_folder_of_a_clone_is_taken_by_the_cell_or_the_environment(
  install, tmp_path, monkeypatch
):
  place = _clone(tmp_path / "a clone")
  assert install(source=str(place)) == str(place)
  assert install(source=str(place / "experiments")) == str(place)
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.setenv("SOURCE", "~/a clone")
  assert install() == str(place)
  assert install(source=str(ROOT)) == str(ROOT)  # The cell's own line comes first.


def test_what_can_be_imported_needs_no_source(install, tmp_path, monkeypatch):
  found = importlib.machinery.ModuleSpec("experiments", None, origin=str(ROOT / "experiments/x.py"))
  monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
  assert install() == str(ROOT)
  place = _clone(tmp_path / "clone")
  assert install(source=str(place)) == str(place)


def test_an_address_is_cloned_once(install, tmp_path, monkeypatch):
  place, here = _clone(tmp_path / "repository"), tmp_path / "here"
  here.mkdir()
  (place / "experiments" / "x.py").touch()
  for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
    _git(place, *arguments)
  for _ in range(2):  # And is there where all is run again.
    assert install(here, f"file://{place}") == str(here / "nsn_jax_clone")
  assert (here / "nsn_jax_clone" / "experiments" / "x.py").is_file()


def test_opened_alone_it_says_what_it_needs(install, tmp_path):
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  first = next(index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")
  text = notebook.cells[first - 1].source
  assert "## Settings" in text and "`SOURCE`" in text and "git address" in text
  # What is a project, or of a name like ours, is no clone.
  (tmp_path / "pyproject.toml").write_bytes(b'\xff[project]\nname = "another"\n')
  (tmp_path / "experiments").mkdir()
  (tmp_path / "folder").mkdir()
  for source, got in (
    ("", "none"),
    (str(tmp_path / "folder"), r"'.*folder', and .*folder is no clone of it"),
    ("file:///nowhere/x.git", r"'file:///nowhere/x.git' \(.*does not"),
    ("no/folder", r"'no/folder' \(.*no/folder"),
  ):
    with pytest.raises(FileNotFoundError) as error:
      install(source=source)
    message = str(error.value)
    assert "\n" not in message
    assert re.search(
      rf"^SOURCE: expected the repository's git address, .* got {got}.*: "
      r"set SOURCE = \"https://.*\.git\" under Settings and run all again$",
      message,
    )
  assert not (tmp_path / "nsn_jax_clone").exists()


def test_what_it_needs_is_installed_where_it_is_not(install, tmp_path, monkeypatch):
  place = _clone(tmp_path / "clone")
  # As another environment's installation leaves it: no word of this one's packages.
  (place / "nsn_jax.egg-info").mkdir()
  (place / "nsn_jax.egg-info" / "PKG-INFO").write_text("Name: nsn_jax\nVersion: 0\n")
  commands = []
  monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
  install(source=str(place))  # These tests' own environment has it.
  assert commands == []
  monkeypatch.setattr(sys, "path", [str(place), ""])
  assert list(importlib.metadata.distributions(name="nsn_jax", path=sys.path))
  install(place)
  ((*pip, jax, editable, what),) = commands
  assert pip == [sys.executable, "-m", "pip", "install", "-q"] and jax.startswith("jax")
  assert [editable, what] == ["-e", f"{place}[experiments]"]
