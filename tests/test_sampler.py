"""NSN-Gen: draws against chi-square, sums against numpy, the shortcut against Monte Carlo.

XLA takes seconds to compile random numbers for a CPU, so most tests share `NUM` samples and the
same knobs, and with them a program.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nsn_jax import budgets
from nsn_jax import sampler as sampling
from nsn_jax.config import LayerConfig, NetworkConfig, SamplerConfig
from nsn_jax.decoder_features import Features
from nsn_jax.decoders import Decoder, folded
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.sampler import decode, draw_weights, sample
from nsn_jax.whitening import Whitening, fit_whitening
from tests import oracles

KEY = jax.random.key(0)
SHARP = 1e6  # softmax(SHARP * h) is one-hot for features that differ by 1e-4 and more
NUM = 8
WINDOWS = ((3, 2), (2, 1), (2, 1))
SIZES = (5, 7)  # 5 -> 2 -> 1 with two layers, 7 -> 3 -> 2 -> 1 with three
CHANNELS = 2
NUM_FILTERS = (5, 4, 3)
DEFAULTS = SamplerConfig(gamma=3.0, num_draws=(2, 1), alpha=(0.3, 0.0), beta=1.5)

_draw = jax.jit(draw_weights, static_argnums=3)
_decode_layer = jax.jit(sampling.decode_layer, static_argnames="static")


def _whitening(size: int) -> Whitening:
  images = np.random.default_rng(5).integers(0, 256, (80, size, size, CHANNELS)).astype(np.uint8)
  return fit_whitening(images, 0.1)


def _network(layers: int = 2, whitened: bool = False, sampler: SamplerConfig = DEFAULTS) -> NSN:
  """Random filters of two layers, or of three."""
  rng = np.random.default_rng(0)
  stack, channels = [], CHANNELS
  for (kernel, _), k in zip(WINDOWS[:layers], NUM_FILTERS, strict=False):
    mean = rng.random((k, kernel, kernel, channels)).astype(np.float32)
    variance = rng.uniform(0.2, 2.0, k).astype(np.float32)
    stack.append(Filters(jnp.asarray(mean), jnp.asarray(variance)))
    channels = k
  config = NetworkConfig(
    layers=tuple(LayerConfig(kernel=k, stride=s) for k, s in WINDOWS[:layers]),
    whitening_epsilon=0.1 if whitened else None,
    sampler=sampler,
  )
  return NSN(tuple(stack), _whitening(SIZES[layers - 2]) if whitened else None, config)


def _maps(layer: int, height: int = 1, width: int = 1) -> np.ndarray:
  rng = np.random.default_rng(2)
  return rng.random((NUM, height, width, NUM_FILTERS[layer])).astype(np.float32)


def _one_hot(index: list[int], k: int) -> np.ndarray:
  return np.eye(k, dtype=np.float32)[index][:, None, None]


def _oracle(
  nsn: NSN, feature_map: np.ndarray, top: int, beta: tuple[float, ...], stop: int = 0
) -> np.ndarray:
  """Decoding in float64 where every position takes its argmax filter and alpha is 0."""
  h = np.asarray(feature_map, np.float64)
  for index in range(top, stop - 1, -1):
    mean = np.asarray(nsn.filters[index].mean, np.float64)
    patches = beta[index] * mean[h.argmax(axis=-1)]
    h = oracles.stitch_by_loops(patches, nsn.config.layers[index].stride)
  return h


def _keys(count: int, seed: int = 0) -> jax.Array:
  return jax.random.split(jax.random.key(seed), count)


# the draws


@pytest.mark.parametrize("num_draws", [1, 3, 8])
def test_weights_are_shares_of_the_draws(num_draws):
  h = np.random.default_rng(0).standard_normal((50, 2, 3, 6)).astype(np.float32)
  weights = np.asarray(_draw(_keys(50), h, 2.0, num_draws))
  assert weights.shape == h.shape and weights.dtype == np.float32
  drawn = weights * num_draws
  np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-6)
  np.testing.assert_allclose(weights.sum(axis=-1), 1.0, atol=1e-6)
  assert weights.min() >= 0
  assert len(np.unique(weights.reshape(50, -1), axis=0)) > 40  # Each key draws for itself.
  assert np.ptp(weights, axis=(1, 2)).any()  # So does each position.


@pytest.mark.parametrize(("gamma", "num_draws"), [(0.0, 1), (2.0, 1), (2.0, 3), (200.0, 1)])
def test_draws_follow_the_softmax(gamma, num_draws):
  n, k = 8000, 7
  h = np.linspace(0.5, 0.53 if gamma > 100 else 2.0, k)[[3, 0, 6, 1, 5, 2, 4]].astype(np.float32)
  weights = np.asarray(_draw(_keys(n), np.broadcast_to(h, (n, 1, 1, k)), gamma, num_draws)).reshape(
    n, k
  )
  p = np.exp(gamma * (h.astype(np.float64) - h.max()))
  p /= p.sum()
  observed = (weights * num_draws).sum(axis=0)
  # Draws are independent, within a position too, so all of them make one multinomial. The key is
  # fixed: one chance in a thousand of a false alarm, once.
  assert scipy.stats.chisquare(observed, n * num_draws * p).pvalue > 1e-3
  # Their covariance is (diag p - p p^T) / T. An entry is a mean of n products below 1 whose
  # standard deviation is below 1/2: five standard errors.
  expected = (np.diag(p) - np.outer(p, p)) / num_draws
  np.testing.assert_allclose(np.cov(weights.T), expected, atol=5 * 0.5 / np.sqrt(n))


def test_a_large_gamma_takes_the_argmax():
  h = np.random.default_rng(0).random((40, 2, 2, 30)).astype(np.float32)
  weights = np.asarray(_draw(_keys(40), h, SHARP, 4))
  np.testing.assert_array_equal(weights, np.eye(30)[h.argmax(axis=-1)])


def test_products_beyond_float32_take_the_argmax():
  h = np.array([0.1, 0.9, 0.3], np.float32)
  for gamma, scale in ((3e38, 1), (3e38, 100), (400.0, 1e37)):
    maps = np.broadcast_to(scale * h, (5, 1, 1, 3)).astype(np.float32)
    np.testing.assert_array_equal(_draw(_keys(5), maps, gamma, 2)[:, 0, 0], [[0, 1, 0]] * 5)


def test_filters_without_odds_are_never_drawn():
  # exp(-1e6 * ...) is 0 at both ends and between.
  h = np.array([-1.0, 0.7, -1.0, 0.7, -1.0], np.float32)
  weights = _draw(_keys(3000), np.broadcast_to(h, (3000, 1, 1, 5)), SHARP, 1)
  share = np.asarray(weights).mean(axis=(0, 1, 2))
  assert share[[0, 2, 4]].tolist() == [0, 0, 0]
  # Two equal ones: five standard errors of 1/2 / sqrt(3000).
  np.testing.assert_allclose(share[[1, 3]], 0.5, atol=5 * 0.5 / np.sqrt(3000))


def test_one_filter_is_always_drawn():
  np.testing.assert_array_equal(_draw(_keys(3), jnp.zeros([3, 2, 2, 1]), 5.0, 3), 1.0)


# decoding against numpy


@pytest.mark.parametrize("whitened", [False, True])
def test_decode_of_one_hot_maps_equals_numpy(whitened):
  nsn, beta = _network(whitened=whitened), (1.5, 0.8)
  maps = _one_hot([0, 1, 2, 3, 2, 1, 0, 3], 4)
  found = decode(KEY, nsn, maps, SamplerConfig(gamma=SHARP, beta=beta))
  expected = _oracle(nsn, maps, 1, beta)
  if whitened:
    mean, _, inverse = (np.asarray(a, np.float64) for a in nsn.whitening)
    flat = expected.reshape(NUM, -1, CHANNELS)
    flat = np.stack([flat[..., i] @ inverse[i] for i in range(CHANNELS)], axis=-1)
    expected = flat.reshape(expected.shape) + mean
  assert found.shape == (NUM, 5, 5, CHANNELS) and found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums of values near 1
  assert np.abs(expected[0] - expected[1]).max() > 0.1


def test_decode_to_a_lower_map_equals_numpy():
  # A lower map is never un-whitened.
  nsn, maps, beta = _network(3, True, SamplerConfig()), _maps(2), (1.5, 0.8, 2.0)
  knobs = SamplerConfig(gamma=SHARP, beta=beta)
  for stop_layer, side in ((1, 2), (0, 3)):
    found = decode(KEY, nsn, maps, knobs, stop_layer=stop_layer)
    assert found.shape == (NUM, side, side, NUM_FILTERS[stop_layer])
    expected = _oracle(nsn, maps, 2, beta, stop_layer + 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums of values near 1
  # The rest of the way, from there, is the way at once.
  rest = decode(KEY, nsn, found, knobs, layer=0)
  np.testing.assert_allclose(rest, decode(KEY, nsn, maps, knobs), atol=1e-5)


def test_decode_of_a_map_of_another_size():
  maps = _maps(1, 4, 3)
  found = decode(KEY, _network(), maps, SamplerConfig(gamma=SHARP))
  assert found.shape == (NUM, 11, 9, CHANNELS)  # 4 -> 5 -> 11 and 3 -> 4 -> 9
  np.testing.assert_allclose(found, _oracle(_network(), maps, 1, (1.0,) * 2), atol=1e-5)
  with pytest.raises(ValueError, match=r"^feature_map: expected .*at most 5 x 5.*got.* 11 x 9"):
    decode(KEY, _network(whitened=True), maps)


def test_decode_moves_with_its_map():
  nsn, maps = _network(), _maps(0, 4, 4)
  found, other = (
    decode(KEY, nsn, m, SamplerConfig(gamma=SHARP), layer=0) for m in (maps, np.roll(maps, 1, 1))
  )
  # Rows 2 to 5 see the windows 0 to 2 alone, and a step of the map is two pixels.
  np.testing.assert_allclose(found[:, 2:6], other[:, 4:8], atol=1e-6)


# decoders


def _decoders(k: int, window: tuple[int, int, int]) -> dict[str, Decoder]:
  """A linear one and a corrected one, of random numbers, that see a position and its neighbours."""
  rng = np.random.default_rng(6)
  size, num_features = 3, 4

  def normal(*shape: int) -> jax.Array:
    return jnp.asarray(rng.standard_normal(shape).astype(np.float32))

  of = Features(normal(9 * k), normal(9 * k, num_features), context=3, logits=False)
  basis = normal(size, *window)
  one, each = ((normal(e, size), normal(e, num_features, size)) for e in (1, k))
  return {
    "linear": Decoder(of, normal(*window), basis, *one),
    "corrected": Decoder(of, None, basis, *each),
  }


def _decoded_by_loops(
  maps: np.ndarray, decoder: Decoder, mean: np.ndarray, stride: int
) -> np.ndarray:
  """In float64, the filter of each position its argmax."""
  positions = maps.shape[:3]
  padded = np.pad(maps.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
  center, projection, basis, bias, weight = (
    np.asarray(x, np.float64)
    for x in (
      decoder.features.center,
      decoder.features.projection,
      decoder.basis,
      decoder.bias,
      decoder.weight,
    )
  )
  patches = np.empty((*positions, *mean.shape[1:]))
  for i, y, x in np.ndindex(*positions):
    seen = (padded[i, y : y + 3, x : x + 3].ravel() - center) @ projection
    j = int(maps[i, y, x].argmax())
    expert, start = (j, mean[j]) if decoder.mean is None else (0, np.asarray(decoder.mean))
    patches[i, y, x] = start + np.tensordot(bias[expert] + seen @ weight[expert], basis, 1)
  return oracles.stitch_by_loops(patches, stride)


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.parametrize("kind", ["linear", "corrected"])
def test_decoders_equal_numpy_in_batches_of_any_size(kind, folds):
  n, k, window, stride = 6, 5, (3, 3, 2), 2
  rng = np.random.default_rng(7)
  maps = rng.random((n, 2, 3, k)).astype(np.float32)
  mean = rng.standard_normal((k, *window)).astype(np.float32)
  filters, decoder = Filters(jnp.asarray(mean), jnp.ones(k)), _decoders(k, window)[kind]
  knobs = sampling._Knobs(np.float32(SHARP), np.float32(0.0), np.float32(1.5))
  expected = 1.5 * _decoded_by_loops(maps, decoder, mean, stride)
  if folds:
    decoder = folded(decoder)
    assert decoder.features.projection is None
  for batch in (1, 2, n):
    # What was asked for more than once is drawn once: a decoder's filter is one.
    static = sampling._Static(LayerConfig(kernel=3, stride=stride), 3, False, batch)
    found = _decode_layer(_keys(n), maps, filters, knobs, static, decoder)
    # Sums of some dozens of products near 1, five deep, in float32.
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_a_corrected_filter_has_the_noise_of_its_variance():
  # One position: a deviation of alpha beta sqrt(v_j / D) about the corrected mean.
  n, k, window = 4000, 2, (2, 2, 1)
  filters = Filters(jnp.zeros((k, *window)), jnp.array([4.0, 36.0]))
  decoder = _decoders(k, window)["corrected"]
  maps = np.zeros((n, 1, 1, k), np.float32)
  maps[np.arange(n), 0, 0, np.arange(n) % 2] = 1.0  # even ones are of the first filter
  knobs = sampling._Knobs(np.float32(SHARP), np.float32(0.5), np.float32(2.0))
  layer = LayerConfig(kernel=2, stride=1)
  noisy, plain = (
    np.asarray(
      _decode_layer(
        _keys(n), maps, filters, knobs, sampling._Static(layer, 1, noise, n // 4), decoder
      )
    ).reshape(n, -1)
    for noise in (True, False)
  )
  noise = noisy - plain
  for j, deviation in enumerate((1.0, 3.0)):
    # 2,000 x 4 numbers: a deviation's standard error is 1 / sqrt(16,000), five of them.
    np.testing.assert_allclose(noise[j::2].std(), deviation, rtol=0.04)
  # Of two deviations a correlation's standard error is 1.3 / sqrt(n): nearly four of them.
  correlation = np.corrcoef(noise.T) - np.eye(4)
  assert np.abs(correlation).max() < 5 / np.sqrt(n)
  assert len(np.unique(noise[:, 0])) > 0.99 * n  # each of its own key


# the shortcut


def _same_moments(a: np.ndarray, b: np.ndarray) -> bool:
  """Whether two samples [n, d] agree in means and covariances to five standard errors."""

  def close(x: np.ndarray, y: np.ndarray) -> bool:
    error = np.sqrt((x.var(axis=0) + y.var(axis=0)) / len(x))
    return bool((np.abs(x.mean(axis=0) - y.mean(axis=0)) < 5 * error).all())

  def products(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return centred[:, :, None] * centred[:, None, :]

  return close(a, b) and close(products(a), products(b))


def test_one_normal_a_value_has_the_moments_of_k_tensors_a_position():
  n, k, num_draws, gamma, alpha, beta = 20_000, 3, 2, 1.5, 0.7, 1.3
  kernel, stride, side = 3, 1, 2
  rng = np.random.default_rng(0)
  mean = rng.standard_normal((k, kernel, kernel, 1)).astype(np.float32)
  variance = np.array([0.5, 4.0, 16.0], np.float32)
  h = rng.random((side, side, k)).astype(np.float32)
  d = kernel * kernel

  # As the paper has it: K tensors for each position, patch by patch.
  p = np.exp(gamma * h.astype(np.float64))
  p /= p.sum(axis=-1, keepdims=True)
  patches = np.zeros((n, side, side, kernel, kernel, 1))
  for y in range(side):
    for x in range(side):
      w = rng.multinomial(num_draws, p[y, x], size=n) / num_draws
      eps = rng.standard_normal((n, *mean.shape))
      s = mean + alpha * np.sqrt(variance / d).reshape(-1, 1, 1, 1) * eps
      patches[:, y, x] = beta * np.einsum("nk,nkabc->nabc", w, s)
  naive = oracles.stitch_by_loops(patches, stride).reshape(n, -1)

  filters = Filters(jnp.asarray(mean), jnp.asarray(variance))
  static = sampling._Static(LayerConfig(kernel=kernel, stride=stride), num_draws, True, batch=n)
  maps = np.broadcast_to(h, (n, *h.shape))

  def ours(alpha: float, variance_share: float = 1.0) -> np.ndarray:
    knobs = sampling._Knobs(np.float32(gamma), np.float32(alpha), np.float32(beta))
    scaled = Filters(filters.mean, variance_share * filters.variance)
    return np.asarray(_decode_layer(_keys(n), maps, scaled, knobs, static)).reshape(n, -1)

  assert naive.shape == (n, 16)
  assert _same_moments(naive, ours(alpha))
  # It would see noise that is a fifth too strong, a variance taken per value, and no noise.
  assert not _same_moments(naive, ours(1.2 * alpha))
  assert not _same_moments(naive, ours(alpha, variance_share=d))
  assert not _same_moments(naive, ours(0.0))


def test_noise_of_a_known_filter():
  # One filter: the image is beta * (mu + alpha * sqrt(v / D) * eps), averaged over its windows.
  mean, v, alpha, beta = np.zeros((1, 2, 2, 1), np.float32), 8.0, 0.5, 3.0
  filters = Filters(jnp.asarray(mean), jnp.array([v], jnp.float32))
  config = NetworkConfig(layers=(LayerConfig(kernel=2, stride=1),))
  nsn = NSN((filters,), None, config)
  n = 5000
  found = np.asarray(
    decode(KEY, nsn, np.ones((n, 1, 2, 1), np.float32), SamplerConfig(alpha=alpha, beta=beta))
  )[..., 0]
  one = (alpha * beta) ** 2 * v / 4
  expected = np.array([[one, one / 2, one]] * 2)  # The middle column is the mean of two windows.
  # A sample variance of normals has a relative standard error of sqrt(2 / n) = 2%.
  np.testing.assert_allclose(found.var(axis=0), expected, rtol=5 * np.sqrt(2 / n))
  np.testing.assert_allclose(found.mean(axis=0), 0, atol=5 * np.sqrt(one / n))
  # Values are independent: a correlation's standard error is 1 / sqrt(n).
  correlation = np.corrcoef(found.reshape(n, 6).T) - np.eye(6)
  assert np.abs(correlation).max() < 5 / np.sqrt(n)


# sampling


def test_samples_from_noise_start_at_any_filter_alike():
  # A top layer of constant filters tells which was drawn; the argmax of N(0, I) is uniform.
  k, n = 6, 3000
  mean = np.broadcast_to(np.arange(k, dtype=np.float32)[:, None, None, None], (k, 2, 2, 1))
  nsn = NSN(
    (Filters(jnp.asarray(mean), jnp.ones([k])),),
    None,
    NetworkConfig(layers=(LayerConfig(kernel=2, stride=1),)),
  )
  found = np.asarray(sample(KEY, nsn, n, SamplerConfig(gamma=SHARP)))
  assert (np.ptp(found, axis=(1, 2, 3)) == 0).all()
  assert scipy.stats.chisquare(np.bincount(found[:, 0, 0, 0].astype(int))).pvalue > 1e-3


def test_fewer_samples_are_the_first_of_more(monkeypatch):
  nsn = _network()
  plain = SamplerConfig(gamma=3.0)  # Without noise, which takes long to compile.
  whole = np.asarray(sample(KEY, nsn, 20, plain))
  # Products of other sizes may round otherwise.
  np.testing.assert_allclose(sample(KEY, nsn, NUM, plain), whole[:NUM], atol=1e-5)
  _in_groups(monkeypatch, NUM, NUM // 2)  # Groups of 8, 8, 4: batches of 4.
  np.testing.assert_allclose(sample(KEY, nsn, 20, plain), whole, atol=1e-5)
  noisy = np.asarray(sample(KEY, nsn, 20))
  assert noisy.shape == (20, 5, 5, CHANNELS)
  assert len(np.unique(noisy.reshape(20, -1), axis=0)) == 20
  np.testing.assert_array_equal(sample(KEY, nsn, NUM), noisy[:NUM])


def _in_groups(monkeypatch: pytest.MonkeyPatch, size: int, batch: int) -> None:
  """Lets two layers be decoded in such groups, of such batches."""
  group = sampling._Group(size, (batch, batch))
  monkeypatch.setattr(sampling, "_group", lambda *_: group)


def test_groups_and_batches_fit_the_budget(monkeypatch):
  # Layer 0 has most: a 2 x 2 map of patches of 18 values each, of 48 features at most.
  nsn = _network()
  monkeypatch.setattr(budgets, "IMAGES_AT_ONCE", 1)

  def group(num_samples: int, **budget: int) -> tuple[int, tuple[int, ...]]:
    monkeypatch.setattr(budgets, "_CPU", budgets._CPU._replace(**budget))
    return sampling._group(nsn, (1, 1), 0, 1, num_samples)

  # Of 20 samples that would fit a power of two; layer 1's patches have 20 values each.
  assert group(1000, group_values=20 * 4 * 48, sample_values=5 * 4 * 18) == (16, (4, 16))
  assert group(1000, group_values=1, sample_values=1) == (1, (1, 1))
  monkeypatch.setattr(budgets, "IMAGES_AT_ONCE", 64)
  assert group(1000, group_values=1, sample_values=1) == (64, (1, 1))
  # Fewer samples than a group: as many, or the next multiple of 8, of which a batch is a part.
  many = {"group_values": 1 << 20, "sample_values": 6 * 4 * 18}
  assert [group(n, **many) for n in (1, 7, 8)] == [(1, (1, 1)), (7, (1, 7)), (8, (4, 8))]
  assert group(37, **many) == (40, (5, 20))


def test_a_last_group_is_filled_and_cut():
  # 11 samples are drawn as 16.
  nsn = _network()
  plain = SamplerConfig(gamma=3.0)
  found = np.asarray(sample(KEY, nsn, 11, plain))
  assert found.shape == (11, 5, 5, CHANNELS)
  np.testing.assert_allclose(found, sample(KEY, nsn, 16, plain)[:11], atol=1e-5)


def test_the_same_key_gives_the_same_samples():
  nsn = _network()
  one = np.asarray(sample(KEY, nsn, NUM))
  np.testing.assert_array_equal(sample(KEY, nsn, NUM), one)
  other = np.asarray(sample(jax.random.key(1), nsn, NUM))
  assert len(np.unique(np.concatenate([one, other]).reshape(2 * NUM, -1), axis=0)) == 2 * NUM


def test_decoded_maps_do_not_depend_on_those_after_them(monkeypatch):
  nsn, maps = _network(), _maps(1)
  first = decode(KEY, nsn, maps)
  _in_groups(monkeypatch, NUM, NUM)
  more = decode(KEY, nsn, np.concatenate([maps, maps, maps[:3]]))
  assert more.shape == (2 * NUM + 3, 5, 5, CHANNELS)
  np.testing.assert_array_equal(more[:NUM], first)
  # Each draws for itself, the same map or not.
  assert len(np.unique(np.asarray(more).reshape(len(more), -1), axis=0)) == len(more)


@pytest.mark.parametrize("whitened", [False, True])
def test_a_lower_start_gives_its_receptive_field(whitened):
  nsn = _network(whitened=whitened)
  for layer, side in ((0, 3), (1, 5)):
    found = sample(KEY, nsn, NUM, SamplerConfig(gamma=3.0), layer=layer)
    assert found.shape == (NUM, side, side, CHANNELS)
    assert np.isfinite(found).all()


def test_the_papers_receptive_fields():
  stack, channels = [], 1
  for kernel in (4, 3, 6):
    stack.append(Filters(jnp.zeros([2, kernel, kernel, channels]), jnp.ones([2])))
    channels = 2
  layers = tuple(LayerConfig(kernel=k, stride=s) for k, s in ((4, 2), (3, 2), (6, 1)))
  nsn = NSN(tuple(stack), None, NetworkConfig(layers=layers))

  def side(layer: int) -> int:
    return jax.eval_shape(lambda: sample(KEY, nsn, 2, layer=layer)).shape[1]

  assert [side(layer) for layer in range(3)] == [4, 8, 28]


def test_a_whitened_patch_is_the_middle_of_a_mean_image():
  nsn, maps = _network(whitened=True), _one_hot([3, 0, 1, 2, 4, 0, 0, 0], 5)
  padded = np.zeros((NUM, 5, 5, CHANNELS))
  padded[:, 1:4, 1:4] = _oracle(nsn, maps, 0, (1.0,) * 2)  # 3 x 3, whitened
  mean, _, inverse = (np.asarray(a, np.float64) for a in nsn.whitening)
  flat = padded.reshape(NUM, -1, CHANNELS)
  pixels = np.stack([flat[..., i] @ inverse[i] for i in range(CHANNELS)], axis=-1)
  expected = pixels.reshape(padded.shape) + mean
  found = decode(KEY, nsn, maps, SamplerConfig(gamma=SHARP), layer=0)
  np.testing.assert_allclose(found, expected[:, 1:4, 1:4], atol=1e-5)


# the knobs


def test_knobs_per_layer_are_pixels_first():
  nsn, maps = _network(), _one_hot([1] * NUM, 4)

  def kinds(gamma: tuple[float, ...]) -> int:
    found = decode(KEY, nsn, maps, SamplerConfig(gamma=gamma), stop_layer=0)
    return len(np.unique(np.asarray(found).reshape(NUM, -1), axis=0))

  assert kinds((0.0, SHARP)) == 1
  assert kinds((SHARP, 0.0)) > 1


@pytest.mark.parametrize("name", ["gamma", "beta"])
def test_one_number_is_the_same_as_that_number_for_each_layer(name):
  nsn = _network()
  one, each = (
    sample(KEY, nsn, NUM, dataclasses.replace(DEFAULTS, **{name: v})) for v in (1.7, (1.7, 1.7))
  )
  np.testing.assert_array_equal(one, each)
  assert not np.array_equal(one, sample(KEY, nsn, NUM))


def test_the_networks_own_sampler_is_the_default():
  own = dataclasses.replace(DEFAULTS, gamma=7.0, beta=0.5)
  found = sample(KEY, _network(sampler=own), NUM)
  np.testing.assert_array_equal(found, sample(KEY, _network(), NUM, own))
  assert not np.array_equal(found, sample(KEY, _network(), NUM))


def test_a_network_trained_in_part_samples_with_its_own_knobs():
  # As `on_layer`, or an interrupted training, leaves it: knobs for three layers, two trained.
  knobs = dataclasses.replace(
    DEFAULTS, gamma=(7.0, 5.0, 3.0), num_draws=(2, 1, 1), alpha=(0.3, 0.0, 0.0)
  )
  part = _network(layers=3, sampler=knobs)
  part = dataclasses.replace(part, filters=part.filters[:2])
  found = sample(KEY, part, NUM)
  expected = sample(KEY, _network(), NUM, dataclasses.replace(DEFAULTS, gamma=(7.0, 5.0)))
  np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_sweep_compiles_once(num_compiled):
  nsn = _network()
  jax.block_until_ready(sample(KEY, nsn, NUM))
  warm = num_compiled()
  for gamma in (1.0, 20.0, (200.0, 20.0)):
    for alpha in ((0.2, 0.0), (0.9, 0.0)):
      for beta in (-1.0, 3.0, (1.0, 2.0)):
        knobs = dataclasses.replace(DEFAULTS, gamma=gamma, alpha=alpha, beta=beta)
        jax.block_until_ready(sample(KEY, nsn, NUM, knobs))
  jax.block_until_ready(sample(jax.random.key(9), nsn, NUM))
  assert num_compiled() - warm <= 1  # The new key itself.


def test_beta_scales_about_the_whitening_mean():
  nsn = _network(whitened=True)
  mean = np.asarray(nsn.whitening.mean)

  def contrast(beta: float) -> np.ndarray:
    knobs = dataclasses.replace(DEFAULTS, beta=(beta, 1.0))
    return np.asarray(sample(KEY, nsn, NUM, knobs)) - mean

  np.testing.assert_allclose(contrast(2.5), 2.5 * contrast(1.0), atol=1e-5)  # Values near 1.
  np.testing.assert_allclose(contrast(0.0), 0.0, atol=1e-6)
  # Pixel values as they come: not clipped.
  pixels = contrast(30.0) + mean
  assert pixels.min() < -0.5 and pixels.max() > 2
