"""`fit_layer` and `fit`: the same twice, the same however it is cut, few programs, true records."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import budgets, em, layer, network, stream, training
from nsn_jax.config import LayerConfig, NetworkConfig
from nsn_jax.filters import Filters
from nsn_jax.network import NSN
from nsn_jax.patches import extract_patches
from nsn_jax.progress import Progress, Record

KEY = jax.random.key(0)
NUM_IMAGES = 300
CONFIG = NetworkConfig(
  layers=(
    LayerConfig(
      kernel=4, stride=2, threshold=-0.75, growth_patches=1500, exchange_steps=4, em_steps=2
    ),
    # Few patches for growth, so that a budget may hold them and not all maps.
    LayerConfig(
      kernel=3,
      stride=1,
      threshold=-1.0,
      growth_patches=100,
      exchange_steps=4,
      em_steps=2,
      tolerance=0.0,
      use_basis=False,
    ),
  ),
  whitening_epsilon=0.1,
  exact_decoders=False,
)


class Trained(NamedTuple):
  """One training, and all that it told on the way."""

  nsn: NSN
  parts: list[NSN]
  histories: list[list[Record]]
  reports: list[Progress]


def _train(images: np.ndarray, **changes: object) -> Trained:
  parts: list[NSN] = []
  histories: list[list[Record]] = []
  reports: list[Progress] = []

  def on_layer(nsn: NSN, history: list[Record]) -> None:
    parts.append(nsn)
    histories.append(history)

  arguments = {"on_layer": on_layer, "report": reports.append, **changes}
  nsn = training.fit(KEY, images, CONFIG, **arguments)
  return Trained(nsn, parts, histories, reports)


@pytest.fixture(scope="module")
def images(digits) -> np.ndarray:
  return np.round(digits[:NUM_IMAGES] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def trained(images) -> Trained:
  return _train(images)


def _assert_same_bits(a: NSN, b: NSN) -> None:
  assert a.config == b.config
  left, right = jax.tree.leaves(a), jax.tree.leaves(b)
  assert len(left) == len(right)
  for x, y in zip(left, right, strict=True):
    np.testing.assert_array_equal(np.asarray(x).view(np.uint32), np.asarray(y).view(np.uint32))


# what fit gives


def test_fit_gives_a_network(trained):
  nsn = trained.nsn
  assert nsn.config == CONFIG and nsn.num_layers == 2
  first, second = nsn.num_filters
  assert first > 20 and second > 2
  assert nsn.filters[0].mean.shape == (first, 4, 4, 1)
  assert nsn.filters[1].mean.shape == (second, 3, 3, first)
  for filters, config in zip(nsn.filters, CONFIG.layers, strict=True):
    assert filters.mean.dtype == filters.variance.dtype == jnp.float32
    assert np.isfinite(filters.mean).all()
    assert np.isfinite(filters.variance).all()
    assert (filters.variance >= np.float32(config.variance_floor)).all()
  assert nsn.whitening is not None and nsn.whitening.mean.shape == (8, 8, 1)


def test_the_same_key_gives_the_same_bits_and_compiles_nothing(images, trained, num_compiled):
  again = _train(images)
  _assert_same_bits(again.nsn, trained.nsn)
  assert num_compiled() == 0
  for a, b in zip(again.histories, trained.histories, strict=True):
    assert [r._replace(seconds=0) for r in a] == [r._replace(seconds=0) for r in b]


def test_another_key_gives_another_network(images, trained):
  maps = network.encode(trained.nsn, images)[0]
  config = dataclasses.replace(CONFIG.layers[1], exchange_steps=0, max_passes=0)
  one, other = (training.fit_layer(jax.random.key(k), maps, config)[0] for k in (1, 2))
  assert one.mean.shape != other.mean.shape or not np.array_equal(one.mean, other.mean)


def test_going_on_from_a_part_gives_the_same_bits(images, trained):
  part = trained.parts[0]
  assert part.num_layers == 1 and len(trained.parts) == 2
  _assert_same_bits(_train(images, initial=part).nsn, trained.nsn)
  # Of a whole one nothing is encoded, or told of.
  told: list[object] = []
  assert training.fit(KEY, images, CONFIG, initial=trained.nsn, report=told.append) is trained.nsn
  assert told == []


def test_a_layer_can_be_trained_alone(images, trained):
  # As `fit` says: layer l uses fold_in(key, l).
  maps = network.encode(trained.nsn, images)[0]
  filters, history = training.fit_layer(jax.random.fold_in(KEY, 1), maps, CONFIG.layers[1])
  # The maps come from another program than in `fit`: rounding, which a growth could enlarge, but
  # on these images it takes the same decisions.
  assert filters.num_filters == trained.nsn.num_filters[1]
  np.testing.assert_allclose(filters.mean, trained.nsn.filters[1].mean, atol=1e-4)
  assert [r.phase for r in history] == [r.phase for r in trained.histories[1]]


# memory


@pytest.mark.parametrize("whitened_are_held", [True, False])
def test_cached_and_recomputed_maps_agree(images, trained, monkeypatch, whitened_are_held):
  first, _ = trained.nsn.num_filters
  maps_bytes = NUM_IMAGES * 9 * first * 4
  growth_bytes = [8 * 16 * 1500, 8 * 9 * first * 100]
  budget = max(growth_bytes) + 1000
  assert budget < maps_bytes
  seen = []
  above = stream.above

  def spy(*arguments: object) -> stream.MapStream:
    seen.append(above(*arguments))
    return seen[-1]

  monkeypatch.setattr(stream, "above", spy)
  with monkeypatch.context() as patch:
    # Of the budget: all of it holds the whitened images, hardly any of it does not.
    patch.setattr(stream, "_WHITENED_SHARE", 1 if whitened_are_held else 10**6)
    found = _train(images, memory_budget_gb=budget / 1e9).nsn
  # Recomputed: layer 0 is still in the stream.
  assert [len(maps.encoder.layers) for maps in seen] == [1]
  assert seen[0].base.dtype == (np.float32 if whitened_are_held else np.uint8)
  assert (seen[0].encoder.whitening is None) == whitened_are_held
  cached = _train(images).nsn
  assert [len(maps.encoder.layers) for maps in seen] == [1, 0]
  _assert_same_bits(cached, trained.nsn)
  # The same patches, encoded in batches of other sizes: products may round otherwise, and growth
  # decides the same way on these images.
  assert found.num_filters == cached.num_filters
  np.testing.assert_array_equal(found.filters[0].mean, cached.filters[0].mean)
  np.testing.assert_allclose(found.filters[1].mean, cached.filters[1].mean, atol=1e-4)
  np.testing.assert_allclose(found.filters[1].variance, cached.filters[1].variance, rtol=1e-3)


@pytest.mark.parametrize(("flops_a_byte", "is_held"), [(1, True), (42, True), (43, False)])
def test_maps_are_made_again_where_that_is_sooner_than_a_bus(
  images, trained, monkeypatch, flops_a_byte, is_held
):
  monkeypatch.setattr(budgets, "_CPU", budgets._CPU._replace(flops_a_byte=flops_a_byte))
  # Whitening 64 pixels costs 2 * 64^2 flops, and makes 4 * 64 bytes of 64: 42.7 flops a byte more.
  maps = stream.of_images(images, trained.nsn.whitening, 1 << 30)
  assert (maps.encoder.whitening is None) == is_held
  assert maps.base.dtype == (np.float32 if is_held else np.uint8)
  # The first layer of K filters: 2 * 9 * 16 K flops for 36 K bytes, 8 flops a byte and the more
  # that go out from bytes that come anyway.
  again = stream.above(maps, trained.nsn.filters[0], CONFIG.layers[0], 1 << 30)
  first = trained.nsn.num_filters[0]
  flops = 2 * 9 * 16 * first + (0 if is_held else 2 * 64**2)
  more = 36 * first - (256 if is_held else 64)
  assert (again.encoder.layers == ()) == (flops >= flops_a_byte * more)


def test_the_least_budget_still_trains(images):
  config = NetworkConfig(
    layers=(LayerConfig(kernel=8, stride=1, patience=1, exchange_steps=0, max_passes=0),)
  )
  nsn = training.fit(KEY, images[:50], config, memory_budget_gb=1e-6)
  assert nsn.num_layers == 1 and np.isfinite(nsn.filters[0].mean).all()


def test_batches_of_any_size_agree(images, trained, monkeypatch):
  nsn, top = trained.nsn, CONFIG.layers[1]
  maps = stream.MapStream(images, stream.Encoder(nsn.whitening, nsn.filters[:1], CONFIG.layers[:1]))

  def statistics() -> em.Statistics:
    *_, (done, total, _) = stream.em_iteration(maps, nsn.filters[1], top)
    assert done == NUM_IMAGES
    return total

  whole = statistics()
  upper = stream.above(maps, nsn.filters[1], top, 1 << 30)
  patch_bytes = 4 * 9 * nsn.num_filters[0]
  small = budgets._CPU._replace(batch_bytes=128 * patch_bytes)
  monkeypatch.setattr(budgets, "_CPU", small)  # 128, 128 and 44 images
  cut = statistics()
  monkeypatch.setattr(budgets, "IMAGES_AT_ONCE", 200)  # twice 128 images, the second time filled
  in_parts = statistics()
  for found in (cut, in_parts):
    assert int(found.num_patches) == int(whole.num_patches) == NUM_IMAGES
    np.testing.assert_array_equal(found.count, whole.count)
    for name in ("residual_sum", "square_sum", "similarity_sum"):
      # Sums of 300 values in another order.
      np.testing.assert_allclose(
        getattr(found, name), getattr(whole, name), rtol=1e-4, atol=1e-3, err_msg=name
      )
  again = stream.above(maps, nsn.filters[1], top, 1 << 30)
  assert again.base.shape == (NUM_IMAGES, 1, 1, nsn.num_filters[1])
  # Features of similarities that are differences of squared norms up to 100 over v: rounding.
  np.testing.assert_allclose(again.base, upper.base, atol=1e-4)


def test_sums_that_begin_anew_now_and_then_agree(images, trained, monkeypatch):
  # As of more patches than float32 counts one by one: here after every batch.
  nsn, first = trained.nsn, CONFIG.layers[0]
  maps = stream.MapStream(images, stream.Encoder(nsn.whitening))
  small = budgets._CPU._replace(batch_bytes=4 * 16 * 9 * 100)
  monkeypatch.setattr(budgets, "_CPU", small)  # 100 images
  monkeypatch.setattr(budgets, "IMAGES_AT_ONCE", 1)
  *_, (_, whole, _) = stream.em_iteration(maps, nsn.filters[0], first)
  monkeypatch.setattr(stream, "_FOLDED_PATCHES", 1)
  *before, (done, folded, _) = stream.em_iteration(maps, nsn.filters[0], first)
  assert done == NUM_IMAGES and before and all(found is None for _, found, _ in before)
  for name, a, b in zip(em.Statistics._fields, folded, whole, strict=True):
    assert isinstance(a, jax.Array) and a.dtype == jnp.float32
    # Sums in another order: rounding.
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3, err_msg=name)
  np.testing.assert_array_equal(folded.count, whole.count)


# records


def test_records_tell_what_happened(trained):
  for index, history in enumerate(trained.histories):
    config = CONFIG.layers[index]
    phases = [r.phase for r in history]
    assert phases == sorted(phases, key=["growth", "exchange", "em"].index)
    assert phases.count("exchange") == config.exchange_steps
    assert 1 <= phases.count("em") <= config.max_passes
    for phase in ("growth", "exchange", "em"):
      assert [r.step for r in history if r.phase == phase] == list(range(phases.count(phase)))
    assert {r.num_filters for r in history if r.phase != "growth"} == {
      trained.nsn.num_filters[index]
    }
    assert (np.diff([r.seconds for r in history]) >= 0).all()
    full = NUM_IMAGES * (9 if index == 0 else 1)
    assert {r.num_patches for r in history if r.phase == "em"} == {full}
    grown = {r.num_patches for r in history if r.phase != "em"}
    assert grown == {min(config.growth_patches, full)}
    assert all(0 <= r.below_share <= 1 for r in history)


def test_em_on_full_data_never_lowers_the_mean_similarity(trained):
  for index, history in enumerate(trained.histories):
    means = [r.mean_similarity for r in history if r.phase == "em"]
    # 2,700 similarities near 1 are summed chunk by chunk in float32: 1e-6 of rounding at most.
    assert np.diff(means).min() > -1e-6, index
    assert len(means) > 1


def test_em_records_are_of_the_full_data(images, trained):
  # Filters of the last pass are one M-step on from those it measured: never worse.
  nsn = trained.nsn
  maps = network.first_map(jnp.asarray(images), nsn.whitening)
  patches = extract_patches(maps, 4, 2)
  statistics = em.e_step(patches, nsn.filters[0], CONFIG.layers[0].threshold)
  last = trained.histories[0][-1]
  assert last.mean_similarity - 1e-5 <= float(em.mean_similarity(statistics))
  assert float(em.mean_similarity(statistics)) < last.mean_similarity + 0.01
  share = int(statistics.num_below) / int(statistics.num_patches)
  assert last.below_share == pytest.approx(share, abs=0.02)


def test_reports_tell_how_far_it_is(trained):
  reports = trained.reports
  assert [r.layer for r in reports] == sorted(r.layer for r in reports)
  assert {r.layer for r in reports} == {0, 1}
  assert all(0 < r.fraction <= 1 for r in reports)
  for index in range(2):
    patches = [r.patches for r in reports if r.layer == index]
    assert (np.diff(patches) >= 0).all() and patches[-1] > 0
    records = [r.record for r in reports if r.layer == index]
    assert records[-1] == trained.histories[index][-1]
    assert set(trained.histories[index]) <= set(records)


def test_reports_tell_what_goes_before_the_steps(trained):
  phases = [
    list(dict.fromkeys(r.phase for r in trained.reports if r.layer == index)) for index in (0, 1)
  ]
  steps = ["patches", "growth", "exchange", "em"]
  last = ["factors", "contrast"]
  assert phases == [["whitening", "maps", *steps], ["maps", *steps, *last]]
  for index, phase in ((0, "whitening"), (0, "maps"), (1, "maps"), (0, "patches"), (1, "patches")):
    done = [r.fraction for r in trained.reports if (r.layer, r.phase) == (index, phase)]
    assert done == sorted(done) and done[-1] == 1.0


# patches for growth


def test_sampled_patches_are_different_patches_of_the_maps():
  # Values that say where they come from: no patch twice, each whole.
  maps = np.arange(20 * 36, dtype=np.float32).reshape(20, 6, 6, 1)
  every = np.asarray(extract_patches(maps, 4, 2)).reshape(-1, 4, 4, 1)
  for number, expected in ((30, 30), (79, 79), (80, 80), (1000, 80), (2, 2)):
    found = stream.sample_patches(KEY, stream.MapStream(maps), 4, 2, number).gathered()
    assert found.shape == (expected, 4, 4, 1)
    first = found[:, 0, 0, 0]
    assert len(set(first)) == expected
    index = np.searchsorted(every[:, 0, 0, 0], first)
    np.testing.assert_array_equal(found, every[index])


def test_sampled_patches_depend_on_the_key_alone():
  maps = stream.MapStream(np.arange(20 * 36, dtype=np.float32).reshape(20, 6, 6, 1))
  one, same, other = (
    stream.sample_patches(jax.random.key(k), maps, 4, 2, 30).gathered() for k in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, same)
  assert not np.array_equal(one, other)


def test_sampled_patches_come_from_everywhere():
  # 40 of 400 positions, 200 times: each is drawn 20 times, with a standard deviation of 4.2. Four
  # patches come from one image, which changes nothing for a position alone.
  maps = stream.MapStream(np.arange(100 * 4, dtype=np.float32).reshape(100, 2, 2, 1))
  drawn = np.zeros(400)
  for seed in range(200):
    found = stream.sample_patches(jax.random.key(seed), maps, 1, 1, 40)
    drawn[found.gathered().ravel().astype(int)] += 1
  assert drawn.sum() == 8000
  assert abs(drawn - 20).max() < 6 * 4.2


# programs

_COMPILE = """
import jax, numpy as np
import nsn_jax

compiled = []
jax.monitoring.register_event_duration_secs_listener(
  lambda event, seconds, **_: compiled.append(event)
  if event == "/jax/core/compile/backend_compile_duration" else None
)
# 130 blobs of 30 patches: the layer ends near 130 filters, and goes through 64, 96, 128, 192.
rng = np.random.default_rng(0)
centers = rng.uniform(0, 1, (130, 4, 4, 1))
maps = np.repeat(centers, 30, axis=0) + 0.01 * rng.standard_normal((3900, 4, 4, 1))
maps = rng.permutation(maps).astype(np.float32)
config = nsn_jax.LayerConfig(kernel=4, stride=1, threshold=1.0, exchange_steps=2, max_passes=2)
key = jax.block_until_ready(jax.random.key(0))
for _ in range(2):
  compiled.clear()
  filters, history = nsn_jax.fit_layer(key, maps, config)
  jax.block_until_ready(filters)
  phases = {record.phase for record in history}
  print(filters.num_filters, len(compiled), len(phases))
"""


def test_a_layer_of_130_filters_compiles_few_programs(run_python):
  first, second = (tuple(map(int, line.split())) for line in run_python(_COMPILE).splitlines())
  num_filters, compiled, phases = first
  assert 115 <= num_filters <= 145
  assert phases == 3  # growth, exchange and em all ran
  assert compiled <= 12  # The figure.
  assert second == (num_filters, 0, 3)


def test_refine_keeps_a_filter_that_no_patch_chooses(digits):
  maps = stream.MapStream(digits[:50])
  patches = np.asarray(extract_patches(digits[:50], 8, 1)).reshape(50, 8, 8, 1)
  bank = Filters(
    jnp.asarray(np.concatenate([patches[:2], np.full([1, 8, 8, 1], 50, np.float32)])),
    jnp.array([10.0, 10.0, 10.0]),
  )
  found = layer.refine(maps, bank, LayerConfig(kernel=8, stride=1, max_passes=3))
  np.testing.assert_array_equal(found.mean[2], bank.mean[2])
  assert found.variance[2] == 10.0 and found.num_filters == 3
