"""SIGTERM, as of a machine that is taken away: the state is written, one line says how to go on."""

import os
import re
import signal
import subprocess
import sys
import time

import nsn_jax
from experiments.common import runs
from tests.experiments.helpers import ROOT
from tests.kills import campaign


def test_sigterm_writes_the_state_and_says_how_to_go_on(tmp_path):
  # The first state is written as it comes, the next would be in an hour.
  command = campaign.train_command(tmp_path, 0, "--checkpoint_seconds=3600")
  environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
  pipe = subprocess.PIPE
  with subprocess.Popen(
    command, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=pipe
  ) as process:
    while not (tmp_path / runs.STATE).exists():
      assert process.poll() is None
      time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
  assert process.returncode == 128 + signal.SIGTERM
  first, *_, last = err.splitlines()
  assert first.startswith("digits: 120 images") and "Traceback" not in err
  said = re.fullmatch(
    r"interrupted in layer (\d); .*, layer \1 is kept up to step (\d+) of (\w+): go on with "
    r"python -m experiments.train --workdir=\S+ --resume",
    last,
  )
  assert said, err
  state = nsn_jax.load_state(tmp_path / runs.STATE)
  assert (state.layer, state.state.step, state.state.phase) == (int(said[1]), int(said[2]), said[3])
  assert sys.executable in command
