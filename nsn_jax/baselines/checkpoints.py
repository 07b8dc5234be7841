"""Checkpoints of a training, by orbax."""

import functools
import hashlib
import os
import pathlib
import shutil

import jax
import orbax.checkpoint as ocp
from absl import logging

from nsn_jax import files
from nsn_jax.baselines import quiet
from nsn_jax.baselines.baseline import State

__all__ = ["Checkpoints"]

#: Beside a checkpoint's own files: what they held when they were written.
_SUMS = "sha256.json"
#: In the names of what orbax writes to before a checkpoint is whole.
_UNFINISHED = ".orbax-checkpoint-tmp"


class Checkpoints:
  """States of a training in a folder, one an epoch, of which the last few are kept.

  A context manager. What `save` returns from is on the disk and whole; should a file be damaged
  later, `restore` goes back to the epoch before.

  Args:
    folder: made if need be.
    most: how many are kept.

  Raises:
    OSError: where the folder cannot be written.
  """

  def __init__(self, folder: str | os.PathLike[str], *, most: int = 2):
    options = ocp.CheckpointManagerOptions(
      max_to_keep=most,
      # Who writes down that an epoch is done can then rely on its state.
      enable_async_checkpointing=False,
      # Metadata that are damaged would be told of at length, and are of no use here.
      lightweight_initialize=True,
    )
    self._folder = pathlib.Path(folder).absolute()
    self._folder.mkdir(parents=True, exist_ok=True)
    self._manager = ocp.CheckpointManager(
      self._folder, options=options, item_handlers=ocp.StandardCheckpointHandler()
    )

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, *_: object) -> None:
    self._manager.close()

  def save(self, epoch: int, state: State) -> None:
    """Keeps the state after an epoch.

    Raises:
      ValueError: where that epoch or a later one is kept already.
      OSError: where it cannot be written.
    """
    if not self._manager.save(epoch, args=ocp.args.StandardSave(state)):
      raise ValueError(
        f"epoch: expected one after {self.last_epoch}, the last that the folder holds, got {epoch}"
      )
    place = self._folder / str(epoch)
    files.write_json(place / _SUMS, _sums(place))

  @property
  def last_epoch(self) -> int | None:
    """The last epoch that is kept, whole or damaged; None where there is none."""
    return self._manager.latest_step()

  def restore(self, like: State) -> tuple[int, State]:
    """The last state that is whole; of each later one that is damaged a warning is logged.

    Args:
      like: a state of the same model, for its structure.

    Returns:
      The epoch and its state, whose arrays are on the default device.

    Raises:
      ValueError: where there is none, all are damaged, or they are of another model.
    """
    return quiet.quietly(functools.partial(self._restore, like))

  def _restore(self, like: State) -> tuple[int, State]:
    """`restore`, of which orbax would print more than the warnings."""
    epochs = sorted(self._manager.all_steps(), reverse=True)
    if not epochs:
      raise ValueError(f"checkpoints: expected at least one in {str(self._folder)!r}, got none")
    template = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    for epoch in epochs:
      is_last = epoch == epochs[-1]
      try:
        self._check_files(epoch)
        stored = _shapes(self._manager.item_metadata(epoch).tree)
      except Exception as error:  # Of any kind: files may hold anything.
        self._warn(epoch, error, is_last)
        continue
      _check_model(_shapes(template), stored)
      try:
        return epoch, self._manager.restore(epoch, args=ocp.args.StandardRestore(template))
      except Exception as error:  # Likewise.
        self._warn(epoch, error, is_last)
    numbers = ", ".join(map(str, sorted(epochs)))
    raise ValueError(
      f"checkpoints: expected one that can be read in {str(self._folder)!r}, got damaged ones "
      f"alone, of epoch{'s' * (len(epochs) > 1)} {numbers}"
    )

  def remove_after(self, epoch: int | None) -> None:
    """Removes checkpoints after an epoch, all for None, and what a killed writer left.

    So that training can go on from that epoch.

    Raises:
      OSError: where they cannot be removed.
    """
    for place in self._folder.iterdir():
      later = place.name.isdecimal() and (epoch is None or int(place.name) > epoch)
      if later or _UNFINISHED in place.name:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    self._manager.reload()

  def _check_files(self, epoch: int) -> None:
    """Raises ValueError where files are not as they were written; earlier versions kept no sums."""
    place = self._folder / str(epoch)
    found = _sums(place)
    for name, digest in files.read_json(place / _SUMS).items():
      if found.get(name) != digest:
        raise ValueError(f"{name} is {'changed' if name in found else 'missing'}")

  def _warn(self, epoch: int, error: Exception, is_last: bool) -> None:
    logging.warning(
      "checkpoints: epoch %d in %s is damaged (%s)%s",
      epoch,
      str(self._folder),
      " ".join(str(error).split())[:200],
      "" if is_last else ": the one before it is taken",
    )


def _sums(place: pathlib.Path) -> dict[str, str]:
  """SHA-256 of each file of a checkpoint, by its path in it."""
  return {
    path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(place.rglob("*"))
    if path.is_file() and path != place / _SUMS
  }


def _shapes(tree: State) -> dict[tuple[str, ...], tuple[int, ...]]:
  """The shape of each array by the names that lead to it."""
  return {
    tuple(map(str, path)): tuple(leaf.shape) for path, leaf in ocp.tree.to_flat_dict(tree).items()
  }


def _check_model(
  expected: dict[tuple[str, ...], tuple[int, ...]], found: dict[tuple[str, ...], tuple[int, ...]]
) -> None:
  """Raises ValueError where a checkpoint's arrays are not those of the model."""
  for path in expected.keys() | found.keys():
    if expected.get(path) != found.get(path):
      raise ValueError(
        f"checkpoints: expected one of this model, got another ({'.'.join(path)}: expected shape "
        f"{expected.get(path, 'none')}, got {found.get(path, 'none')})"
      )
