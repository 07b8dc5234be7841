"""Flags of devices and processes: what they come to, and each refusal before training begins."""

import jax
import pytest

from experiments import train
from experiments.common import command_line, devices
from tests.experiments import helpers


@pytest.mark.parametrize(
  ("given", "message"),
  [
    (("localhost:1", None, None), "or none of them, got no num_processes and no process_id"),
    ((None, None, None), "or an environment that jax knows, got neither"),
    (("localhost:1", 2, 2), "process_id: expected an integer from 0 to 1, got 2"),
    (("localhost", 2, 1), "coordinator: expected host:port, got 'localhost'"),
  ],
)
def test_refused_before_any_process_is_waited_for(given, message, monkeypatch):
  # Of a process that is to meet others none may have asked jax for its devices, as tests have.
  monkeypatch.setattr(jax.distributed, "initialize", _no_cluster)
  with pytest.raises(ValueError, match=message):
    devices.join(*given, quiet=False)


def test_processes_are_named_with_distributed_alone():
  wanted = pytest.raises(ValueError, match="expected --distributed with --coordinator")
  with helpers.given(train, "--process_id=1"), wanted:
    command_line.join()


def _no_cluster(coordinator, num_processes, process_id, **_):
  # Else SIGTERM would be JAX's, and end nothing.
  assert not jax.config.jax_enable_preemption_service
  assert coordinator is None and num_processes is None and process_id is None
  raise ValueError("coordinator_address should be defined.")


def test_the_mesh_of_emulated_devices(run_python):
  found = run_python("""
from experiments.common import devices
devices.wanted(6)
for num_devices in (None, 1, 2, 3, 7):
  try:
    mesh = devices.mesh(num_devices, 16)
    print(mesh and mesh.size)
  except ValueError as error:
    print(error)
""").splitlines()
  assert found[:3] == ["4", "None", "2"]  # Six hold no whole shards of 16; four of them do.
  assert "whole shards of 16 each, got 3 devices" in found[3]
  assert found[4] == "num_devices: expected at most 6, as jax has here, got 7"
