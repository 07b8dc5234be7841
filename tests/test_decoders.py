"""Closed-form decoders: against plain least squares, and what they bring back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import decoders, factors, network, sampler
from nsn_jax.decoders import Decoder, DecoderSums
from nsn_jax.filters import Filters
from nsn_jax.patches import extract_patches

KEY = jax.random.key(0)
K, WINDOW = 6, (2, 2, 1)


def _batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Feature maps [20, 3, 4, K], and patches below that follow from them but for a little noise."""
  rng, shared = np.random.default_rng(seed), np.random.default_rng(9)
  maps = rng.random((20, 3, 4, K)).astype(np.float32)
  below = maps @ shared.standard_normal((K, 4)) + 0.01 * rng.standard_normal((20, 3, 4, 4)) + 2.0
  return maps, below.reshape(20, 3, 4, *WINDOW).astype(np.float32)


def _fit(
  maps: np.ndarray, below: np.ndarray, start: Filters | jax.Array, ridge: float, **of
) -> Decoder:
  seen = decoders.fit_features(
    KEY, jnp.asarray(maps), **{"context": 1, "logits": False, "size": K} | of
  )
  basis = jnp.eye(4).reshape(4, *WINDOW)
  values = decoders.features(jnp.asarray(maps), seen)
  sums = decoders.decoder_sums(values, jnp.asarray(below), basis, start)
  bias, weight = decoders.solve_decoder(sums, ridge)
  return Decoder(seen, None if isinstance(start, Filters) else start, basis, bias, weight)


def _filters(below: np.ndarray) -> Filters:
  """Two filters, of patches whose first value is below and above its middle."""
  rows = below.reshape(-1, *WINDOW)
  high = rows[:, 0, 0, 0] > np.median(rows[:, 0, 0, 0])
  mean = np.stack([rows[high == j].mean(axis=0) for j in (False, True)])
  return Filters(jnp.asarray(mean), jnp.ones(2))


def test_a_linear_decoder_is_least_squares():
  maps, below = _batch()
  decoder = _fit(maps, below, jnp.asarray(below.mean(axis=(0, 1, 2))), 0.0)
  assert decoder.kind == "linear"
  found = decoders.linear_patches(jnp.asarray(maps), decoder)
  design = np.concatenate([maps.reshape(-1, K), np.ones((240, 1))], axis=1).astype(np.float64)
  flat = below.reshape(-1, 4)
  expected = design @ np.linalg.lstsq(design, flat, rcond=None)[0]
  # The bias alone has a ridge, of one patch in 240 about the mean: 0.
  np.testing.assert_allclose(np.asarray(found).reshape(-1, 4), expected, atol=1e-3)


def test_the_ridge_is_scikit_learns():
  from sklearn.linear_model import Ridge

  maps, below = _batch()
  mean = below.mean(axis=(0, 1, 2))
  decoder = _fit(maps, below, jnp.asarray(mean), 0.5)
  seen = np.asarray(decoders.features(jnp.asarray(maps), decoder.features)).reshape(-1, K)
  np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=1e-3)  # unit variance, uncorrelated
  np.testing.assert_allclose(seen.T @ seen / 240, np.eye(K), atol=1e-3)
  flat = (below - mean).reshape(-1, 4)
  peer = Ridge(alpha=0.5 * (240 + 100), fit_intercept=False).fit(seen, flat)
  np.testing.assert_allclose(decoder.weight[0], peer.coef_.T, atol=1e-3)


def test_a_corrected_decoder_is_least_squares_within_each_filter():
  maps, below = _batch()
  filters = _filters(below)
  decoder = _fit(maps, below, filters, 1e-6)
  assert decoder.kind == "corrected" and decoder.weight.shape == (2, K, 4)
  rows = below.reshape(-1, 4)
  mean = np.asarray(filters.mean).reshape(2, 4)
  own = ((rows[:, None] - mean) ** 2).sum(axis=2).argmin(axis=1)
  index = jnp.asarray(own.reshape(20, 3, 4))
  along = decoders.corrections(
    decoders.features(jnp.asarray(maps), decoder.features), index, decoder
  )
  found = filters.mean[index] + decoders.from_coordinates(along, decoder)
  for j in range(2):
    design = np.concatenate([maps.reshape(-1, K), np.ones((240, 1))], axis=1)[own == j]
    expected = design @ np.linalg.lstsq(design, rows[own == j], rcond=None)[0]
    # Ridge of the bias: one patch in some 120.
    np.testing.assert_allclose(
      np.asarray(found).reshape(-1, 4)[own == j], expected, atol=0.02 * np.abs(rows).max()
    )


def test_sums_are_additive():
  maps, below = _batch()
  filters = _filters(below)
  seen = decoders.fit_features(KEY, jnp.asarray(maps), context=1, logits=False, size=4)
  basis = jnp.eye(4).reshape(4, *WINDOW)

  def sums(part: slice) -> DecoderSums:
    values = decoders.features(jnp.asarray(maps[part]), seen)
    return decoders.decoder_sums(values, jnp.asarray(below[part]), basis, filters)

  both = jax.tree.map(jnp.add, sums(slice(7)), sums(slice(7, None)))
  for a, b in zip(both, sums(slice(None)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_neighbours_are_seen_and_the_border_is_repeated():
  maps = np.zeros((1, 3, 3, 1), np.float32)
  maps[0, 0, 0] = 1.0
  of = decoders.Features(jnp.zeros(9), jnp.eye(9), 3, False)
  seen = np.asarray(decoders.features(jnp.asarray(maps), of))[0]
  np.testing.assert_array_equal(seen[1, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0])
  np.testing.assert_array_equal(seen[0, 0], [1, 1, 0, 1, 1, 0, 0, 0, 0])
  assert not seen[2, 2].any()


@pytest.mark.parametrize("context", [1, 3])
def test_of_a_position_that_varies_along_two_directions_no_more_are_needed(context):
  rng = np.random.default_rng(0)
  maps = jnp.asarray((rng.random((20, 5, 5, 2)) @ rng.random((2, K))).astype(np.float32))
  options = {"context": context, "logits": False, "size": 2}
  whole, some = (decoders.fit_features(KEY, maps, **options, most=most) for most in (None, 2))
  assert whole.position is None
  if context == 1:  # nothing to save
    assert some.position is None
    return
  assert some.position.shape == (K, 2) and some.projection.shape == (18, 2)
  a, b = (np.asarray(decoders.features(maps, of)).reshape(-1, 2) for of in (whole, some))
  # The same directions, up to a turn of the two: as the products of all rows tell.
  np.testing.assert_allclose(a @ a.T, b @ b.T, atol=0.02 * np.abs(a @ a.T).max())


def test_features_without_variance_are_zero_and_not_infinite():
  flat = jnp.full((50, 2, 2, 5), 0.25)
  of = decoders.fit_features(KEY, flat, context=1, logits=True, size=3)
  assert np.isfinite(of.projection).all()
  assert not np.asarray(decoders.features(flat, of)).any()


def test_certain_similarities_have_finite_logits():
  maps = jnp.asarray(np.random.default_rng(0).integers(0, 2, (30, 2, 2, 4)).astype(np.float32))
  of = decoders.fit_features(KEY, maps, context=1, logits=True, size=4)
  assert np.isfinite(decoders.features(maps, of)).all()


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_exact_decoders_bring_real_maps_back_closer_than_drawn_filters(decoded_digits, layer):
  nsn, images = decoded_digits
  maps = network.encode(nsn, images[:40])
  below = images[:40] if layer == 0 else maps[layer - 1]
  stop = None if layer == 0 else layer - 1

  def error(decoder: str) -> float:
    setting = dataclasses.replace(nsn.config.sampler, decoder=decoder, gamma=400.0)
    plain = dataclasses.replace(nsn, contrast=None)
    found = sampler.decode(KEY, plain, maps[layer], setting, layer=layer, stop_layer=stop)
    return float(jnp.mean((found - below) ** 2))

  assert error("exact") < 0.8 * error("drawn")


def test_corrected_decoders_meet_what_they_are_fed_better(decoded_digits):
  nsn, images = decoded_digits
  top = nsn.config.layers[-1]
  below = network.encode(nsn, images)[-2]
  patches = extract_patches(below, top.kernel, top.stride)[:, 0, 0]
  fed = factors.reconstruct(patches, nsn.filters[-1])

  def error(decoder: str) -> float:
    setting = dataclasses.replace(nsn.config.sampler, decoder=decoder)
    found = sampler.decode(KEY, nsn, fed, setting, layer=1, stop_layer=0)
    return float(jnp.mean((found - network.encode(nsn, images)[0]) ** 2))

  assert error("fed") < 0.9 * error("drawn")


def test_decoders_that_do_not_fit_are_refused(decoded_digits):
  nsn, _ = decoded_digits
  good = nsn.exact[0]
  for field, value in (
    ("bias", good.bias[:, 1:]),
    ("basis", good.basis[1:]),
    ("mean", good.mean[1:]),
  ):
    bad = dataclasses.replace(good, **{field: value})
    with pytest.raises(ValueError, match=r"^nsn\.exact\[0\]\.\w+: expected shape"):
      network.check_sound("nsn", dataclasses.replace(nsn, exact=(bad, *nsn.exact[1:])))
  with pytest.raises(ValueError, match=r"^nsn.exact: expected a tuple of 3"):
    network.check_sound("nsn", dataclasses.replace(nsn, exact=nsn.exact[:2]))
