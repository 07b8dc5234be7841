"""Runs cases in a process of their own, and in a new one where it dies; lists what went wrong."""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import tests.fuzz
from tests.fuzz import cases, limits
from tests.fuzz.readers import READERS

_ROOT = pathlib.Path(tests.fuzz.__file__).resolve().parents[2]


class _Fault(NamedTuple):
  reader: str
  number: int
  what: str


def _arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog="tests.fuzz",
    description=tests.fuzz.__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--cases", type=int, default=2000, help="how many")
  parser.add_argument("--first", type=int, default=0, help="number of the first")
  parser.add_argument(
    "--readers",
    default=",".join(name for name in READERS if name != "faulty"),
    help="names with commas between",
  )
  parser.add_argument("--seconds", type=float, default=limits.SECONDS, help="a case at most")
  parser.add_argument("--only", type=int, help="the number of a single case, run here")
  parser.add_argument("--keep", type=pathlib.Path, help="where that case's file is written")
  parser.add_argument("--worker", type=pathlib.Path, help=argparse.SUPPRESS)
  given = parser.parse_args()
  given.readers = given.readers.split(",")
  for name in given.readers:
    if name not in READERS:
      parser.error(f"expected readers among {', '.join(READERS)}, got {name!r}")
  return given


def _rows(
  names: Sequence[str], first: int, end: int, seconds: float
) -> tuple[list[dict[str, Any]], int]:
  """What a worker printed, and the code that it ended with."""
  with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
    command = [sys.executable, "-m", "tests.fuzz", f"--worker={folder}"]
    command += [f"--readers={','.join(names)}", f"--first={first}", f"--cases={end - first}"]
    command += [f"--seconds={seconds}"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "NSN_JAX_CACHE": f"{folder}/cache"}
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
  rows = []
  for line in done.stdout.splitlines():
    with contextlib.suppress(ValueError):
      rows.append(json.loads(line))
  if not rows:
    raise RuntimeError(f"the sound files were not read:\n{done.stderr[-4000:]}")
  return rows, done.returncode


def _run(
  names: Sequence[str], first: int, end: int, seconds: float
) -> tuple[list[_Fault], collections.Counter[str]]:
  """All cases; faults, and the number of cases by reader."""
  faults: list[_Fault] = []
  counts: collections.Counter[str] = collections.Counter()
  while first < end:
    rows, code = _rows(names, first, end, seconds)
    readers = rows[0]["readers"]
    begun = max((row["begun"] for row in rows if "begun" in row), default=first - 1)
    ended = {row["ended"]: row for row in rows if "ended" in row}
    for number, row in ended.items():
      counts[readers[number % len(readers)]] += 1
      if row["fault"]:
        faults.append(_Fault(readers[number % len(readers)], number, row["fault"]))
    if begun < first:
      raise RuntimeError(f"no case was begun; the process ended with {code}")
    if begun not in ended:
      how = f"died by {signal.Signals(-code).name}" if code < 0 else "was ended: it took too long"
      counts[readers[begun % len(readers)]] += 1
      faults.append(_Fault(readers[begun % len(readers)], begun, f"the process {how}"))
    elif code:
      raise RuntimeError(f"the process ended with {code} after case {begun}")
    slowest = max(ended.values(), key=lambda row: row["seconds"], default=None)
    if slowest:
      print(f"slowest: case {slowest['ended']}, {slowest['seconds']:.2f} s")
      largest = max(ended.values(), key=lambda row: row["growth"])
      print(f"largest: case {largest['ended']}, {largest['growth'] / 2**20:.0f} MB")
    first = begun + 1
  return faults, counts


def _run_one(names: Sequence[str], number: int, keep: pathlib.Path | None) -> None:
  with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
    some = cases.Cases(pathlib.Path(folder), names, limits.SECONDS)
    name, seed = some.file(number)
    print(f"{name}: {len(seed.content)} bytes as {seed.name}")
    if keep is not None:
      keep.write_bytes(seed.content)
    some.readers[name].read(seed)
    print("read")


def _main() -> int:
  given = _arguments()
  if given.worker is not None:
    end = given.first + given.cases
    cases.work(given.worker, given.readers, given.first, end, given.seconds)
    return 0
  if given.only is not None:
    _run_one(given.readers, given.only, given.keep)
    return 0
  start = time.perf_counter()
  end = given.first + given.cases
  faults, counts = _run(given.readers, given.first, end, given.seconds)
  for fault in faults:
    print(f"FAULT: reader {fault.reader}, case {fault.number}: {fault.what}")
  by_reader = ", ".join(f"{count} {name}" for name, count in counts.items())
  seconds = time.perf_counter() - start
  print(f"{counts.total()} cases ({by_reader}) in {seconds:.0f} s: {len(faults)} faults")
  return bool(faults)


if __name__ == "__main__":
  sys.exit(_main())
