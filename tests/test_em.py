"""E-step and M-step against float64, and what hard EM promises."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import em, numerics
from nsn_jax.em import Statistics, add_statistics, e_step, m_step, mean_similarity
from nsn_jax.filters import Filters

WINDOW = (2, 2, 2)
NUM_VALUES = 8
NUM_PATCHES, NUM_FILTERS = 300, 6


def _flat(array: np.ndarray | jax.Array) -> np.ndarray:
  return np.asarray(array, np.float64).reshape(len(array), -1)


def _oracle_similarity(patches: np.ndarray, filters: Filters) -> np.ndarray:
  """Eq 1 in float64, by differences: [n, K]."""
  v = np.asarray(filters.variance, np.float64)
  distance = ((_flat(patches)[:, None] - _flat(filters.mean)[None]) ** 2).sum(axis=2)
  return -distance / (2 * v) - np.log(v) / 2


def _oracle_e_step(
  patches: np.ndarray, filters: Filters, threshold: float = -np.inf, hold_below: bool = False
) -> Statistics:
  """`e_step` in float64, by loops over filters."""
  s = _oracle_similarity(patches, filters)
  index, best = s.argmax(axis=1), s.max(axis=1)
  below = best < threshold
  held = np.ones_like(below) if hold_below else ~below
  x, mu = _flat(patches), _flat(filters.mean)
  members = [x[held & (index == j)] - mu[j] for j in range(len(mu))]
  count = np.array([len(m) for m in members])
  shape = filters.mean.shape
  return Statistics(
    count=count,
    residual_sum=np.stack([m.sum(axis=0) for m in members]).reshape(shape),
    center_sum=(count[:, None] * mu).reshape(shape),
    square_sum=np.array([(m**2).sum() for m in members]),
    similarity_sum=best.sum(),
    num_patches=len(x),
    num_below=below.sum(),
  )


def _oracle_m_step(patches: np.ndarray, index: np.ndarray, num_filters: int) -> Filters:
  """Eq 2-3 in float64."""
  x = [_flat(patches)[index == j] for j in range(num_filters)]
  mean = np.stack([m.mean(axis=0) for m in x])
  variance = np.array([((m - m.mean(axis=0)) ** 2).sum(axis=1).mean() for m in x])
  return Filters(mean.reshape(num_filters, *patches.shape[1:]), variance)


@functools.cache
def _data() -> tuple[np.ndarray, Filters]:
  """Patches in overlapping clusters, and filters that do not fit them well."""
  rng = np.random.default_rng(0)
  centers = 2 * rng.standard_normal((NUM_FILTERS, *WINDOW))
  owner = rng.integers(NUM_FILTERS, size=NUM_PATCHES)
  patches = centers[owner] + rng.standard_normal((NUM_PATCHES, *WINDOW))
  mean = centers + rng.standard_normal(centers.shape)
  variance = rng.uniform(4.0, 16.0, NUM_FILTERS)
  filters = Filters(jnp.asarray(mean, jnp.float32), jnp.asarray(variance, jnp.float32))
  return patches.astype(np.float32), filters


def _assert_close(found: Statistics, expected: Statistics) -> None:
  """Counts are equal; sums of 300 numbers up to 100 agree to float32's rounding of such sums."""
  for name, a, b in zip(Statistics._fields, found, expected, strict=True):
    a, b = np.asarray(a), np.asarray(b)
    if np.issubdtype(a.dtype, np.integer):
      np.testing.assert_array_equal(a, b, err_msg=name)
    else:
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-3, err_msg=name)


def _median_threshold() -> float:
  patches, filters = _data()
  return float(np.median(_oracle_similarity(patches, filters).max(axis=1)))


# E-step


@pytest.mark.parametrize("hold_below", [False, True])
def test_e_step_equals_float64(hold_below):
  patches, filters = _data()
  threshold = _median_threshold()
  found = e_step(patches, filters, threshold, hold_below=hold_below)
  expected = _oracle_e_step(patches, filters, threshold, hold_below)
  _assert_close(found, expected)
  assert int(found.num_below) == NUM_PATCHES // 2  # by the choice of the threshold
  left_out = 0 if hold_below else NUM_PATCHES // 2
  assert int(found.count.sum()) == NUM_PATCHES - left_out


def test_e_step_sends_all_patches_somewhere_by_default():
  patches, filters = _data()
  found = e_step(patches, filters)
  _assert_close(found, _oracle_e_step(patches, filters))
  assert int(found.count.sum()) == NUM_PATCHES and int(found.num_below) == 0


def test_e_step_by_hand():
  # Two filters on a line at 0 and 10, v = 1 and 4. Patches 1 and 2 go to the first, 9 and 12 to
  # the second; 4 is nearer to the first, yet more similar to the second: -8 < -4.5 - log(4) / 2.
  filters = Filters(jnp.array([0.0, 10.0]).reshape(2, 1, 1, 1), jnp.array([1.0, 4.0]))
  patches = jnp.array([1.0, 2.0, 4.0, 9.0, 12.0]).reshape(5, 1, 1, 1)
  found = e_step(patches, filters, -4.0)
  assert found.count.tolist() == [2, 2]  # 4 is below the threshold
  assert found.residual_sum.ravel().tolist() == [3.0, 1.0]
  assert found.center_sum.ravel().tolist() == [0.0, 20.0]
  assert found.square_sum.tolist() == [5.0, 5.0]
  best = [-0.5, -2.0, -4.5 - np.log(2), -1 / 8 - np.log(2), -0.5 - np.log(2)]
  np.testing.assert_allclose(found.similarity_sum, sum(best), rtol=1e-6)
  assert (int(found.num_patches), int(found.num_below)) == (5, 1)
  assert e_step(patches, filters).count.tolist() == [2, 3]
  new = m_step(found)
  np.testing.assert_allclose(new.mean.ravel(), [1.5, 10.5], rtol=1e-6)
  np.testing.assert_allclose(new.variance, [0.25, 2.25], rtol=1e-6)


def test_statistics_add_up_over_any_split():
  patches, filters = _data()
  threshold = _median_threshold()
  whole = e_step(patches, filters, threshold)
  part = np.random.default_rng(1).integers(3, size=NUM_PATCHES)
  total = em.zero_statistics(filters)
  for number in range(3):
    found = e_step(patches, filters, threshold, valid=part == number)
    assert int(found.num_patches) == (part == number).sum()
    total = em.add_statistics(total, found)
  _assert_close(total, whole)
  first, second = (e_step(p, filters, threshold) for p in (patches[:77], patches[77:]))
  _assert_close(em.add_statistics(first, second), whole)


@pytest.mark.parametrize("chunk_size", [7, 299])
def test_e_step_does_not_depend_on_the_chunk_size(chunk_size):
  patches, filters = _data()
  threshold = _median_threshold()
  found = e_step(patches, filters, threshold, chunk_size=chunk_size)
  _assert_close(found, _oracle_e_step(patches, filters, threshold))


def test_e_step_ignores_what_is_not_valid():
  patches, filters = _data()
  valid = np.random.default_rng(1).random(NUM_PATCHES) < 0.6
  garbage = np.where(valid[:, None, None, None], patches, 1e4).astype(np.float32)
  garbage[~valid][::2] = 0.0
  found = e_step(garbage, filters, _median_threshold(), valid=valid)
  _assert_close(found, _oracle_e_step(patches[valid], filters, _median_threshold()))
  nothing = e_step(patches, filters, valid=np.zeros(NUM_PATCHES, bool))
  for a, b in zip(nothing, em.zero_statistics(filters), strict=True):
    np.testing.assert_array_equal(a, b)


def test_e_step_takes_any_leading_axes():
  patches, filters = _data()
  valid = (np.arange(NUM_PATCHES) % 3 > 0).reshape(10, 5, 6)
  found = e_step(patches.reshape(10, 5, 6, *WINDOW), filters, valid=valid)
  _assert_close(found, _oracle_e_step(patches[valid.ravel()], filters))


def test_e_step_of_one_patch_and_of_none():
  patches, filters = _data()
  _assert_close(e_step(patches[:1], filters), _oracle_e_step(patches[:1], filters))
  for a, b in zip(e_step(patches[:0], filters), em.zero_statistics(filters), strict=True):
    np.testing.assert_array_equal(a, b)
  assert float(em.mean_similarity(em.zero_statistics(filters))) == 0.0


def test_e_step_with_unborn_filters():
  patches, filters = _data()
  bank = Filters(
    jnp.concatenate([filters.mean, jnp.zeros([2, *WINDOW])]),
    jnp.concatenate([filters.variance, jnp.full([2], jnp.inf)]),
  )
  found = e_step(patches, bank)
  assert found.count[NUM_FILTERS:].tolist() == [0, 0]
  _assert_close(
    jax.tree.map(lambda x: x[:NUM_FILTERS] if x.ndim else x, found), e_step(patches, filters)
  )
  assert all(np.isfinite(x).all() for x in found)
  np.testing.assert_array_equal(m_step(found, bank).variance[NUM_FILTERS:], np.inf)


def test_e_step_where_no_filter_is_born():
  patches, filters = _data()
  bank = Filters(filters.mean, jnp.full([NUM_FILTERS], jnp.inf))
  found = e_step(patches, bank)
  assert found.count.tolist() == [0] * NUM_FILTERS  # Unborn filters win nothing.
  assert not np.isnan(found.square_sum).any()


def test_e_step_counts_do_not_depend_on_the_order_of_patches():
  patches, filters = _data()
  order = np.random.default_rng(1).permutation(NUM_PATCHES)
  _assert_close(e_step(patches[order], filters), e_step(patches, filters))


def test_e_step_follows_a_permutation_of_filters():
  patches, filters = _data()
  order = np.random.default_rng(1).permutation(NUM_FILTERS)
  found = e_step(patches, Filters(filters.mean[order], filters.variance[order]))
  expected = e_step(patches, filters)
  _assert_close(found, jax.tree.map(lambda x: x[order] if x.ndim else x, expected))


def _e_step_with_share(share: float, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Statistics]:
  """The E-step, traced anew with another share below which a distance counts as lost."""
  monkeypatch.setattr(numerics, "SAFE_DISTANCE_SHARE", share)

  def step(patches: np.ndarray, filters: Filters, threshold: float) -> Statistics:
    return em.e_step_core.__wrapped__(
      patches, filters, threshold, None, hold_below=False, chunk_size=64
    )

  return jax.jit(step)


def test_e_step_from_differences_equals_from_product(monkeypatch):
  patches, filters = _data()
  threshold = _median_threshold()
  exact = _e_step_with_share(1e9, monkeypatch)(patches, filters, threshold)
  product = _e_step_with_share(0.0, monkeypatch)(patches, filters, threshold)
  expected = _oracle_e_step(patches, filters, threshold)
  _assert_close(exact, expected)
  _assert_close(product, expected)
  # Not the same bits: the two did take different ways.
  assert not np.array_equal(exact.residual_sum, product.residual_sum)


def test_e_step_is_checked():
  patches, filters = _data()
  with pytest.raises(ValueError, match=r"^patches: expected \[\.\.\., 2, 2, 2\].*got shape"):
    e_step(patches[:, :1], filters)


def test_assign_equals_float64():
  patches, filters = _data()
  s = _oracle_similarity(patches, filters)
  for chunk_size in (None, 64):
    found = em.assign(patches, filters, chunk_size=chunk_size)
    np.testing.assert_array_equal(found.index, s.argmax(axis=1))
    # float32 rounding of squared norms up to 100 and of similarities up to 10.
    np.testing.assert_allclose(found.similarity, s.max(axis=1), atol=1e-5)
    difference = _flat(patches) - _flat(filters.mean)[s.argmax(axis=1)]
    np.testing.assert_allclose(found.distance, (difference**2).sum(axis=1), rtol=1e-4, atol=1e-4)


# M-step


def test_m_step_equals_float64():
  patches, filters = _data()
  expected = _oracle_m_step(
    patches, _oracle_similarity(patches, filters).argmax(axis=1), NUM_FILTERS
  )
  for previous in (None, filters):
    found = m_step(e_step(patches, filters), previous)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-5)  # of values near 1
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-5)


def test_m_step_of_a_sum_of_statistics():
  patches, filters = _data()
  first, second = (e_step(p, filters) for p in (patches[:77], patches[77:]))
  found = m_step(em.add_statistics(first, second), filters)
  expected = m_step(e_step(patches, filters), filters)
  np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-5)


def test_more_patches_than_an_integer_of_32_bits_counts():
  # 3 million images of 64 x 64 have 2.9e9 patches; statistics are additive, so doubling will do.
  patches, filters = _data()
  once = e_step(patches, filters)
  total = once
  doublings = 0
  while len(patches) * 2**doublings <= 2**33:
    total, doublings = add_statistics(total, total), doublings + 1
  assert float(total.num_patches) == len(patches) * 2.0**doublings > 2**33
  assert (np.asarray(total.count) >= 0).all()
  # A power of two times as much of everything: the same to the bit.
  for a, b in zip(m_step(total, filters), m_step(once, filters), strict=True):
    np.testing.assert_array_equal(a, b)
  assert mean_similarity(total) == mean_similarity(once)


def test_m_step_of_empty_filters():
  patches, filters = _data()
  far = Filters(filters.mean.at[2].set(1e3), filters.variance)
  statistics = e_step(patches, far)
  assert int(statistics.count[2]) == 0
  kept = m_step(statistics, far)
  np.testing.assert_array_equal(kept.mean[2], far.mean[2])
  assert kept.variance[2] == far.variance[2]
  unborn = m_step(statistics)
  assert not unborn.mean[2].any() and unborn.variance[2] == jnp.inf
  others = np.arange(NUM_FILTERS) != 2
  np.testing.assert_allclose(kept.mean[others], unborn.mean[others], rtol=1e-5, atol=1e-5)
  nothing = m_step(em.zero_statistics(filters), filters)
  np.testing.assert_array_equal(nothing.mean, filters.mean)
  np.testing.assert_array_equal(nothing.variance, filters.variance)


def test_m_step_keeps_the_floor():
  patches, filters = _data()
  same = np.repeat(np.asarray(filters.mean), 5, axis=0)
  found = m_step(e_step(same, filters), filters)
  np.testing.assert_array_equal(found.variance, np.float32(numerics.VARIANCE_FLOOR))
  # The centre and back: one rounding of values near 1.
  np.testing.assert_allclose(found.mean, filters.mean, atol=1e-6)
  floored = m_step(e_step(patches, filters), filters, 9.0)
  assert (np.asarray(floored.variance) >= 9.0).all() and (np.asarray(floored.variance) > 9).any()


def _tight_data() -> tuple[np.ndarray, Filters, slice]:
  """A filter of near-identical patches with values of 100, and other filters around 0."""
  rng = np.random.default_rng(0)
  base = 100 + 10 * rng.standard_normal(WINDOW)
  tight = base + 0.02 / np.sqrt(NUM_VALUES) * rng.standard_normal((200, *WINDOW))
  others = 3 * rng.standard_normal((NUM_PATCHES - 200, *WINDOW))
  patches = np.concatenate([tight, others]).astype(np.float32)
  mean = np.concatenate([patches[:1], rng.standard_normal((NUM_FILTERS - 1, *WINDOW))])
  variance = np.array([0.01, *[50.0] * (NUM_FILTERS - 1)])
  return (
    patches,
    Filters(jnp.asarray(mean, jnp.float32), jnp.asarray(variance, jnp.float32)),
    slice(0, 200),
  )


def test_variance_of_a_tight_filter_among_large_norms():
  patches, filters, tight = _tight_data()
  x = _flat(patches[tight])
  expected = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()
  assert expected == pytest.approx(4e-4, rel=0.2)

  for _ in range(3):  # From a patch as the mean, and from the mean itself.
    statistics = e_step(patches, filters)
    assert int(statistics.count[0]) == 200
    filters = m_step(statistics, filters)
    # The values of 100 come as multiples of 2**-17, and the centre of all filters lies at 20:
    # residuals of 0.007 are right to 0.1%.
    np.testing.assert_allclose(filters.variance[0], expected, rtol=2e-3)

  x32 = patches[tight].reshape(200, -1)
  naive = (x32 * x32).sum(axis=1).mean() - (x32.mean(axis=0) ** 2).sum()
  assert naive.dtype == np.float32
  assert abs(naive - expected) > 10 * expected


# EM


def _mean_best(patches: np.ndarray, filters: Filters) -> float:
  return _oracle_similarity(patches, filters).max(axis=1).mean()


@pytest.mark.parametrize("seed", range(4))
def test_em_never_lowers_the_mean_similarity(seed):
  rng = np.random.default_rng(seed)
  # No clusters, heavy tails, and copies: some filters come to the floor.
  patches = rng.standard_t(2, (NUM_PATCHES, *WINDOW)).astype(np.float32)
  patches[:60] = patches[0]
  chosen = rng.choice(NUM_PATCHES, NUM_FILTERS, replace=False)
  filters = Filters(jnp.asarray(patches[chosen]), jnp.full([NUM_FILTERS], 20.0, jnp.float32))
  means = []
  for _ in range(20):
    statistics = e_step(patches, filters)
    means.append(_mean_best(patches, filters))
    # A sum of 300 similarities of up to 1e4 beside it, in float32.
    np.testing.assert_allclose(em.mean_similarity(statistics), means[-1], rtol=1e-4, atol=1e-4)
    filters = m_step(statistics, filters)
  # In float64 on float32 filters: a mean that is off by 2**-24 of values up to 100 costs a filter
  # at the floor (6e-6)^2 / 2e-4 of similarity at most, and a near tie may go either way.
  assert np.diff(means).min() > -1e-6
  assert means[-1] > means[0] + 0.1


def test_em_ends_where_an_independent_one_does():
  patches, filters = _data()
  ours, mean, variance = filters, _flat(filters.mean), np.asarray(filters.variance, np.float64)
  for _ in range(20):
    ours = m_step(e_step(patches, ours), ours)
    index = _oracle_similarity(patches, Filters(mean, variance)).argmax(axis=1)
    assert set(index) == set(range(NUM_FILTERS))
    mean, variance = _oracle_m_step(patches, index, NUM_FILTERS)[:2]
  # The same partition, so the same sums to float32's rounding.
  np.testing.assert_allclose(ours.mean, mean, atol=1e-5)
  np.testing.assert_allclose(ours.variance, variance, rtol=1e-5)


_SHARDED = """
import jax, numpy as np
from jax.sharding import Mesh, PartitionSpec as P
from nsn_jax import em
from nsn_jax.filters import Filters

assert jax.device_count() == 2
rng = np.random.default_rng(0)
patches = rng.standard_normal((64, 2, 2, 1)).astype(np.float32)
filters = Filters(jax.numpy.asarray(patches[:4]), jax.numpy.full([4], 2.0))
mesh = Mesh(jax.devices(), ("data",))

def step(patches, filters):
  return jax.lax.psum(em.e_step(patches, filters, -3.0), "data")

sharded = jax.jit(
  jax.shard_map(step, mesh=mesh, in_specs=(P("data"), P()), out_specs=P(), check_vma=CHECK)
)
found, whole = sharded(patches, filters), em.e_step(patches, filters, -3.0)
assert 0 < int(whole.num_below) < 64
for name, a, b in zip(found._fields, found, whole):
  if np.issubdtype(a.dtype, np.integer):
    np.testing.assert_array_equal(a, b, err_msg=name)
  else:  # Sums of 64 numbers near 1 in another order.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=name)
"""


@pytest.mark.parametrize("check_vma", [True, False])  # True is shard_map's default.
def test_e_step_over_two_devices_equals_one(run_python, check_vma):
  run_python(
    _SHARDED.replace("CHECK", str(check_vma)),
    XLA_FLAGS="--xla_force_host_platform_device_count=2",
    JAX_PLATFORMS="cpu",
  )
