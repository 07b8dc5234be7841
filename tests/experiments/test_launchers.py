"""All launchers: which there are, what they import, their flags, and where the former ones went."""

import ast
import functools
import importlib
import os
import pathlib
import subprocess
import sys

import pytest

import experiments
from tests.experiments.helpers import ROOT

#: Modules with a command line, below `experiments`.
LAUNCHERS = {
  "quickstart",
  "train",
  "train_baseline",
  "sample",
  "score",
  "tune_sampler",
  "paper.__main__",
  "paper.results_page",
  "paper.table1",
  "paper.table2",
  "paper.tables34",
  "paper.sample_grids",
  "paper.sampler_effects",
  "paper.styling",
  "paper.filling",
  "paper.arithmetic",
  "studies.bounds",
  "studies.classes",
  "studies.codes",
  "studies.densities",
  "studies.epsilon",
  "studies.few_labels",
  "studies.growth_vs_kmeans",
  "studies.known_factors",
  "studies.outliers",
  "studies.preferred",
  "studies.reconstructions",
  "studies.scaling",
  "studies.speed",
  "studies.strokes",
}


def _modules(package: str) -> dict[str, ast.Module]:
  """The parsed modules of a package, by their names."""
  found = {}
  for path in sorted((ROOT / package).rglob("*.py")):
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    found[name] = ast.parse(path.read_text())
  return found


def _imports(tree: ast.Module, known: set[str]) -> set[str]:
  """Those of the known modules that a module imports, wherever it does."""
  found = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:  # A module of a package, or a name of a module.
        module = f"{node.module}.{alias.name}"
        found.add(module if module in known else node.module)
  return found & known


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
  """What each module of `experiments` imports of it; packages' own files hand names on."""
  modules = _modules("experiments")
  known = {name for name in modules if not (ROOT / name.replace(".", "/")).is_dir()}
  layouts = {name for name in known if name.startswith("experiments.paper.layouts.")}
  found = {}
  for name in known:
    imported = _imports(modules[name], known | {"experiments.paper.layouts"})
    if "experiments.paper.layouts" in imported:
      imported |= layouts - {name}
    found[name] = imported & known
  return found


def test_these_are_the_launchers(arrows):
  modules = _modules("experiments")
  found = {
    name.removeprefix("experiments.")
    for name in arrows
    if "__name__ == '__main__'" in ast.unparse(modules[name])
  }
  assert found == LAUNCHERS


def test_no_launcher_is_imported(arrows):
  launchers = {f"experiments.{name}" for name in LAUNCHERS}
  for name, imported in arrows.items():
    assert not imported & launchers, f"{name} imports {imported & launchers}"


def test_the_house_has_four_floors(arrows):
  @functools.cache
  def floor(name: str) -> int:
    below = [floor(other) for other in arrows[name]]
    return 1 + max(below, default=0)

  # A circle would be no floor at all, and recursion without end.
  assert max(map(floor, arrows)) <= 4
  assert all(floor(name) <= 3 for name in arrows if name.startswith("experiments.common"))


def test_the_library_knows_no_launcher():
  for name, tree in _modules("nsn_jax").items():
    text = ast.unparse(tree)
    assert "import experiments" not in text and "from experiments" not in text, name


_DEFINE = """
import importlib, sys
from absl import flags
for name in sys.stdin.read().split():
  module = importlib.import_module(f"experiments.{name}")
  if hasattr(module, "_define_flags"):
    before = set(flags.FLAGS)
    module._define_flags()
    for flag in set(flags.FLAGS) - before:
      delattr(flags.FLAGS, flag)
    print(name)
"""


def test_every_launcher_defines_each_flag_once():
  done = subprocess.run(
    [sys.executable, "-c", _DEFINE],
    cwd=ROOT,
    input=" ".join(LAUNCHERS),
    capture_output=True,
    text=True,
    check=True,
  )
  assert set(done.stdout.split()) == LAUNCHERS - {"quickstart"}  # which has one flag, defined below


@pytest.mark.parametrize("name", sorted(experiments._MOVED))
def test_a_former_name_names_its_successor(name):
  successor = experiments._MOVED[name]
  assert successor in LAUNCHERS
  with pytest.raises(ImportError, match=rf"^experiments\.{name} is now experiments\.{successor}, "):
    importlib.import_module(f"experiments.{name}")


def test_a_former_command_is_one_line():
  done = subprocess.run(
    [sys.executable, "-m", "experiments.train_gan", "--model=dcgan"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert "experiments.train_gan is now experiments.train_baseline" in done.stderr


_HIDING = """
import importlib.util
whole = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "skimage" else whole(name, *rest)
"""


def test_what_is_missing_is_one_line(tmp_path: pathlib.Path):
  # An interpreter that does not find one of the packages.
  (tmp_path / "sitecustomize.py").write_text(_HIDING)
  done = subprocess.run(
    [sys.executable, "-m", "experiments.train"],
    cwd=ROOT,
    env=os.environ | {"PYTHONPATH": str(tmp_path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert "experiments needs skimage: pip install 'nsn_jax[experiments]'" in done.stderr
