"""What a result is kept with."""

import importlib.machinery
import sys
import types

import jax

from experiments.common import provenance
from nsn_jax import files


def test_a_result_says_how_it_was_made(tmp_path, monkeypatch):
  monkeypatch.setattr(sys, "argv", ["somewhere/score.py", "--model=a b"])
  main = types.ModuleType("__main__")
  main.__spec__ = importlib.machinery.ModuleSpec("experiments.score", None)
  monkeypatch.setitem(sys.modules, "__main__", main)
  provenance.write_result(tmp_path / "x.json", {"rows": [1]})
  found = files.read_json(tmp_path / "x.json")
  assert found["command"] == "python -m experiments.score '--model=a b'"
  assert found["revision"] and found["device"] and found["versions"]["jax"] == jax.__version__
  assert found["seconds"] > 0 and found["rows"] == [1]
