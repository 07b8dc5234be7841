"""The speed study's rows, and its products counted by hand."""

import dataclasses

import jax.numpy as jnp
import pytest

import nsn_jax
from experiments.paper import layouts
from experiments.studies import speed
from nsn_jax import decoder_features, decoders


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
  drawn = 2 * 2 * a * 196
  assert speed.sample_products(nsn) == drawn + b * 4 * a + 784**2
  # 5 features of a position and its neighbours, 3 values kept of each, and 7 directions.
  of = decoder_features.Features(jnp.zeros(27), jnp.zeros((27, 5)), 3, False, jnp.zeros((a, 3)))
  directions, weight = jnp.zeros((7, 14, 14, 1)), jnp.zeros((a, 5, 7))
  corrected = decoders.Decoder(of, None, directions, jnp.zeros((a, 7)), weight)
  fed = dataclasses.replace(nsn, fed=(corrected, None))
  own = 2 * 2 * (a * 3 + 27 * 5 + 5 * 7 + 7 * 196)
  assert speed.sample_products(fed) - speed.sample_products(nsn) == own - drawn
  # With the projection in the maps: from 27 values to 7 at once.
  at_once = dataclasses.replace(
    corrected,
    features=dataclasses.replace(of, center=jnp.zeros(3), projection=None),
    weight=jnp.zeros((a, 27, 7)),
  )
  fed = dataclasses.replace(nsn, fed=(at_once, None))
  own = 2 * 2 * (a * 3 + 27 * 7 + 7 * 196)
  assert speed.sample_products(fed) - speed.sample_products(nsn) == own - drawn


def test_sampling_is_timed_against_its_products(nsn: nsn_jax.NSN) -> None:
  found = speed.sampling(nsn, 3, rate=1e9)
  assert found["num_samples"] == 3 and found["num_filters"] == nsn.num_filters
  assert found["sample_products_seconds"] == pytest.approx(3e-9 * speed.sample_products(nsn))
  assert found["sample_ratio"] * found["sample_products_seconds"] == pytest.approx(
    found["sample_seconds"]
  )
  assert f"{found['sample_ratio']:.2f} times" in layouts.speed.sampling(found)
