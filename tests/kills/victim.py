"""`experiments.train` of a tiny network, in a process that kills itself at a given instant.

    python -m tests.kills.victim INSTANT --dataset=digits --workdir=... [flags of experiments.train]

INSTANT is the number of one (`tests.kills.instants`), or 0 for none. Prints how many there were.
"""

import os
import signal
import sys
from unittest import mock

import nsn_jax
from experiments import train
from experiments.common import command_line
from tests.experiments.helpers import mini_network
from tests.kills.instants import counted


def _main() -> None:
  number = int(sys.argv.pop(1))

  def act(instant: int, what: str) -> None:
    if instant == number:
      print(f"killed at instant {instant}: {what}", flush=True)
      os.kill(os.getpid(), signal.SIGKILL)

  def launch() -> None:
    with counted(act) as count:
      train._main()
    print(f"{count()} instants", flush=True)

  network = mini_network(exact_decoders=False)
  with mock.patch.object(nsn_jax.presets, "get", lambda _: network):
    train._define_flags()
    command_line.run(launch)


if __name__ == "__main__":
  _main()
