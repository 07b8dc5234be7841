"""Kills trainings, and says how they ended."""

import argparse
import pathlib
import sys
import tempfile
import time

import tests.kills
from tests.kills import campaign


def _main() -> int:
  parser = argparse.ArgumentParser(
    prog="tests.kills",
    description=tests.kills.__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument("--count", type=int, default=100, help="kills")
  parser.add_argument("--seed", type=int, default=0, help="decides where they come")
  given = parser.parse_args()
  start = time.perf_counter()
  with tempfile.TemporaryDirectory(prefix="kills-") as place:
    found = campaign.run(
      given.count, given.seed, pathlib.Path(place), lambda line: print(line, flush=True)
    )
  print(
    f"{found.kills} kills of {found.trainings} trainings, {found.within} resumptions within a "
    f"layer, in {time.perf_counter() - start:.0f} s: {len(found.faults)} faults"
  )
  for fault in found.faults:
    print(f"FAULT: {fault}")
  return bool(found.faults)


if __name__ == "__main__":
  sys.exit(_main())
