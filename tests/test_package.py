"""The package's promises: what is public, what the core needs, one version, types."""

import ast
import importlib
import importlib.metadata
import itertools
import sys
import tomllib

import pytest

import nsn_jax
from tests.experiments.helpers import ROOT

MODULES = sorted(
  ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  for package in ("nsn_jax", "experiments")
  for path in (ROOT / package).rglob("*.py")
)
#: Documented in the package's own docstring as public.
PUBLIC = (
  "presets",
  "applications",
  "density",
  "data",
  "metrics",
  "metrics.evaluation",
  "baselines",
  "preferred",
  "from_factors",
)


def _tree(name: str) -> ast.Module:
  place = ROOT / name.replace(".", "/")
  return ast.parse(
    (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text()
  )


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_public(name):
  tree = _tree(name)
  assert ast.get_docstring(tree), "no docstring"
  listed = None
  defined = set()
  for node in tree.body:
    targets = []
    if isinstance(node, ast.Assign):
      # Also of several at once, as `A, B = 1, 2`.
      targets = [
        name.id
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
      ]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
      targets = [node.target.id]
    if "__all__" in targets:
      listed = ast.literal_eval(node.value)
    defined |= set(targets)
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      defined.add(node.name)
    elif isinstance(node, ast.Import | ast.ImportFrom):
      defined |= {alias.asname or alias.name for alias in node.names}
  assert listed is not None, "no __all__"
  assert len(listed) == len(set(listed)) and set(listed) <= defined
  # What a module defines and does not list is marked private.
  own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
  assert {name for name in own if not name.startswith("_")} <= set(listed)


def test_the_docstring_names_the_public_modules():
  for name in PUBLIC:
    assert f"`nsn_jax.{name}`" in nsn_jax.__doc__
    importlib.import_module(f"nsn_jax.{name}")
  for name in ("Eq 1", "mu_j", "v_j", "tau", "h_j", "gamma"):
    assert name in nsn_jax.__doc__


def test_the_core_loads_nothing_that_is_optional(run_python):
  script = """
import sys
import nsn_jax, nsn_jax.applications, nsn_jax.density, nsn_jax.presets
optional = ("absl", "flax", "optax", "orbax", "sklearn", "PIL", "matplotlib", "jinja2", "pooch",
            "skimage", "tabulate", "tensorflow_datasets", "tqdm")
print(sorted({name.partition(".")[0] for name in sys.modules} & set(optional)))
"""
  assert run_python(script).strip() == "[]"


@pytest.mark.parametrize(
  ("package", "extra"),
  [
    ("data", "data"),
    ("metrics", "metrics"),
    ("baselines", "baselines"),
    ("preferred", "metrics,baselines"),
    ("from_factors", "data,baselines"),
  ],
)
def test_a_missing_extra_is_named(package, extra, run_python):
  script = f"""
import importlib.util
whole = importlib.util.find_spec
hidden = ("PIL", "sklearn", "orbax")
importlib.util.find_spec = lambda name, *rest: None if name in hidden else whole(name, *rest)
try:
  import nsn_jax.{package}
except ImportError as error:
  print(error)
"""
  found = run_python(script).strip()
  assert found.startswith(f"nsn_jax.{package} needs ")
  assert found.endswith(f": pip install 'nsn_jax[{extra}]'")


def test_there_is_one_version_and_every_extra_is_a_part_of_all():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  assert "version" in project["dynamic"] and "version" not in project
  assert importlib.metadata.version("nsn_jax") == nsn_jax.__version__
  core = {requirement.partition(">")[0] for requirement in project["dependencies"]}
  assert core == {"jax", "jaxlib", "numpy", "safetensors", "threadpoolctl"}
  extras = project["optional-dependencies"]
  assert {"data", "metrics", "baselines", "experiments", "all"} <= extras.keys()
  assert "nsn_jax[data,metrics,baselines]" in extras["experiments"]
  assert any("experiments" in requirement for requirement in extras["all"])
  assert (ROOT / "nsn_jax" / "py.typed").is_file()


def test_every_import_is_declared():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  extras = itertools.chain(*project["optional-dependencies"].values())
  declared = [*project["dependencies"], *extras]
  modules = {
    "absl-py": "absl",
    "faiss-cpu": "faiss",
    "orbax-checkpoint": "orbax",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "tensorflow-datasets": "tensorflow_datasets",
  }
  names = [
    requirement.split(" ")[0].partition(">")[0].partition("[")[0] for requirement in declared
  ]
  known = {modules.get(name, name) for name in names} | {"nsn_jax", "experiments"}
  for name in MODULES:
    for node in ast.walk(_tree(name)):
      imported = []
      if isinstance(node, ast.Import):
        imported = [alias.name for alias in node.names]
      elif isinstance(node, ast.ImportFrom) and node.module:
        imported = [node.module]
      for module in imported:
        top = module.partition(".")[0]
        assert top in known or top in sys.stdlib_module_names, f"{name} imports {module}"
