"""Checkpoints: what was saved comes back, damage leads to the one before, others are refused."""

import asyncio
import shutil

import jax
import pytest
from absl import logging

from nsn_jax import baselines
from tests.baselines.helpers import KEY, begun, same, small


def test_checkpoints_keep_the_last_two(tmp_path, images):
  model = small("dcgan")
  states = [begun(model, jax.random.key(index)) for index in range(3)]
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch is None
    with pytest.raises(ValueError, match="checkpoints: expected at least one"):
      kept.restore(states[0])
    for epoch, state in enumerate(states):
      kept.save(epoch, state)
  with baselines.Checkpoints(tmp_path / "c") as kept:
    assert kept.last_epoch == 2
    epoch, state = kept.restore(states[0])
    assert epoch == 2 and same(state, states[2])
    for epoch in (1, 2):
      with pytest.raises(ValueError, match=f"epoch: expected one after 2, .* got {epoch}"):
        kept.save(epoch, states[0])
    with pytest.raises(ValueError, match="checkpoints: expected one of this model, got another"):
      kept.restore(begun(small("dcgan", width=3)))
    with pytest.raises(ValueError, match="checkpoints: expected one of this model, got another"):
      kept.restore(begun(small("vae")))
  assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["1", "2"]


def test_a_state_without_moments_comes_back(tmp_path):
  model = small("gan")
  state = begun(model)
  assert state.moments == {}
  with baselines.Checkpoints(tmp_path / "c") as kept:
    kept.save(0, state)
    _, found = kept.restore(jax.eval_shape(model.init, KEY))
  assert jax.tree.structure(found) == jax.tree.structure(state) and same(found, state)


@pytest.fixture(scope="module")
def states():
  return [begun(small("vae"), jax.random.key(index)) for index in range(3)]


@pytest.fixture(scope="module")
def two(tmp_path_factory, states):
  """Epochs 0 and 1; a test changes a copy."""
  folder = tmp_path_factory.mktemp("two") / "c"
  with baselines.Checkpoints(folder) as kept:
    kept.save(0, states[0])
    kept.save(1, states[1])
  return folder


def _cut(place):
  for path in (place / "default" / "d").iterdir():
    path.write_bytes(path.read_bytes()[:10])


def _flip(place):
  for path in (place / "default" / "d").iterdir():
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _empty(place):
  for path in place.rglob("*"):
    if path.is_file():
      path.write_bytes(b"")


def _forget_the_tree(place):
  (place / "default" / "_METADATA").unlink()


def _of_before(place):
  # As a version that kept no sums left it.
  (place / "sha256.json").unlink()
  (place / "default" / "_METADATA").write_text("{")


@pytest.mark.parametrize(
  "damage",
  [
    _cut,
    _flip,
    _empty,
    _forget_the_tree,
    _of_before,
    lambda p: shutil.rmtree(p / "default"),
  ],
)
def test_a_damaged_checkpoint_leads_to_the_one_before(damage, two, tmp_path, states, warnings):
  folder = tmp_path / "c"
  shutil.copytree(two, folder)
  damage(folder / "1")
  with baselines.Checkpoints(folder) as kept:
    epoch, state = kept.restore(states[2])
    assert epoch == 0 and same(state, states[0])
    (told,) = warnings
    assert told.startswith(f"checkpoints: epoch 1 in {folder} is damaged (") and "\n" not in told
    # Training goes on from there, and writes the damaged one anew.
    kept.remove_after(epoch)
    kept.save(1, states[2])
    epoch, state = kept.restore(states[0])
    assert epoch == 1 and same(state, states[2]) and len(warnings) == 1


def test_damaged_ones_alone_are_one_line(two, tmp_path, states, warnings):
  folder = tmp_path / "c"
  shutil.copytree(two, folder)
  for epoch in ("0", "1"):
    _cut(folder / epoch)
  with (
    baselines.Checkpoints(folder) as kept,
    pytest.raises(
      ValueError, match=r"^checkpoints: expected one that can be read in .*epochs 0, 1$"
    ),
  ):
    kept.restore(states[0])
  first, second = warnings
  assert first.endswith("): the one before it is taken") and second.endswith(")")


#: Damage that only orbax finds, where no sums are kept, by the names of its files.
_FOUND_BY_ORBAX = {
  "cut": _cut,
  "flipped": _flip,
  "emptied": _empty,
  "no tree": _forget_the_tree,
  "a tree of no text": lambda p: (p / "default" / "_METADATA").write_text("{"),
  "no arrays": lambda p: shutil.rmtree(p / "default" / "d"),
  "no index": lambda p: (p / "default" / "manifest.ocdbt").unlink(),
  "index": lambda p: (p / "default" / "manifest.ocdbt").write_text("{}"),
  "no item": lambda p: shutil.rmtree(p / "default"),
  "nothing": lambda p: [shutil.rmtree(p), p.mkdir()],
}


def restore_damaged(two, tmp_path):
  """What is printed of each kind of damage, of the last epoch and of both, is between its lines."""
  for name, damage in _FOUND_BY_ORBAX.items():
    for epochs in ((1,), (0, 1)):
      print(f"== {name} {len(epochs)}", flush=True)
      folder = tmp_path / "c"
      shutil.copytree(two, folder)
      for epoch in (0, 1):
        (folder / str(epoch) / "sha256.json").unlink()
      for epoch in epochs:
        damage(folder / str(epoch))
      with baselines.Checkpoints(folder) as kept:
        try:
          epoch, _ = kept.restore(jax.eval_shape(small("vae").init, KEY))
          print("restored", epoch, flush=True)
        except ValueError as error:
          print("ValueError:", error, flush=True)
      shutil.rmtree(folder)


@pytest.mark.parametrize("is_in_a_loop", [False, True])  # As in a notebook.
def test_damage_that_orbax_finds_is_a_line_an_epoch(is_in_a_loop, two, tmp_path, run_python):
  printed = run_python(f"""
import asyncio, gc, os, pathlib, time
os.dup2(1, 2)
from tests.baselines.test_checkpoints import restore_damaged
places = pathlib.Path({str(two)!r}), pathlib.Path({str(tmp_path)!r})
async def main():
  restore_damaged(*places)
if {is_in_a_loop}:
  asyncio.run(main())
else:
  restore_damaged(*places)
time.sleep(0.5)  # Threads of the library below may have more to say,
gc.collect()  # and what is let go.
""")
  cases = printed.split("== ")[1:]
  assert len(cases) == 2 * len(_FOUND_BY_ORBAX)
  for case in cases:
    head, *lines = case.splitlines()
    of_both = head.endswith("2")
    assert len(lines) == 2 + of_both, case
    assert "checkpoints: epoch 1 in " in lines[0] and " is damaged (" in lines[0], case
    if of_both:
      assert "checkpoints: epoch 0 in " in lines[1], case
      assert lines[2].startswith("ValueError: checkpoints: expected one that can be read in"), case
    else:
      assert lines[1] == "restored 0", case


def test_orbax_is_kept_quiet_while_it_reads_and_no_longer(two, monkeypatch, states):
  before = asyncio.get_event_loop_policy()
  filters = list(logging.get_absl_logger().filters)
  with baselines.Checkpoints(two) as kept:
    kept.restore(states[0])

    def broken(*_):
      raise KeyboardInterrupt

    monkeypatch.setattr(kept, "_restore", broken)
    with pytest.raises(KeyboardInterrupt):
      kept.restore(states[0])
  assert asyncio.get_event_loop_policy() is before
  assert logging.get_absl_logger().filters == filters


def test_what_earlier_versions_left_is_read(two, tmp_path, states, warnings):
  folder = tmp_path / "c"
  shutil.copytree(two, folder)
  (folder / "1" / "sha256.json").unlink()
  with baselines.Checkpoints(folder) as kept:
    epoch, state = kept.restore(states[0])
  assert epoch == 1 and same(state, states[1]) and not warnings


def test_what_a_killed_writer_left_is_no_checkpoint_and_removed(two, tmp_path, states):
  folder = tmp_path / "c"
  shutil.copytree(two, folder)
  (folder / "1").rename(folder / "1.orbax-checkpoint-tmp")
  (folder / "notes.txt").write_text("mine")
  with baselines.Checkpoints(folder) as kept:
    assert kept.last_epoch == kept.restore(states[0])[0] == 0
    kept.remove_after(0)
    assert {path.name for path in folder.iterdir()} == {"0", "notes.txt"}
    kept.remove_after(None)
    assert kept.last_epoch is None
    kept.save(0, states[0])
