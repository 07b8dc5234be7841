"""What trainings are asked for, as `config.json` keeps it, and their records, row by row."""

import json

import pytest

import nsn_jax
from experiments.common import runs
from nsn_jax import files


def test_preset_of_a_data_set():
  assert runs.preset_of("mnist") == "mnist"
  assert runs.preset_of("folder:pictures") == runs.preset_of("lsun/church_outdoor") == "church"
  advice = r"has none of its own: experiments\.train takes one by --preset=\.\.\.$"
  with pytest.raises(ValueError, match=rf"preset: expected one of .*mnist.*{advice}"):
    runs.preset_of("npz:pictures.npz")


def _record(step: int) -> nsn_jax.Record:
  numbers = dict.fromkeys(nsn_jax.Record._fields, 1)
  return nsn_jax.Record(**numbers | {"phase": "em", "step": step})


def test_records_are_trimmed_whole_or_not_at_all(tmp_path, monkeypatch):
  for layer in range(3):
    runs.append_metrics(tmp_path, layer, [_record(0), _record(1)])
  with (tmp_path / runs.METRICS).open("ab") as file:  # Killed in the middle of a row.
    file.write(b'{"layer": 2, "phase": "\xff')
  before = (tmp_path / runs.METRICS).read_bytes()

  def full(*_):
    raise OSError("no space left")

  with monkeypatch.context() as patch:
    patch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError, match="no space left"):
      runs.trim_metrics(tmp_path, 2)
  assert (tmp_path / runs.METRICS).read_bytes() == before
  runs.trim_metrics(tmp_path, 2)
  assert runs.read_metrics(tmp_path) == [[_record(0), _record(1)]] * 2
  runs.append_metrics(tmp_path, 2, [_record(5)])
  assert runs.read_metrics(tmp_path)[2] == [_record(5)]
  runs.trim_metrics(tmp_path, 0)
  assert not list(tmp_path.iterdir())
  runs.trim_metrics(tmp_path, 0)  # There is nothing to trim.


def test_an_epoch_that_is_there_twice_is_read_once(tmp_path):
  assert runs.read_epochs(tmp_path) == []
  rows = [{"epoch": epoch, "seconds": seconds} for epoch, seconds in ((0, 1), (0, 2), (1, 3))]
  runs.write_epochs(tmp_path, rows)
  assert runs.read_epochs(tmp_path) == rows[1:]


@pytest.mark.parametrize("damaged", ["{", "[]", "7", "{}", '{"epoch": 0}\n{"epo', "\udcff"])
def test_damaged_epochs_are_one_line(damaged, tmp_path):
  (tmp_path / runs.EPOCHS).write_bytes(damaged.encode(errors="surrogateescape"))
  with pytest.raises(ValueError, match=r"epochs\.jsonl: expected a JSON object .*--overwrite"):
    runs.read_epochs(tmp_path)


def test_epochs_are_plain_lines(tmp_path):
  runs.write_epochs(tmp_path, [{"epoch": 0}, {"epoch": 1}])
  lines = (tmp_path / runs.EPOCHS).read_text().splitlines()
  assert [json.loads(line) for line in lines] == [{"epoch": 0}, {"epoch": 1}]
