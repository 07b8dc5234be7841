"""`nsn_jax.files`: files appear whole or not at all; JSON that comes back; the cache's folder."""

import os
import pathlib
import time

import pytest

from nsn_jax import files


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


# replacing


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_appears_whole(tmp_path, old):
  path = tmp_path / "x.txt"
  if old is not None:
    path.write_text(old)
  with files.replacing(path) as temporary:
    assert temporary.parent == tmp_path and temporary.suffix == ".tmp"
    temporary.write_text("ne")
    # Half is written, and nobody who looks at the path sees it.
    assert (path.read_text() if path.exists() else None) == old
    temporary.write_text("new")
  assert path.read_text() == "new" and _names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("is_begun", [False, True])
def test_an_interrupted_writer_changes_nothing(tmp_path, old, error, is_begun):
  path = tmp_path / "x.txt"
  if old is not None:
    path.write_text(old)
  with pytest.raises(error), files.replacing(path) as temporary:
    if is_begun:
      temporary.write_text("half")
    raise error
  assert _names(tmp_path) == ([] if old is None else ["x.txt"])
  assert old is None or path.read_text() == old


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
  (tmp_path / "x.txt").write_text("old")
  with pytest.raises(FileNotFoundError), files.replacing(tmp_path / "x.txt"):
    pass
  assert (tmp_path / "x.txt").read_text() == "old" and _names(tmp_path) == ["x.txt"]


def test_a_path_that_cannot_be_replaced_is_an_error(tmp_path):
  (tmp_path / "x").mkdir()
  with pytest.raises(OSError):
    files.write_text(tmp_path / "x", "new")
  with pytest.raises(OSError):
    files.write_text(tmp_path / "nowhere" / "x.txt", "new")
  assert _names(tmp_path) == ["x"]


def test_two_writers_do_not_meet(tmp_path):
  path = tmp_path / "x.txt"
  with files.replacing(path) as first:
    first.write_text("first")
    with files.replacing(path) as second:
      second.write_text("second")
    assert path.read_text() == "second"
  assert path.read_text() == "first" and _names(tmp_path) == ["x.txt"]


# leftovers


def _leftover(path, age_s, number):
  """What a killed writer of a file left."""
  left = path.with_name(f"{path.name}.{number:032x}.tmp")
  left.write_text("half")
  os.utime(left, (time.time() - age_s,) * 2)
  return left


def test_a_writer_removes_what_dead_writers_of_its_file_left(tmp_path):
  path, other = tmp_path / "x.png", tmp_path / "y.x.png"
  _leftover(path, files.LEFT_S + 60, 1)
  kept = [
    _leftover(path, files.LEFT_S - 60, 2),  # It may be at it still.
    _leftover(other, files.LEFT_S + 60, 3),  # Whoever made it: the folder may be anybody's.
    tmp_path / "x.png.1.tmp",
  ]
  kept[-1].write_text("mine")
  files.write_text(path, "new")
  assert _names(tmp_path) == sorted(["x.png", *(place.name for place in kept)])
  assert files.remove_leftovers(tmp_path, of="y.x.png") == [kept[1]]
  assert files.remove_leftovers(tmp_path) == [kept[0]]
  assert _names(tmp_path) == ["x.png", "x.png.1.tmp"]


def test_what_cannot_be_removed_keeps_nobody_from_writing(tmp_path, monkeypatch):
  def refuse(*_, **__):
    raise PermissionError("another user's")

  monkeypatch.setattr(files, "remove_leftovers", refuse)
  files.write_text(tmp_path / "x", "new")
  assert (tmp_path / "x").read_text() == "new"


# bytes and text


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_bytes_and_text_are_written_as_they_are(tmp_path, kind):
  files.write_bytes(kind(tmp_path / "x"), b"\x00\xff\r\n")
  assert (tmp_path / "x").read_bytes() == b"\x00\xff\r\n"
  files.write_text(kind(tmp_path / "x"), "Größe\n")
  assert (tmp_path / "x").read_bytes() == "Größe\n".encode()
  assert _names(tmp_path) == ["x"]


# JSON


def test_json_comes_back(tmp_path):
  value = {"name": "Größe", "numbers": [1, 2.5, None, True], "inner": {"a": {}}}
  files.write_json(tmp_path / "x.json", value)
  assert files.read_json(tmp_path / "x.json") == value
  text = (tmp_path / "x.json").read_text()
  assert text.endswith("}\n") and text.count("\n") > len(value)  # For people to read.
  files.write_json(tmp_path / "x.json", {})
  assert files.read_json(tmp_path / "x.json") == {}
  assert _names(tmp_path) == ["x.json"]


def test_what_is_no_json_leaves_the_old_file(tmp_path):
  files.write_json(tmp_path / "x.json", {"a": 1})
  with pytest.raises(TypeError):
    files.write_json(tmp_path / "x.json", {"a": object()})
  assert files.read_json(tmp_path / "x.json") == {"a": 1} and _names(tmp_path) == ["x.json"]


def test_a_missing_file_is_empty(tmp_path):
  assert files.read_json(tmp_path / "none.json") == {}
  assert files.read_json(tmp_path / "nowhere" / "none.json") == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"hello", b"\xff\xfe\x00{"])
def test_a_damaged_file_is_named(tmp_path, content):
  (tmp_path / "x.json").write_bytes(content)
  with pytest.raises(ValueError, match=r"x\.json: expected JSON, got a damaged file \(.+\)$"):
    files.read_json(tmp_path / "x.json")


@pytest.mark.parametrize(
  ("content", "kind"), [("[1]", "list"), ("3", "int"), ('"a"', "str"), ("null", "NoneType")]
)
def test_a_file_of_no_object_is_named(tmp_path, content, kind):
  (tmp_path / "x.json").write_text(content)
  with pytest.raises(ValueError, match=rf"x\.json: expected a JSON object, got {kind}$"):
    files.read_json(tmp_path / "x.json")


# the cache's folder


def test_cache_dir_is_the_environments(monkeypatch, tmp_path):
  monkeypatch.setenv("NSN_JAX_CACHE", str(tmp_path / "mine"))
  assert files.cache_dir() == tmp_path / "mine"
  assert not (tmp_path / "mine").exists()  # Told, not made.


def test_cache_dir_without_an_environment(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.delenv("NSN_JAX_CACHE", raising=False)
  assert files.cache_dir().expanduser() == tmp_path / ".cache" / "nsn_jax"
  monkeypatch.setenv("NSN_JAX_CACHE", "")
  assert files.cache_dir().expanduser() == tmp_path / ".cache" / "nsn_jax"
