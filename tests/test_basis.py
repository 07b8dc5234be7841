"""Coordinates in a layer's basis: distances, means, and what fit finds by them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import basis, em, layer, stream, training
from nsn_jax.config import LayerConfig
from nsn_jax.filters import Filters
from nsn_jax.placement import cut
from nsn_jax.range_finder import range_finder

KEY = jax.random.key(0)
#: Values a patch, and directions that patches of `_low_rank` hardly leave.
WINDOW, DIRECTIONS = (4, 4, 40), 30


def _low_rank(count: int, seed: int = 0, outside: float = 0.02) -> np.ndarray:
  """Patches of 640 values near a few clusters in 30 directions, a little outside of them."""
  rng = np.random.default_rng(seed)
  shared = np.random.default_rng(99)
  d = int(np.prod(WINDOW))
  directions = np.linalg.qr(shared.standard_normal((d, DIRECTIONS)))[0].T
  centers = 3.0 * shared.standard_normal((12, DIRECTIONS))
  inside = centers[rng.integers(0, 12, count)] + rng.standard_normal((count, DIRECTIONS))
  patches = inside @ directions + outside * rng.standard_normal((count, d)) + 5.0
  return patches.reshape(count, *WINDOW).astype(np.float32)


def test_range_finder_is_a_singular_value_decomposition():
  rows = _low_rank(300).reshape(300, -1)
  rows = rows - rows.mean(axis=0)
  directions, power = (np.asarray(x) for x in range_finder(KEY, jnp.asarray(rows), size=46))
  _, singular, vectors = np.linalg.svd(rows, full_matrices=False)
  np.testing.assert_allclose(directions @ directions.T, np.eye(46), atol=1e-5)
  assert (np.diff(power) <= 0).all()
  # The leading 30 stand far above the rest: one power iteration finds them to float32.
  np.testing.assert_allclose(power[:DIRECTIONS], singular[:DIRECTIONS] ** 2, rtol=1e-4)
  overlap = np.linalg.norm(directions[:DIRECTIONS] @ vectors[:DIRECTIONS].T, axis=1)
  np.testing.assert_allclose(overlap, 1.0, atol=1e-4)


def test_distances_within_a_filter_are_kept_within_half_a_percent():
  patches = _low_rank(2000)
  found = basis.find_basis(KEY, jnp.asarray(patches[:1000]))
  assert found is not None and found.scale.size < patches[0].size / 1.5
  held_out = jnp.asarray(patches[1000:])
  seen = basis.coordinates(held_out, found)
  # To the mean of the nearest dozen, as to a filter's.
  flat, flat_seen = (np.asarray(x, np.float64).reshape(1000, -1) for x in (held_out, seen))
  exact, near = [], []
  for i in range(0, 1000, 50):
    order = np.argsort(((flat - flat[i]) ** 2).sum(axis=1))[1:13]
    exact.append(((flat[i] - flat[order].mean(axis=0)) ** 2).sum())
    near.append(((flat_seen[i] - flat_seen[order].mean(axis=0)) ** 2).sum())
  assert np.std(np.asarray(near) / exact) < 0.005
  assert np.mean(np.asarray(near) / exact) == pytest.approx(1.0, abs=0.005)


def test_what_is_not_worth_it_has_no_basis():
  noise = np.random.default_rng(0).standard_normal((600, 16, 16, 3)).astype(np.float32)
  assert basis.find_basis(KEY, jnp.asarray(noise)) is None  # every direction counts
  assert basis.find_basis(KEY, jnp.asarray(noise[:, :4, :4])) is None  # 48 values
  same = jnp.ones((200, *WINDOW))
  found = basis.find_basis(KEY, same)  # no variance at all
  assert found is None or np.isfinite(basis.coordinates(same, found)).all()


def test_lifted_filters_are_the_patches_own():
  patches = jnp.asarray(_low_rank(1500))
  found = basis.find_basis(KEY, patches)
  assert found is not None
  index = np.arange(1500) % 7
  seen = basis.coordinates(patches, found)
  means = np.stack([np.asarray(seen)[index == j].mean(axis=0) for j in range(7)])
  lifted = basis.lift(Filters(jnp.asarray(means), jnp.ones(7)), found)
  exact = np.stack([np.asarray(patches)[index == j].mean(axis=0) for j in range(7)])
  # What lies outside of the basis is missing: 0.02 a value, over 200 patches of a mean.
  np.testing.assert_allclose(lifted.mean, exact, atol=0.02)


def test_a_layer_by_coordinates_fits_as_well_as_one_without():
  patches = _low_rank(1200)
  config = LayerConfig(
    kernel=4, stride=1, threshold=-2.0, growth_patches=1200, exchange_steps=3, max_passes=4
  )
  told: dict[bool, list] = {}
  for use_basis in (True, False):
    changed = dataclasses.replace(config, use_basis=use_basis)
    filters, history = training.fit_layer(KEY, patches, changed)
    statistics = em.e_step(jnp.asarray(patches), filters)
    told[use_basis] = [filters.num_filters, float(em.mean_similarity(statistics)), history]
  by_basis, exact = told[True], told[False]
  assert {r.phase for r in by_basis[2]} == {"growth", "exchange", "sample", "em"}
  assert {r.phase for r in exact[2]} == {"growth", "exchange", "em"}
  assert [r.phase for r in by_basis[2]].count("em") == 1  # the last pass, on the patches themselves
  assert by_basis[0] == exact[0]
  # Log-densities a value: 1% of a deviation of 1.
  assert by_basis[1] == pytest.approx(exact[1], abs=0.01)


def test_settling_never_lowers_the_mean_similarity():
  patches = jnp.asarray(_low_rank(800))
  bank = Filters(patches[:9], jnp.full(9, 100.0))
  config = LayerConfig(kernel=4, stride=1, max_passes=6, tolerance=0.0)
  first = float(em.mean_similarity(em.e_step(patches, bank)))
  last = float(em.mean_similarity(em.e_step(patches, layer.settle(cut(patches), bank, config))))
  assert last > first
  maps = stream.MapStream(np.asarray(patches))
  refined = layer.refine(maps, bank, config)
  again = float(em.mean_similarity(em.e_step(patches, refined)))
  assert last == pytest.approx(again, rel=1e-5)  # EM on the same patches
