"""What trainings are asked for, as `config.json` keeps it."""

import pytest

from experiments.common import runs


def test_preset_of_a_data_set():
  assert runs.preset_of("mnist") == "mnist"
  assert runs.preset_of("folder:pictures") == runs.preset_of("lsun/church_outdoor") == "church"
  advice = r"has none of its own: experiments\.train takes one by --preset=\.\.\.$"
  with pytest.raises(ValueError, match=rf"preset: expected one of .*mnist.*{advice}"):
    runs.preset_of("npz:pictures.npz")
