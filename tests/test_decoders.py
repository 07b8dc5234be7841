"""Closed-form decoders: against plain least squares, and what they bring back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nsn_jax
from nsn_jax import decoder_features, decoder_training, decoders, factors, network, sampler
from nsn_jax.decoders import Decoder, DecoderSums
from nsn_jax.filters import Filters
from nsn_jax.patches import extract_patches
from nsn_jax.rows import Rows

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
  seen = decoder_features.fit_features(
    KEY, jnp.asarray(maps), **{"context": 1, "logits": False, "size": K} | of
  )
  basis = jnp.eye(4).reshape(4, *WINDOW)
  values = decoder_features.features(jnp.asarray(maps), seen)
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
  seen = np.asarray(decoder_features.features(jnp.asarray(maps), decoder.features)).reshape(-1, K)
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
    decoder_features.features(jnp.asarray(maps), decoder.features), index, decoder
  )
  found = filters.mean[index] + decoders.from_coordinates(along, decoder)
  for j in range(2):
    design = np.concatenate([maps.reshape(-1, K), np.ones((240, 1))], axis=1)[own == j]
    expected = design @ np.linalg.lstsq(design, rows[own == j], rcond=None)[0]
    # Ridge of the bias: one patch in some 120.
    np.testing.assert_allclose(
      np.asarray(found).reshape(-1, 4)[own == j], expected, atol=0.02 * np.abs(rows).max()
    )


def _sums_of(experts: list[tuple[np.ndarray, np.ndarray]]) -> DecoderSums:
  """Sums of each expert's features [n, F] and coordinates [n, B]."""
  with_one = [(np.c_[seen, np.ones(len(seen))], along) for seen, along in experts]
  gram = np.stack([rows.T @ rows for rows, _ in with_one])
  cross = np.stack([rows.T @ along for rows, along in with_one])
  return DecoderSums(jnp.asarray(gram, jnp.float32), jnp.asarray(cross, jnp.float32))


def _experts(counts: tuple[int, ...], noise: float) -> list[tuple[np.ndarray, np.ndarray]]:
  """Experts of a nearly common map of five features, each about its own mean."""
  rng = np.random.default_rng(3)
  shared, found = rng.standard_normal((5, 2)), []
  for count in counts:
    seen = rng.standard_normal((count, 5)) + rng.standard_normal(5)
    own = shared + 0.1 * rng.standard_normal((5, 2))
    along = seen @ own + rng.standard_normal(2) + noise * rng.standard_normal((count, 2))
    found.append((seen, along))
  return found


@pytest.mark.parametrize("common", [0.0, 7.0, 300.0])
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_each_map_is_least_squares_of_its_patches_and_of_all_experts_weighed(common, ridge):
  experts = _experts((40, 25, 60), 0.5)
  bias, weight = decoders.solve_decoder(_sums_of(experts), ridge, common)
  # One patch more at no features, for each expert; then each about its mean.
  rows = [tuple(np.r_[part, np.zeros((1, part.shape[1]))] for part in expert) for expert in experts]
  about = [(seen - seen.mean(axis=0), along - along.mean(axis=0)) for seen, along in rows]
  total = sum(len(seen) for seen, _ in experts)
  for j, ((seen, along), (own_seen, own_along)) in enumerate(zip(rows, about, strict=True)):
    each = np.sqrt(common / total)
    some = np.sqrt(ridge * (len(experts[j][0]) + 100.0)) * np.eye(5)
    design = np.concatenate([own_seen, *(each * other for other, _ in about), some])
    wanted = np.concatenate([own_along, *(each * other for _, other in about), np.zeros((5, 2))])
    expected = np.linalg.lstsq(design, wanted, rcond=None)[0]
    np.testing.assert_allclose(weight[j], expected, atol=1e-4)  # float32's sums of tens
    start = along.mean(axis=0) - seen.mean(axis=0) @ expected
    np.testing.assert_allclose(bias[j], start, atol=1e-4)


def test_with_many_patches_of_all_there_is_one_map_and_each_has_its_own_mean():
  experts = _experts((30, 80), 0.2)
  _, weight = decoders.solve_decoder(_sums_of(experts), 0.0, 1e6)
  rows = np.concatenate([seen for seen, _ in experts])
  which = np.repeat([0, 1], [30, 80])
  design = np.c_[rows, which == 0, which == 1]  # an intercept each
  expected = np.linalg.lstsq(design, np.concatenate([along for _, along in experts]), rcond=None)[0]
  # The patch more of each moves a mean of thirty a little.
  np.testing.assert_allclose(weight, np.broadcast_to(expected[:5], (2, 5, 2)), atol=0.1)
  np.testing.assert_allclose(weight[0], weight[1], atol=1e-3)


def test_experts_of_few_patches_decode_others_better_with_all_experts_help():
  experts = _experts((12,) * 30, 1.0)
  fitted = [(seen[:6], along[:6]) for seen, along in experts]

  def error(common: float) -> float:
    bias, weight = map(np.asarray, decoders.solve_decoder(_sums_of(fitted), 1e-2, common))
    others = [seen[6:] @ weight[j] + bias[j] - along[6:] for j, (seen, along) in enumerate(experts)]
    return float(np.mean(np.square(others)))

  assert error(5.0) < 0.8 * error(0.0)


def test_one_expert_alone_has_nobody_to_lean_on():
  sums = _sums_of(_experts((40,), 0.5))
  alone, leaning = (decoders.solve_decoder(sums, 0.0, common) for common in (0.0, 1e3))
  for a, b in zip(alone, leaning, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3)


def test_an_expert_without_patches_has_the_common_map():
  empty = (np.zeros((0, 5)), np.zeros((0, 2)))
  experts = _experts((40, 60), 0.2)
  bias, weight = decoders.solve_decoder(_sums_of([*experts, empty]), 1e-6, 50.0)
  assert np.isfinite(weight).all() and not np.asarray(bias[2]).any()
  low, high = np.minimum(weight[0], weight[1]), np.maximum(weight[0], weight[1])
  assert (weight[2] > low - 0.1).all() and (weight[2] < high + 0.1).all()
  alone = decoders.solve_decoder(_sums_of([empty, empty]), 1e-2, 50.0)
  assert not any(np.asarray(found).any() for found in alone)


def test_sums_are_additive():
  maps, below = _batch()
  filters = _filters(below)
  seen = decoder_features.fit_features(KEY, jnp.asarray(maps), context=1, logits=False, size=4)
  basis = jnp.eye(4).reshape(4, *WINDOW)

  def sums(part: slice) -> DecoderSums:
    values = decoder_features.features(jnp.asarray(maps[part]), seen)
    return decoders.decoder_sums(values, jnp.asarray(below[part]), basis, filters)

  both = jax.tree.map(jnp.add, sums(slice(7)), sums(slice(7, None)))
  for a, b in zip(both, sums(slice(None)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def test_folded_decoders_decode_the_same_with_fewer_products():
  maps, below = _batch()
  for start in (_filters(below), jnp.asarray(below.mean(axis=(0, 1, 2)))):
    fitted = _fit(maps, below, start, 0.01, context=3, size=8)
    found = decoders.folded(fitted)
    # 54 values of nine positions times 4 directions, in place of 54 times 8 features.
    assert found.features.projection is None and found.weight.shape[1:] == (54, 4)
    assert decoders.folded(found) is found
    index = jnp.asarray(np.random.default_rng(1).integers(0, 2, (20, 3, 4)), jnp.int32)
    # Moved maps, of another mean than the features', as well.
    for shared in (jnp.asarray(maps), jnp.asarray(maps + 0.3)):
      if fitted.kind == "linear":
        a, b = (decoders.linear_patches(shared, decoder) for decoder in (fitted, found))
      else:
        a, b = (
          decoders.corrections(decoders.seen_by(decoder, shared), index, decoder)
          for decoder in (fitted, found)
        )
      np.testing.assert_allclose(a, b, atol=1e-4)  # sums of 54 products, of weights near 10
    assert decoder_features.features(shared, found.features).shape == (20, 3, 4, 54)


def test_a_decoder_of_more_directions_than_features_stays_as_it_is():
  maps, below = _batch()
  fitted = _fit(maps, below, _filters(below), 0.01, size=2)
  assert decoders.folded(fitted) is fitted


@pytest.mark.parametrize("context", [1, 3, 5])
def test_numbers_of_neighbours_are_in_the_order_of_the_features(context):
  maps = np.random.default_rng(0).random((3, 4, 5, 2)).astype(np.float32)
  of = decoder_features.Features(jnp.full(2, 0.5), None, context, False)
  seen = decoder_features.features(jnp.asarray(maps), of)
  among = decoder_features.neighbours((3, 4, 5), context)
  alone = np.asarray(decoder_features.at_positions(jnp.asarray(maps), of)).reshape(-1, 2)
  np.testing.assert_array_equal(np.asarray(seen).reshape(60, -1), alone[among].reshape(60, -1))


def test_neighbours_are_seen_and_the_border_is_repeated():
  maps = np.zeros((1, 3, 3, 1), np.float32)
  maps[0, 0, 0] = 1.0
  of = decoder_features.Features(jnp.zeros(9), jnp.eye(9), 3, False)
  seen = np.asarray(decoder_features.features(jnp.asarray(maps), of))[0]
  np.testing.assert_array_equal(seen[1, 1], [1, 0, 0, 0, 0, 0, 0, 0, 0])
  np.testing.assert_array_equal(seen[0, 0], [1, 1, 0, 1, 1, 0, 0, 0, 0])
  assert not seen[2, 2].any()


@pytest.mark.parametrize("context", [1, 3])
def test_of_a_position_that_varies_along_two_directions_no_more_are_needed(context):
  rng = np.random.default_rng(0)
  maps = jnp.asarray((rng.random((20, 5, 5, 2)) @ rng.random((2, K))).astype(np.float32))
  options = {"context": context, "logits": False, "size": 2}
  whole, some = (
    decoder_features.fit_features(KEY, maps, **options, most=most) for most in (None, 2)
  )
  assert whole.position is None
  if context == 1:  # nothing to save
    assert some.position is None
    return
  assert some.position.shape == (K, 2) and some.projection.shape == (18, 2)
  a, b = (np.asarray(decoder_features.features(maps, of)).reshape(-1, 2) for of in (whole, some))
  # The same directions, up to a turn of the two: as the products of all rows tell.
  np.testing.assert_allclose(a @ a.T, b @ b.T, atol=0.02 * np.abs(a @ a.T).max())


def test_features_without_variance_are_zero_and_not_infinite():
  flat = jnp.full((50, 2, 2, 5), 0.25)
  of = decoder_features.fit_features(KEY, flat, context=1, logits=True, size=3)
  assert np.isfinite(of.projection).all()
  assert not np.asarray(decoder_features.features(flat, of)).any()


def test_certain_similarities_have_finite_logits():
  maps = jnp.asarray(np.random.default_rng(0).integers(0, 2, (30, 2, 2, 4)).astype(np.float32))
  of = decoder_features.fit_features(KEY, maps, context=1, logits=True, size=4)
  assert np.isfinite(decoder_features.features(maps, of)).all()


def test_of_few_images_maps_of_filters_lean_on_a_common_one(decoded_digits):
  nsn, images = decoded_digits
  fed = decoder_training.train_fed(KEY, nsn, Rows.of(images[:20]), lambda _: None)
  for decoder in fed[:-1]:
    weight = np.asarray(decoder.weight).reshape(len(decoder.weight), -1)
    common = weight.mean(axis=0)
    lengths = np.linalg.norm(weight, axis=1) * np.linalg.norm(common)
    # Each alone, half of them are within 0.4 of it, by their cosine; leaning, 0.8.
    assert np.median(weight @ common / lengths) > 0.6


def test_factors_and_decoders_speak_of_as_many_directions_as_are_asked_for(decoded_digits):
  nsn, images = decoded_digits
  few = tuple(dataclasses.replace(layer, num_directions=4) for layer in nsn.config.layers)
  found = nsn_jax.fit(KEY, images[:80], dataclasses.replace(nsn.config, layers=few))
  assert [len(decoder.basis) for decoder in found.fed[:-1]] == [4, 4]
  assert found.filters[-1].factors.loading.shape[1:] == (3, 4)
  assert np.isfinite(np.asarray(nsn_jax.sample(KEY, found, 4))).all()


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
