"""Checkpoints of a training, by orbax."""

import os
import pathlib

import jax
import orbax.checkpoint as ocp

from nsn_jax.baselines.baseline import State

__all__ = ["Checkpoints"]


class Checkpoints:
  """States of a training in a folder, one an epoch, of which the last few are kept.

  A context manager: leaving it waits for what is still being written.

  Args:
    folder: made if need be.
    most: how many are kept.

  Raises:
    OSError: where the folder cannot be written.
  """

  def __init__(self, folder: str | os.PathLike[str], *, most: int = 2):
    options = ocp.CheckpointManagerOptions(max_to_keep=most)
    path = pathlib.Path(folder).absolute()
    path.mkdir(parents=True, exist_ok=True)
    self._manager = ocp.CheckpointManager(path, options=options)

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_: object) -> None:
    self._manager.close()

  def save(self, epoch: int, state: State) -> None:
    """Keeps the state after an epoch.

    Raises:
      ValueError: where that epoch or a later one is kept already.
    """
    if not self._manager.save(epoch, args=ocp.args.StandardSave(state)):
      raise ValueError(
        f"epoch: expected one after {self.last_epoch}, the last that the folder holds, got {epoch}"
      )

  @property
  def last_epoch(self) -> int | None:
    """The last epoch that is kept; None where there is none."""
    return self._manager.latest_step()

  def restore(self, like: State) -> State:
    """The last state.

    Args:
      like: a state of the same model, for its structure.

    Returns:
      The state, its arrays on the default device.

    Raises:
      ValueError: where there is none, or it is one of another model.
    """
    epoch = self.last_epoch
    if epoch is None:
      raise ValueError("checkpoints: expected at least one in the folder, got none")
    template = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    try:
      found: State = self._manager.restore(epoch, args=ocp.args.StandardRestore(template))
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(f"checkpoints: expected one of this model, got another ({error})") from error
    return found
