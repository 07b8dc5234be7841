"""A folder is one run's at a time, and what killed runs left in it goes."""

import errno
import os
import pathlib
import subprocess
import sys
import time
import uuid

import filelock
import pytest

from experiments.common import workdir
from tests.experiments.helpers import ROOT


def _left(folder: pathlib.Path, age_s: float = 0.0) -> pathlib.Path:
  """What `files.replacing` leaves where it is killed."""
  path = folder / f"config.json.{uuid.uuid4().hex}.tmp"
  path.write_text("{")
  os.utime(path, (time.time() - age_s,) * 2)
  return path


def test_a_folder_is_used_by_one_run(tmp_path):
  place = tmp_path / "new" / "run"
  with workdir.using(place) as folder:
    assert folder == place and folder.is_dir()
    expected = (
      rf"workdir: expected a folder that no other run uses, got '{place}', which is in use by "
      rf"process {os.getpid()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    )
    with pytest.raises(OSError, match=expected), workdir.using(place):
      pytest.fail("used twice")
    # Folders below it are other runs', as those of the models of a table.
    with workdir.using(place / "nsn"):
      pass
    assert workdir._user_of(place / workdir.LOCK).startswith(f"process {os.getpid()} since ")
  assert list(place.iterdir()) == [place / "nsn"] and not list((place / "nsn").iterdir())


def test_an_error_lets_a_folder_go(tmp_path):
  for error in (ValueError, KeyboardInterrupt, SystemExit):
    with pytest.raises(error), workdir.using(tmp_path):
      raise error
    assert not list(tmp_path.iterdir())


_KILLED = """
import os, pathlib, signal, sys
from experiments.common import workdir
with workdir.using(sys.argv[1]) as folder:
  (folder / f"config.json.{'0' * 32}.tmp").write_text("half")
  print("held", flush=True)
  if sys.argv[2] == "waits":
    sys.stdin.read()
  os.kill(os.getpid(), signal.SIGKILL)
"""


def _holder(folder: pathlib.Path, how: str) -> subprocess.Popen[str]:
  return subprocess.Popen(
    [sys.executable, "-c", _KILLED, str(folder), how],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )


def test_another_processs_folder_is_refused_until_that_is_killed(tmp_path):
  with _holder(tmp_path, "waits") as holder:
    assert holder.stdout.readline() == "held\n"
    with (
      pytest.raises(OSError, match=rf"in use by process {holder.pid} since "),
      workdir.using(tmp_path),
    ):
      pytest.fail("used by both")
    # Who is refused takes nothing away.
    assert len(list(tmp_path.iterdir())) == 2
    holder.communicate("", timeout=30)
  assert {path.suffix for path in tmp_path.iterdir()} == {".tmp", ""}
  with workdir.using(tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == [workdir.LOCK]
  assert not list(tmp_path.iterdir())


def test_whose_a_lock_is_that_does_not_say_it(tmp_path):
  path = tmp_path / workdir.LOCK
  for content in ("", "{", "[]", '{"process": 3}'):
    path.write_text(content)
    assert workdir._user_of(path) == "another process"
  path.write_text('{"process": 3, "host": "elsewhere", "began": "yesterday"}')
  assert workdir._user_of(path) == "process 3 on elsewhere since yesterday"
  with workdir.using(tmp_path):  # A lock file alone is no lock.
    pass


def test_a_file_system_without_locks_is_warned_of(tmp_path, warnings, monkeypatch):
  def none(*_, **__):
    raise OSError(errno.ENOSYS, "none here")

  monkeypatch.setattr(filelock.FileLock, "acquire", none)
  with workdir.using(tmp_path) as folder:
    assert folder == tmp_path
  assert len(warnings) == 1 and "has no locks" in warnings[0]

  def broken(*_, **__):
    raise OSError(errno.EIO, "broken")

  monkeypatch.setattr(filelock.FileLock, "acquire", broken)
  with pytest.raises(OSError, match="broken"), workdir.using(tmp_path):
    pytest.fail("not locked")


def test_a_folder_that_others_may_write_to_loses_old_leftovers_only(tmp_path):
  young, old = _left(tmp_path), _left(tmp_path, age_s=7200)
  (tmp_path / "mine.tmp").write_text("no leftover")
  workdir.open_folder(tmp_path)
  assert young.exists() and not old.exists()
  with workdir.using(tmp_path):
    assert not young.exists()
  assert [path.name for path in tmp_path.iterdir()] == ["mine.tmp"]


def test_a_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.chdir(tmp_path)
  assert workdir.open_folder("~/runs") == tmp_path / "runs"
  with workdir.using("~/runs/a") as folder:
    assert folder == tmp_path / "runs" / "a"
  with pytest.raises(
    ValueError, match=r"workdir: expected ~ or ~USER of a user that there is, got"
  ):
    workdir.open_folder("~nosuchuser/runs")
  assert [path.name for path in tmp_path.iterdir()] == ["runs"]
