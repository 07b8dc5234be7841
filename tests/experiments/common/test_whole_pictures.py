"""Pictures are whole or as they were, whoever draws them and whenever that is broken off."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

import nsn_jax
from experiments.common import pictures, plots, workdir
from tests.experiments import helpers

_IMAGES = np.zeros((2, 4, 4, 1), np.uint8)
_RECORD = nsn_jax.Record("growth", 0, 3, 0.5, -1.0, 10, 0.1)
_SCORES = {"inception_score": 2.0, "fid": 9.0, "precision": 0.5, "recall": 0.2}

#: Everything that draws a picture, from its path.
WRITERS = {
  "grid": lambda path: pictures.grid(_IMAGES, path),
  "growth_curve": lambda path: plots.growth_curve([[_RECORD, _RECORD]], path),
  "histograms": lambda path: plots.histograms(_IMAGES, _IMAGES, path),
  "lines": lambda path: plots.lines([("a", (1, 2), (0.5, 1.0))], "score", path),
  "score_curve": lambda path: plots.score_curve(
    [{"epoch": epoch, "scores": _SCORES} for epoch in range(2)], path
  ),
}


@pytest.fixture(params=WRITERS)
def write(request):
  return WRITERS[request.param]


def test_all_that_draw_are_here():
  drawing = {name for name in plots.__all__ if name[0].islower()} | {"grid"}
  assert drawing == WRITERS.keys()
  # And nobody draws past them.
  folder = helpers.ROOT / "experiments"
  for path in folder.rglob("*.py"):
    if "savefig(" in (text := path.read_text()) or "picture.save(" in text:
      assert path.name in ("pictures.py", "plots.py"), path


def _content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_picture_takes_the_place_of_the_one_before(write, kind, tmp_path):
  path = tmp_path / "x.png"
  path.write_bytes(b"old")
  write(kind(path))
  assert [found.name for found in tmp_path.iterdir()] == ["x.png"]
  assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
  assert min(helpers.picture_size(path)) > 100


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_a_picture_that_is_broken_off_leaves_the_one_before(write, error, tmp_path, monkeypatch):
  path = tmp_path / "x.png"
  path.write_bytes(b"old")

  def broken(*_):
    assert _content(tmp_path)["x.png"] == b"old"
    raise error

  monkeypatch.setattr(pathlib.Path, "replace", broken)
  with pytest.raises(type(error)):
    write(path)
  assert _content(tmp_path) == {"x.png": b"old"}


def test_what_a_killed_one_leaves_is_removed(tmp_path):
  script = """
import os, pathlib, signal, sys
from tests.experiments.common.test_whole_pictures import WRITERS
pathlib.Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
for name in WRITERS:
  if not os.fork():
    WRITERS[name](pathlib.Path(sys.argv[1]) / f"{name}.png")
  os.wait()
"""
  done = subprocess.run(
    [sys.executable, "-c", script, str(tmp_path)], cwd=helpers.ROOT, timeout=120
  )
  left = sorted(path.name for path in tmp_path.iterdir())
  assert done.returncode == 0 and len(left) == len(WRITERS)
  assert all(name.endswith(".tmp") for name in left)
  with workdir.using(tmp_path):
    pass
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x", "x.nothing", "x.psd", "png"])
def test_a_name_of_no_picture_is_told(name, tmp_path):
  with pytest.raises(ValueError, match=r"^path: expected a picture's name, as x\.png, got '.*'$"):
    pictures.grid(_IMAGES, tmp_path / name)
  assert not list(tmp_path.iterdir())


def test_other_kinds_of_picture_are_written(tmp_path):
  for name in ("x.jpg", "x.PNG", "x.webp"):
    pictures.grid(_IMAGES, tmp_path / name)
    assert helpers.picture_size(tmp_path / name)[0] > 100
