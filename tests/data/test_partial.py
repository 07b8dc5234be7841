"""Decoding that is broken off, by whatever, and goes on; and several processes at one set."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from nsn_jax import data
from nsn_jax.data import claims, decoding, loading, partial, pieces
from nsn_jax.data.dataset import Piece
from tests.conftest import ROOT
from tests.data.helpers import flat, save

_COUNT = 60


@pytest.fixture
def stream(monkeypatch):
  """A labelled stream of 60 items in pieces of 4, every 17th of them broken; what is decoded of it.

  `stream.stop_at` is the item before which it fails, `stream.error` by what.
  """

  watched = types.SimpleNamespace(decoded=[], stop_at=None, error=None)

  def read(begun):
    for start in range(begun.seen, _COUNT, 4):
      items = range(start, min(start + 4, _COUNT))
      if watched.stop_at in items:
        raise watched.error
      watched.decoded += items
      kept = [item for item in items if item % 17]
      images = np.arange(_COUNT, dtype=np.uint8)[kept][:, None, None, None]
      broken = [(item, f"no {item}") for item in items if item not in kept]
      images = np.tile(images, (1, 3, 2, 1))
      yield Piece(images, np.array(kept, np.int32) * 1000, len(items), broken)

  monkeypatch.setitem(
    loading.SOURCES, "stream", lambda request: loading.Stream(_told(read, request), [])
  )
  return watched


def _told(read, request):
  """Has the stream say in the end what is broken, as a folder does."""

  def pieces_(begun):
    broken = list(begun.broken)
    for piece in read(begun):
      broken += piece.broken
      yield piece
    request.remark(f"broken: {broken}")

  return pieces_


def _check(found, warnings):
  kept = [item for item in range(_COUNT) if item % 17]
  assert isinstance(found.images, np.memmap) and found.images.shape == (len(kept), 3, 2, 1)
  assert (found.images == np.array(kept)[:, None, None, None]).all()
  assert found.labels.tolist() == [item * 1000 for item in kept]
  told = [(item, f"no {item}") for item in range(0, _COUNT, 17)]
  assert warnings == [f"broken: {told}"]


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def _stop(stream, place, error=None):
  """Has the decoding end at an item."""
  stream.stop_at = place
  stream.error = error or KeyboardInterrupt()
  with pytest.raises(type(stream.error)):
    data.load("stream")
  stream.stop_at = None


@pytest.mark.parametrize("place", range(0, _COUNT, 7))
def test_what_was_decoded_before_ctrl_c_is_not_again(stream, cache_dir, warnings, place):
  _stop(stream, place)
  (left,) = cache_dir.iterdir()
  assert left.name.endswith(".partial-0") and not (left / "about.json").exists()
  before = place // 4 * 4
  assert stream.decoded == list(range(before))
  _check(data.load("stream"), warnings)
  assert stream.decoded == list(range(_COUNT))
  # Nothing else stays, and it is found whole.
  (folder,) = cache_dir.iterdir()
  assert _names(folder) == ["about.json", "images.npy", "labels.npy"]
  warnings.clear()
  _check(data.load("stream"), warnings)
  assert len(stream.decoded) == _COUNT


def test_it_may_be_broken_off_again_and_again(stream, warnings):
  for place in (5, 9, 30, 59):
    _stop(stream, place)
  _check(data.load("stream"), warnings)
  assert stream.decoded == list(range(_COUNT))


@pytest.mark.parametrize("step", ["files.sync", "kept.describe", "_move", "kept.opened"])
def test_what_is_only_to_be_put_in_its_place_is_not_decoded_again(
  stream, cache_dir, warnings, monkeypatch, step
):
  def stop(*_, **__):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(f"nsn_jax.data.partial.{step}", stop)
    with pytest.raises(KeyboardInterrupt):
      data.load("stream")
  warnings.clear()
  found = data.load("stream")
  _check(found, warnings)
  assert stream.decoded == list(range(_COUNT)) and len(_names(cache_dir)) == 1


def test_an_error_of_the_data_leaves_nothing(stream, cache_dir, warnings):
  stream.stop_at, stream.error = 30, data.DataError("damaged")
  with pytest.raises(data.DataError, match=r"^damaged$"):
    data.load("stream")
  assert not _names(cache_dir) and not warnings


def test_after_an_error_that_may_pass_it_goes_on(stream, warnings):
  stream.stop_at, stream.error = 30, OSError("the network")
  with pytest.raises(data.DataError, match=r"readable, got: the network$"):
    data.load("stream")
  stream.stop_at = None
  _check(data.load("stream"), warnings)
  assert stream.decoded == list(range(_COUNT))


# what was left, changed


def _after(lines):
  """Items that are not decoded again where the journal's first line and so many pieces hold."""
  return 4 * lines


def _cut_line(folder):
  path = folder / "journal"
  path.write_bytes(path.read_bytes()[:-9])
  return _after(6)


def _cut_images(folder):
  path = folder / "images.npy"
  os.truncate(path, path.stat().st_size - 1)
  return _after(6)


def _cut_deep(folder):
  os.truncate(folder / "images.npy", 128 + 10 * 6)  # Three pieces' images are 11.
  return _after(2)


def _more_images(folder):
  with (folder / "images.npy").open("ab") as file:  # Killed between the images and their line.
    file.write(b"more" * 1000)
  return _after(7)


def _zeros(folder):
  with (folder / "images.npy").open("r+b") as file:  # What a disk that lost them may give.
    file.seek(128 + 12 * 6)
    file.write(bytes(6))
  return _after(3)


def _other_key(folder):
  path = folder / "journal"
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join([json.dumps("0" * 64) + "\n", *lines[1:]]))
  return 0


def _changed(number, **fields):
  def change(folder):
    path = folder / "journal"
    lines = path.read_text().splitlines(keepends=True)
    lines[number] = json.dumps(json.loads(lines[number]) | fields) + "\n"
    path.write_text("".join(lines))
    return _after(number - 1)

  return change


def _without(name):
  def change(folder):
    (folder / name).unlink()
    return 0

  return change


def _garbage(name, content):
  def change(folder):
    (folder / name).write_bytes(content)
    return 0

  return change


def _header(folder):
  with (folder / "images.npy").open("r+b") as file:  # Written anew in the end.
    file.write(b"garbage")
  return _after(7)


@pytest.mark.parametrize(
  "change",
  [
    *[_cut_line, _cut_images, _cut_deep, _more_images, _zeros, _other_key, _header],
    *[_without("journal"), _without("images.npy"), _garbage("images.npy", b"")],
    *[
      _garbage("journal", content) for content in (b"", b"\n\n", b"[]\n", b"\xff" * 99, b"[" * 9999)
    ],
    *[_changed(3, seen=5), _changed(3, seen="4"), _changed(2, images=[10**15, 3, 2, 1])],
    *[_changed(2, images=[-1, -3, 2, 1]), _changed(2, images=3), _changed(4, labels=None)],
    *[_changed(1, labels=[1, 2, 3]), _changed(2, broken=[[4, "all"]]), _changed(2, digest="0")],
  ],
)
def test_of_what_is_left_only_the_sound_part_is_used(stream, cache_dir, warnings, change):
  _stop(stream, 30)
  (folder,) = cache_dir.iterdir()
  assert stream.decoded == list(range(28))
  expected = change(folder)
  _stop(stream, 50)
  assert stream.decoded[28:] == list(range(expected, 48))
  # What was dropped is not in the way of what came after it.
  _check(data.load("stream"), warnings)
  assert stream.decoded[28:] == list(range(expected, _COUNT))


def test_the_partial_set_of_another_request_is_not_taken(stream, cache_dir, warnings):
  _stop(stream, 30)
  (left,) = cache_dir.iterdir()
  stream.stop_at = 1
  with pytest.raises(KeyboardInterrupt):
    data.load("stream", limit=100)
  stream.stop_at = None
  (other,) = set(cache_dir.iterdir()) - {left}
  shutil.rmtree(other)
  left.rename(other)
  stream.decoded.clear()
  _check(data.load("stream", limit=100), warnings)
  assert stream.decoded == list(range(_COUNT))


# trouble with the disk


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
@pytest.mark.parametrize("place", [0, 3, 20])
def test_a_full_disk_is_a_warning_and_frees_what_was_taken(
  stream, cache_dir, warnings, monkeypatch, error, place
):
  line = partial._line
  written = []

  def failing(piece):
    written.append(piece.seen)
    if len(written) > place // 4:
      raise error
    return line(piece)

  monkeypatch.setattr(partial, "_line", failing)
  found = data.load("stream")
  assert not isinstance(found.images, np.memmap) and len(found.images) == 56
  assert found.labels.tolist() == [item * 1000 for item in range(_COUNT) if item % 17]
  assert len(warnings) == 2 and "cannot be kept" in warnings[0] and "broken" in warnings[1]
  assert not _names(cache_dir)


def test_a_set_that_cannot_take_its_place_is_a_warning(stream, cache_dir, warnings, monkeypatch):
  def refuse(*_):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(partial, "_move", refuse)
  assert len(data.load("stream").images) == 56
  assert "cannot be kept" in warnings[0] and not _names(cache_dir)


# several at once


def test_another_process_at_the_same_set_is_left_alone(stream, cache_dir, warnings):
  _stop(stream, 30)
  (left,) = cache_dir.iterdir()
  before = (left / "journal").read_bytes()
  with (left / "journal").open("rb") as journal:
    claims._lock(journal)
    _check(data.load("stream"), warnings)  # In a folder of its own.
    assert (left / "journal").read_bytes() == before and len(_names(cache_dir)) == 2
  # It ends later, and finds another's in its place.
  (whole,) = set(cache_dir.iterdir()) - {left}
  shutil.rmtree(whole)
  whole.mkdir()
  (whole / "something").write_text("x")
  warnings.clear()
  _check(data.load("stream"), warnings)
  assert _names(cache_dir) == [whole.name] and "something" not in _names(whole)


def test_what_dead_processes_left_of_a_whole_set_is_removed(stream, cache_dir, warnings):
  _stop(stream, 30)
  (left,) = cache_dir.iterdir()
  for ending in ("1", "7", "0123456789abcdef"):
    shutil.copytree(left, left.with_name(f"{left.name[:-2]}-{ending}"))
  shutil.copytree(left, left.with_name("other.partial-0"))
  _check(data.load("stream"), warnings)
  assert _names(cache_dir) == sorted(["other.partial-0", left.name.removesuffix(".partial-0")])


def test_what_a_slower_process_left_is_removed_when_the_set_is_found(stream, cache_dir, warnings):
  _check(data.load("stream"), warnings)
  (whole,) = cache_dir.iterdir()
  for number in (0, 1):
    left = whole.with_name(f"{whole.name}.partial-{number}")
    left.mkdir()
    (left / "journal").write_text("x")
  with (left / "journal").open("rb") as journal:
    claims._lock(journal)
    data.load("stream")
    assert _names(cache_dir) == [whole.name, left.name]
  data.load("stream")
  assert _names(cache_dir) == [whole.name] and len(stream.decoded) == _COUNT


@pytest.mark.parametrize("is_known", [False, True])
def test_without_locks_each_has_a_folder_that_goes_with_it(
  stream, cache_dir, warnings, monkeypatch, is_known
):
  """As on Windows, or on a disk in a network that knows none."""
  if is_known:

    def refuse(*_):
      raise OSError(38, "Function not implemented")

    monkeypatch.setattr(claims.fcntl, "flock", refuse)
  else:
    monkeypatch.setattr(claims, "fcntl", None)
  _stop(stream, 30)
  for name in _names(cache_dir):
    assert name.endswith(".partial-0")  # What it tried to lock.
  old = cache_dir / _names(cache_dir)[0]
  _check(data.load("stream"), warnings)
  assert old.exists()  # Young: it may be a living one's.
  os.utime(old / "journal", (time.time() - 4000,) * 2)
  shutil.rmtree(old.with_name(old.name.removesuffix(".partial-0")))
  warnings.clear()
  _check(data.load("stream"), warnings)
  assert _names(cache_dir) == [old.name.removesuffix(".partial-0")]


def test_many_at_once_all_have_it_whole(tmp_path):
  """Processes that begin together, on a set that takes each a moment."""
  for value in range(40):
    save(tmp_path / "source" / f"{value:02d}.png", flat(value))
  context = multiprocessing.get_context("spawn")
  with context.Pool(3) as pool:
    arguments = [(tmp_path / "source", tmp_path / "cache")] * 6
    sums = pool.starmap(_sum, arguments, chunksize=1)
  assert len(set(sums)) == 1
  (folder,) = (tmp_path / "cache").iterdir()
  assert _names(folder) == ["about.json", "images.npy"]


def _sum(source, cache):
  pieces._PIECE_ITEMS = 2
  images = data.load(f"folder:{source}", cache_dir=cache).images
  return int(images.astype(int).sum()) + len(images)


# killed


_SCRIPT = """
import sys, time
from nsn_jax import data
from nsn_jax.data import decoding, pieces
pieces._PIECE_ITEMS, pieces._TASK_ITEMS = 8, 1
decode = decoding.decode
def slow(*given):
  time.sleep(0.002)
  return decode(*given)
decoding.decode = slow
data.load(sys.argv[1], image_size=8, cache_dir=sys.argv[2])
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
  """400 images that differ, in class folders, of which three are broken, one in the very middle."""
  root = tmp_path_factory.mktemp("many")
  random = np.random.default_rng(0)
  for number in range(400):
    path = root / "train" / "abcd"[number // 100] / f"{number:03d}.png"
    save(path, random.integers(0, 256, (8, 8, 3)))
    if number in (0, 200, 399):
      path.write_bytes(path.read_bytes()[:60])
  return root


@pytest.mark.parametrize("lines", [1, 2, 20, 40])
def test_a_killed_decoding_goes_on_and_ends_in_the_same_bytes(
  many, tmp_path, cache_dir, warnings, monkeypatch, lines
):
  name = f"folder:{many}"
  data.load(name, image_size=8, cache_dir=tmp_path / "whole")
  (whole,) = (tmp_path / "whole").iterdir()
  cache_dir.mkdir()
  command = [sys.executable, "-c", _SCRIPT, name, str(cache_dir)]
  process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})
  try:
    _wait_for_lines(cache_dir, lines)
  finally:
    process.send_signal(signal.SIGKILL)
    process.wait()
  (left,) = cache_dir.iterdir()
  assert left.name == f"{whole.name}.partial-0"
  asked = []
  decode = decoding.decode
  monkeypatch.setattr(
    decoding, "decode", lambda *given: asked.append(given[0].name) or decode(*given)
  )
  found = data.load(name, image_size=8)
  assert len(asked) <= 400 - 8 * (lines - 1)
  assert len(found.images) == 397 and _names(cache_dir) == [whole.name]
  for path in whole.iterdir():
    assert (cache_dir / whole.name / path.name).read_bytes() == path.read_bytes()
  assert len(set(warnings)) == 1 and "left out 3 of 400 images" in warnings[0]


def _wait_for_lines(folder, count):
  """Until the journal of the decoding in a folder has so many lines."""
  end = time.monotonic() + 120
  while time.monotonic() < end:
    for journal in pathlib.Path(folder).glob("*.partial-0/journal"):
      with contextlib.suppress(FileNotFoundError):
        if journal.read_bytes().count(b"\n") >= count:
          return
    time.sleep(0.001)
  pytest.fail("it did not come so far")
