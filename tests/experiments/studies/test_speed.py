"""The speed study's rows, and its products counted by hand."""

import pytest

import nsn_jax
from experiments.studies import speed


def test_it_gives_a_row_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(speed, "SIZES", ((500, 8, 4), (300, 12, 5)))
  rows = speed.em_rows(repeats=1)
  assert [(row["n"], row["d"], row["k"]) for row in rows] == [(500, 8, 4), (300, 12, 5)]
  assert all(row["nsn_jax"] > 0 and row["sklearn"] > 0 for row in rows)


def test_it_reads_images_at_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(speed, "READ", ((7, 8), (3, 16)))
  monkeypatch.setattr(speed, "_BATCH", 4)
  rows = speed.reader_rows(repeats=1)
  assert [(row["n"], row["side"]) for row in rows] == [(7, 8), (3, 16)]
  assert all(row["decoded"] > 0 and row["mapped"] > 0 for row in rows)


def test_products_of_a_sample_are_counted_by_hand(nsn: nsn_jax.NSN) -> None:
  a, b = nsn.num_filters
  expected = 2 * 2 * a * 196 + b * 4 * a + 784**2
  assert speed.sample_products(nsn, (28, 28)) == expected
