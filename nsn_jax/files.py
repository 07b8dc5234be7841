"""Files that are whole or not there, and the folder of what can be made again."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = [
  "LEFT_S",
  "cache_dir",
  "digest",
  "read_json",
  "remove_leftovers",
  "replacing",
  "sync",
  "write_bytes",
  "write_json",
  "write_text",
]

#: What `replacing` writes to: the file's name, and an ending.
_LEFTOVER = re.compile(r"(.+)\.[0-9a-f]{32}\.tmp")
#: Seconds after which what another writer left is surely of a dead one.
LEFT_S = 3600.0


def cache_dir() -> pathlib.Path:
  """`$NSN_JAX_CACHE`, or `~/.cache/nsn_jax` where that is not set; `~` as it stands."""
  return pathlib.Path(os.environ.get("NSN_JAX_CACHE") or "~/.cache/nsn_jax")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """A place beside `path` to write to; what is there moves to `path` when the block ends well.

  So no reader ever sees half a file, and an interrupted writer leaves the one before as it was. The
  content is on the disk before it takes the name, so that a machine that stops leaves either. What
  killed writers of the same file left there is removed, when it is an hour old.

  Raises:
    OSError: where the file cannot be written or moved.
  """
  target = pathlib.Path(path)
  # Nobody else may ever look there. Where it cannot be removed, as another user's, it stays.
  with contextlib.suppress(OSError):
    remove_leftovers(target.parent, older_than_s=LEFT_S, of=target.name)
  temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
  try:
    yield temporary
    sync(temporary)
    temporary.replace(target)
    sync(target.parent)
  finally:  # Also after Ctrl-C: half a data set may be gigabytes.
    temporary.unlink(missing_ok=True)


def sync(path: pathlib.Path) -> None:
  """Has the system write a file, or a folder's names, to the disk."""
  if path.is_dir() and os.name == "nt":  # Windows opens no folders.
    return
  handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
  try:
    os.fsync(handle)
  finally:
    os.close(handle)


def remove_leftovers(
  folder: str | os.PathLike[str], *, older_than_s: float = 0.0, of: str | None = None
) -> list[pathlib.Path]:
  """Removes what killed writers left in a folder.

  Args:
    folder: where they wrote; one that is not there has none.
    older_than_s: seconds; younger ones may be a living writer's.
    of: the name of a file, whose writers alone are meant; by default all are.

  Returns:
    What was removed.
  """
  removed = []
  place = pathlib.Path(folder)
  for path in place.iterdir() if place.is_dir() else ():
    found = _LEFTOVER.fullmatch(path.name)
    if found is None or of not in (None, found[1]):
      continue
    # Another process may be at the same.
    with contextlib.suppress(FileNotFoundError):
      if time.time() - path.stat().st_mtime >= older_than_s:
        path.unlink()
        removed.append(path)
  return removed


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
  """Writes a file whole; raises OSError where it cannot."""
  with replacing(path) as temporary:
    temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
  """Writes a file whole, in UTF-8; raises OSError where it cannot."""
  write_bytes(path, content.encode())


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
  """Writes a JSON object whole, for people to read; raises OSError where it cannot."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def digest(arrays: Mapping[str, np.ndarray], text: str = "") -> str:
  """A checksum, SHA-256, of named arrays and a text: names, dtypes, shapes and values count."""
  found = hashlib.sha256(text.encode())
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    found.update(f"{name} {array.dtype.str} {array.shape}".encode())
    found.update(array.view(np.uint8).data if array.size else b"")
  return found.hexdigest()


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
  """The JSON object of a file; empty where there is none.

  Raises:
    ValueError: for a damaged file.
  """
  try:
    found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except FileNotFoundError:
    return {}
  except (ValueError, RecursionError) as error:
    raise ValueError(f"{path}: expected JSON, got a damaged file ({error})") from error
  if not isinstance(found, dict):
    raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
  return found
