"""The devices that a training runs on: of this process alone, or of several that find each other.

The engine is JAX's: `jax.distributed` has the processes meet and tells of one that is gone, and
collectives are the backend's own (on CPU: gloo).
"""

import jax
import numpy as np

from experiments.common import native_messages
from nsn_jax import placement

__all__ = ["HEARTBEAT_S", "is_first", "join", "mesh", "wanted"]

#: Seconds in which a process that has fallen silent is given up.
HEARTBEAT_S = 60
#: Seconds that the other processes wait for the first, which draws what was found.
_END_S = 7 * 24 * 3600


def wanted(num_devices: int | None) -> None:
  """Has the CPU stand for so many devices. Before anything asks jax for its devices.

  Args:
    num_devices: of this process; None leaves jax as it is. No other backend is changed by it.
  """
  if num_devices is not None:
    jax.config.update("jax_num_cpu_devices", num_devices)


def join(
  coordinator: str | None, num_processes: int | None, process_id: int | None, *, quiet: bool
) -> None:
  """Waits for all processes of the training, at most five minutes.

  From then on a process that is gone ends the others: at once where they wait for what it has to
  give, and where it was the first; else within `HEARTBEAT_S` and some seconds.

  Args:
    coordinator: "host:port" of the first process; like the others None where jax finds them by
      itself, as under Slurm, MPI and on TPUs.
    num_processes: how many there are.
    process_id: number of this one, from 0 on.
    quiet: whether one line is to stand for what JAX's own code says at such an end.

  Raises:
    ValueError: where some of them are missing, or not as above.
    OSError: where not all come.
  """
  given = {"coordinator": coordinator, "num_processes": num_processes, "process_id": process_id}
  missing = [name for name, value in given.items() if value is None]
  if 0 < len(missing) < len(given):
    raise ValueError(
      "distributed: expected --coordinator, --num_processes and --process_id, or none of them, got "
      f"no {' and no '.join(missing)}"
    )
  if coordinator is not None and not coordinator.rpartition(":")[2].isdecimal():
    raise ValueError(f"coordinator: expected host:port, got {coordinator!r}")
  if num_processes is not None and process_id is not None and process_id >= num_processes:
    raise ValueError(
      f"process_id: expected an integer from 0 to {num_processes - 1}, got {process_id}"
    )
  if quiet:
    native_messages.filter_them()
  # It would take SIGTERM to itself, which then ends nothing.
  jax.config.update("jax_enable_preemption_service", False)
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      heartbeat_timeout_seconds=HEARTBEAT_S,
      shutdown_timeout_seconds=_END_S,
    )
  except ValueError as error:  # It found no cluster.
    raise ValueError(
      "distributed: expected --coordinator, --num_processes and --process_id, or an environment "
      f"that jax knows, got neither ({error})"
    ) from error
  except RuntimeError as error:
    raise OSError(f"distributed: expected all processes to come, got: {error}") from error


def is_first() -> bool:
  """Whether this process has the workdir and the terminal: alone, or the first of several."""
  return jax.process_index() == 0


def mesh(num_devices: int | None, num_shards: int) -> jax.sharding.Mesh | None:
  """The mesh that a training of so many logical shards runs on.

  Args:
    num_devices: of each process; None for all, or as many of them as hold whole shards.
    num_shards: as of `NetworkConfig`.

  Returns:
    The mesh, None for the default device of one process alone.

  Raises:
    ValueError: where there are not so many devices, or they do not hold whole shards.
  """
  own = len(jax.local_devices())
  if num_devices is not None and num_devices > own:
    raise ValueError(f"num_devices: expected at most {own}, as jax has here, got {num_devices}")
  if num_devices is not None:
    return _mesh(num_devices, num_shards)
  for count in range(own, 1, -1):
    try:
      return _mesh(count, num_shards)
    except ValueError:
      continue
  return _mesh(1, num_shards)


def _mesh(count: int, num_shards: int) -> jax.sharding.Mesh | None:
  """That of so many devices of each process; raises ValueError where they do not suit."""
  if jax.process_count() == 1 and count == 1:
    return None
  chosen = []
  for process in range(jax.process_count()):
    chosen += jax.local_devices(process_index=process)[:count]
  found = jax.sharding.Mesh(np.array(chosen), (placement.AXIS,))
  placement.place(found, num_shards)
  return found
