"""Files that are whole or not there, and the folder of what can be made again."""

import contextlib
import json
import os
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["cache_dir", "read_json", "replacing", "write_bytes", "write_json", "write_text"]


def cache_dir() -> pathlib.Path:
  """`$NSN_JAX_CACHE`, or `~/.cache/nsn_jax` where that is not set; `~` as it stands."""
  return pathlib.Path(os.environ.get("NSN_JAX_CACHE") or "~/.cache/nsn_jax")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """A place beside `path` to write to; what is there moves to `path` when the block ends well.

  So no reader ever sees half a file, and an interrupted writer leaves the one before as it was.

  Raises:
    OSError: where the file cannot be moved.
  """
  target = pathlib.Path(path)
  temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
  try:
    yield temporary
    temporary.replace(target)
  finally:  # Also after Ctrl-C: half a data set may be gigabytes.
    temporary.unlink(missing_ok=True)


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


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
  """The JSON object of a file; empty where there is none.

  Raises:
    ValueError: for a damaged file.
  """
  try:
    found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
  except FileNotFoundError:
    return {}
  except ValueError as error:
    raise ValueError(f"{path}: expected JSON, got a damaged file ({error})") from error
  if not isinstance(found, dict):
    raise ValueError(f"{path}: expected a JSON object, got {type(found).__name__}")
  return found
