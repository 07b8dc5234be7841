"""Signals: told of as Ctrl-C is, and children that end with the process that started them."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from experiments.common import signals
from tests.experiments.helpers import FROM_A_TERMINAL, ROOT


@pytest.fixture(autouse=True)
def _nothing_received(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(signals, "_received", signal.SIGINT)


def _child(code: str) -> list[str]:
  return [sys.executable, "-c", f"import os, signal, sys\n{code}"]


def test_a_childs_exit_code_is_as_a_shell_counts_it():
  assert signals.run(_child("")) == 0
  assert signals.run(_child("sys.exit(7)")) == 7
  assert signals.run(_child("os.kill(os.getpid(), signal.SIGKILL)")) == 128 + signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("end", ["sys.exit(128 + {0})", "os.kill(os.getpid(), {0})"])
def test_an_interrupted_child_interrupts(number, end):
  # Told of by its own line, or ended by the signal itself as early as Python starts. A background
  # job of a shell, as tests may be, ignores Ctrl-C.
  restored = f"signal.signal({int(number)}, signal.SIG_DFL)\n"
  with pytest.raises(KeyboardInterrupt):
    signals.run(_child(restored + end.format(int(number))))
  assert signals.exit_code() == 128 + number


_PARENT = f"""{FROM_A_TERMINAL}
import sys
from experiments.common import signals
signals.handle()
print("parent", flush=True)
try:
  signals.run([sys.executable, "-c", {{child!r}}])
except KeyboardInterrupt:
  print("interrupted", flush=True)
  sys.exit(signals.exit_code())
"""
_CHILD = """
import time
from experiments.common import signals
try:
  signals.handle()
  print("child", flush=True)
  time.sleep(60)
except KeyboardInterrupt:
  print("child ends", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number, monkeypatch):
  if number == signal.SIGKILL and sys.platform != "linux":
    pytest.skip("no system but Linux tells a child of it")
  with subprocess.Popen(
    [sys.executable, "-c", _PARENT.format(child=_CHILD)],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    text=True,
    start_new_session=True,
  ) as parent:
    assert parent.stdout.readline() == "parent\n" and parent.stdout.readline() == "child\n"
    if number == signal.SIGINT:  # A terminal sends it to both.
      os.killpg(parent.pid, number)
    else:
      parent.send_signal(number)
    # This returns when both have closed it.
    said, _ = parent.communicate(timeout=30)
  assert said.splitlines()[0] == "child ends"
  if number == signal.SIGKILL:
    assert parent.returncode == -number
  else:
    assert said.splitlines()[1:] == ["interrupted"] and parent.returncode == 128 + number


def test_a_child_that_does_not_end_is_ended(monkeypatch):
  monkeypatch.setattr(signals, "_PATIENCE_S", 0.2)
  stubborn = _child(
    "import time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('on', flush=True)\n"
    "time.sleep(60)"
  )
  with subprocess.Popen(stubborn, stdout=subprocess.PIPE) as child:
    assert child.stdout.readline() == b"on\n"
    signals._end(child)
  assert child.returncode == -signal.SIGKILL


_SLOW_JAX = """
import importlib.abc, sys, time
class Slow(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path, target=None):
    if name == "jax":
      print("importing", flush=True)
      time.sleep(60)
sys.meta_path.insert(0, Slow())
"""
#: Python gives a process its own Ctrl-C where it is not ignored.
_START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def _start_slowly(folder: pathlib.Path, *arguments: str) -> subprocess.Popen[str]:
  (folder / "sitecustomize.py").write_text(_SLOW_JAX)
  return subprocess.Popen(
    [sys.executable, "-c", _START, *arguments],
    cwd=ROOT,
    env=os.environ | {"PYTHONPATH": str(folder)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_ctrl_c_while_jax_is_imported_is_one_line(tmp_path):
  with _start_slowly(tmp_path, "-m", "experiments.train", "--dataset=digits") as process:
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
  assert process.returncode == 130 and err == "interrupted\n"


def test_a_notebook_or_test_that_imports_experiments_keeps_its_handlers(tmp_path):
  code = """
import signal
before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
import experiments.common.command_line
after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
print(before == after)
"""
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == "True"


def test_what_a_process_was_started_to_ignore_it_goes_on_ignoring():
  code = """
import signal
for number in (signal.SIGINT, signal.SIGHUP):
  signal.signal(number, signal.SIG_IGN)
from experiments.common import signals
signals.handle()
for number in (signal.SIGINT, signal.SIGHUP):
  assert signal.getsignal(number) is signal.SIG_IGN
assert signal.getsignal(signal.SIGTERM) is signals._interrupt
"""
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


_LOST = f"""{FROM_A_TERMINAL}
import gc, os, sys, time
from experiments.common import signals
signals.handle()
number = int(sys.argv[1])

def interrupted(phase, _):
  if phase == "start":
    gc.callbacks.remove(interrupted)
    os.kill(os.getpid(), number)
    for _ in range(1000):  # So that the interrupt is raised here.
      pass

gc.callbacks.append(interrupted)
try:
  gc.collect()
  os.write(1, b"lost\\n")  # All at once: the interrupt may come before a line's end.
  time.sleep(60)
except KeyboardInterrupt:
  print("interrupted", signals.exit_code())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_that_python_drops_comes_again(number):
  done = subprocess.run(
    [sys.executable, "-c", _LOST, str(int(number))],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
    timeout=20,
  )
  assert done.stdout.splitlines() == ["lost", f"interrupted {128 + number}"] and not done.stderr
