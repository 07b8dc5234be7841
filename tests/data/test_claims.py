"""Whose folder it is, where several come at once."""

import pytest

from nsn_jax.data import claims


def test_living_ones_have_a_folder_each_and_a_dead_ones_is_taken_up(tmp_path):
  taken = [claims.claimed(tmp_path / "x") for _ in range(3)]
  assert [claim.folder.name for claim in taken] == [f"x.partial-{n}" for n in range(3)]
  assert all(claim.is_locked for claim in taken)
  taken[1].journal.close()  # As the end of its process does.
  again = claims.claimed(tmp_path / "x")
  assert again.folder == taken[1].folder
  for claim in (*taken, again):
    claim.journal.close()


def test_more_than_there_are_names_for_have_folders_of_their_own(tmp_path, monkeypatch):
  monkeypatch.setattr(claims, "_MOST_FOLDERS", 1)
  taken = [claims.claimed(tmp_path / "x") for _ in range(3)]
  assert [claim.is_locked for claim in taken] == [True, False, False]
  assert len({claim.folder for claim in taken}) == 3
  for claim in taken:
    claim.journal.close()


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_folder_that_moved_while_it_was_claimed_is_not_taken(tmp_path, monkeypatch, is_made_anew):
  """Its process was done between our opening of the file and our lock."""
  lock = claims._lock

  def late(file):
    folder = tmp_path / "x.partial-0"
    if not (tmp_path / "x").exists():
      folder.rename(tmp_path / "x")
      if is_made_anew:
        folder.mkdir()
        (folder / claims.JOURNAL).touch()
    lock(file)

  monkeypatch.setattr(claims, "_lock", late)
  claim = claims.claimed(tmp_path / "x")
  assert claim.folder.name == "x.partial-1" and claim.is_locked
  claim.journal.close()


def test_only_what_is_dead_is_removed(tmp_path):
  dead, living = (claims.claimed(tmp_path / "x") for _ in range(2))
  dead.journal.close()
  claims.remove_dead(tmp_path / "x")
  assert not dead.folder.exists() and living.folder.exists()
  living.journal.close()
