"""A short run over all readers; and a reader that does what none may, each of which is found."""

import re
import subprocess
import sys

import numpy as np
import pytest

from tests.experiments.helpers import ROOT
from tests.fuzz import limits, mutations
from tests.fuzz.readers import READERS


def _run(*arguments):
  done = subprocess.run(
    [sys.executable, "-m", "tests.fuzz", *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_no_reader_is_broken_by_a_few_files():
  code, printed = _run("--cases=198")
  assert code == 0, printed
  assert re.search(r"^198 cases \(.*\) in \d+ s: 0 faults$", printed, re.MULTILINE)
  for name in READERS:
    assert name in ("faulty", "lmdb") or re.search(rf"\b1[6-9] {name}\b", printed)


@pytest.mark.skipif(not limits.IS_KNOWN, reason="needs to know the memory taken")
def test_every_fault_is_found_and_the_run_goes_on():
  # Long enough for a gigabyte to be taken where other tests run beside this one.
  code, printed = _run("--readers=faulty", "--cases=8", "--seconds=3")
  assert code == 1 and "8 cases (8 faulty)" in printed and "8 faults" in printed
  faults = dict(re.findall(r"^FAULT: reader faulty, case (\d): (.*)$", printed, re.MULTILINE))
  for number, what in enumerate(
    [
      "it was broken off",
      "the process was ended: it took too long",
      r"\d{4} MB",
      "it asked for more memory than there is: too large",
      "more than one line: two lines",
      "AssertionError: another result",
      "KeyError: 'another error'",
      "the process died by SIGSEGV",
    ]
  ):
    assert re.search(what, faults[str(number)]), (what, faults[str(number)])


def test_a_case_is_its_numbers():
  seeds = [bytes(range(256)) * 4, b'{"a": 12, "b": [3.5]}', b""]
  for seed in seeds:
    first, second = (
      [mutations.mutate(np.random.default_rng([1, case]), seed, seeds) for case in range(300)]
      for _ in range(2)
    )
    assert first == second
    assert len(set(first)) > (200 if seed else 20)
    assert max(map(len, first)) < 2**23
