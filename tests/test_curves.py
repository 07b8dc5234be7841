"""A curve for each direction of a window."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

import nsn_jax
from nsn_jax import contrast, curves, sampler

KEY = jax.random.key(0)


def _edges(count: int, seed: int, size: int = 12) -> npt.NDArray[np.float32]:
  """Images [N, size, size, 2] that are flat but for one edge, at any place and angle."""
  rng = np.random.default_rng(seed)
  at = np.linspace(-1, 1, size)
  angle, offset = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(-0.9, 0.9, (count, 1, 1))
  side = np.cos(angle) * at[:, None] + np.sin(angle) * at > offset
  low, high = rng.uniform(0, 1, (2, count, 1, 1, 2))
  return np.where(side[..., None], low, high).astype(np.float32)


def _weave(count: int, seed: int, size: int = 12) -> npt.NDArray[np.float32]:
  """The same with noise that is everywhere, and edges of half their height."""
  noise = np.random.default_rng(seed).standard_normal((count, size, size, 2))
  images = _edges(count, seed + 100, size)
  mean = images.mean(axis=(1, 2), keepdims=True)
  return (mean + 0.5 * (images - mean) + 0.1 * noise).astype(np.float32)


def _off(
  images: npt.NDArray, samples: npt.NDArray, found: curves.Curves, stride: int = 1
) -> npt.NDArray[np.float64]:
  """How far quantiles of samples' windows are off along each direction, by numpy alone."""
  size, side = found.directions.shape[:2]

  def coordinates(x: npt.NDArray) -> npt.NDArray[np.float64]:
    cut = np.lib.stride_tricks.sliding_window_view(np.asarray(x, np.float64), (side, side), (1, 2))
    rows = np.moveaxis(cut[:, ::stride, ::stride], 3, -1).reshape(-1, side * side * x.shape[-1])
    return rows @ np.asarray(found.directions, np.float64).reshape(size, -1).T

  a, b = coordinates(images), coordinates(samples)
  levels = np.linspace(0.01, 0.99, 50)
  return np.abs(np.quantile(a, levels, axis=0) - np.quantile(b, levels, axis=0)).mean(0) / a.std(0)


def _by_hand(window: int = 1) -> curves.Curves:
  """Curves of a single direction: the mean of a grey window."""
  direction = np.full((1, window, window, 1), 1.0 / window, np.float32)
  shift = np.array([[0.5, 0.0, -0.5]], np.float32)
  return curves.Curves(
    jnp.asarray(direction), jnp.asarray([0.0]), jnp.asarray([0.25]), jnp.asarray(shift)
  )


def test_shifts_by_hand():
  # Knots at 0, 0.25, 0.5; beyond the ends the shift is that of the ends.
  values = np.array([-1.0, 0.0, 0.125, 0.25, 0.375, 0.5, 3.0], np.float32)
  found = curves.with_curves(jnp.asarray(values.reshape(1, 1, 7, 1)), _by_hand())
  expected = values + np.array([0.5, 0.5, 0.25, 0.0, -0.25, -0.5, -0.5])
  np.testing.assert_allclose(np.ravel(found), expected, atol=1e-6)


def test_pixels_that_are_too_dark_by_hand():
  # Windows of one pixel do not overlap: each of the rounds goes half of the way that is left.
  rng = np.random.default_rng(1)
  images = rng.uniform(0.5, 1.0, (900, 8, 8, 1)).astype(np.float32)
  samples = rng.uniform(0.0, 0.5, (900, 8, 8, 1)).astype(np.float32)
  found = curves.find_curves(KEY, samples, images, 1)
  left = 0.5 / 2**curves._ROUNDS
  # Quantiles of 14,400 pixels are off by two hundredths of their range at most.
  np.testing.assert_allclose(curves.with_curves(samples, found), samples + 0.5 - left, atol=0.015)


@pytest.mark.parametrize("window", [3, 4, 8])
def test_with_curves_against_a_loop(window):
  images = _weave(3, 2)
  rng = np.random.default_rng(3)
  d, knots = window * window * 2, 7
  directions = np.linalg.qr(rng.standard_normal((d, d)))[0].T[: d - 3]
  first, step = rng.uniform(-2, -1, d - 3), rng.uniform(0.2, 0.5, d - 3)
  shift = rng.uniform(-0.3, 0.3, (d - 3, knots))
  stride = max(window // 4, 1)
  total, count = np.zeros(images.shape), np.zeros(images.shape)
  for i in range(0, 12 - window + 1, stride):
    for j in range(0, 12 - window + 1, stride):
      patch = images[:, i : i + window, j : j + window].reshape(3, d).astype(np.float64)
      added = np.zeros_like(patch)
      for direction, start, size, values in zip(directions, first, step, shift, strict=True):
        moved = np.interp(patch @ direction, start + size * np.arange(knots), values)
        added += moved[:, None] * direction
      total[:, i : i + window, j : j + window] += added.reshape(3, window, window, 2)
      count[:, i : i + window, j : j + window] += 1
  given = curves.Curves(
    *(
      jnp.asarray(x, jnp.float32)
      for x in (directions.reshape(-1, window, window, 2), first, step, shift)
    )
  )
  expected = images + total / np.maximum(count, 1)
  found = curves.with_curves(jnp.asarray(images), given)
  # Coordinates of size 5 in float32, and slopes of 3.
  np.testing.assert_allclose(found, expected, atol=2e-5)
  still = given._replace(shift=jnp.zeros_like(given.shift))
  np.testing.assert_array_equal(curves.with_curves(jnp.asarray(images), still), images)
  parts = curves.in_parts(np.tile(images, (20, 1, 1, 1)), given)
  np.testing.assert_allclose(parts, np.tile(found, (20, 1, 1, 1)), atol=1e-6)


def test_what_no_window_covers_is_as_it_was():
  images = np.random.default_rng(4).uniform(size=(2, 11, 13, 1)).astype(np.float32)
  found = np.asarray(curves.with_curves(images, _by_hand(8)))  # every second: 10 of 11, 12 of 13
  np.testing.assert_array_equal(found[:, 10:], images[:, 10:])
  np.testing.assert_array_equal(found[:, :, 12:], images[:, :, 12:])
  assert (found[:, :10, :12] != images[:, :10, :12]).all()


@pytest.mark.parametrize("window", [4, 8])
def test_windows_of_other_samples_come_to_the_images_quantiles(window):
  images, samples = _edges(400, 5), _weave(300, 6)
  found = curves.find_curves(KEY, samples, images, window)
  gram = np.asarray(found.directions).reshape(len(found.directions), -1)
  np.testing.assert_allclose(gram @ gram.T, np.eye(window * window * 2), atol=1e-4)
  others = _weave(300, 7)
  before = _off(images, others, found)
  after = _off(images, np.asarray(curves.with_curves(others, found)), found)
  # Half of the way a round, less what averaging takes away and what other samples do.
  assert after.mean() < 0.5 * before.mean()
  assert (after < before + 0.05).all()
  # A curve does not fall: the order along a direction is kept.
  knots = found.step[:, None] * np.arange(found.shift.shape[1]) + found.shift
  assert (np.diff(knots, axis=1) >= -1e-6).all()


def test_noise_between_edges_becomes_less_and_edges_stay():
  images, samples = _edges(400, 8), _weave(300, 9)
  changed = curves.in_parts(samples, curves.find_curves(KEY, samples, images, 4))

  def steps(x: npt.NDArray) -> npt.NDArray:
    return np.abs(np.diff(x, axis=2)).ravel()

  wanted, before, after = (np.quantile(steps(x), (0.5, 0.99)) for x in (images, samples, changed))
  assert wanted[0] == 0.0 and after[0] < 0.6 * before[0]
  assert after[1] / after[0] > 1.5 * before[1] / before[0]


def test_samples_as_the_images_are_left():
  images = _edges(600, 10)
  found = curves.find_curves(KEY, images[:300], images[300:], 4)
  changed = np.asarray(curves.with_curves(images[:300], found))
  # Two sets of 300 images differ so much, of a deviation of 0.3.
  assert np.sqrt(np.mean((changed - images[:300]) ** 2)) < 0.04


@pytest.mark.parametrize("count", [1, 2, 40])
def test_samples_and_images_that_are_all_alike(count):
  alike = np.full((count, 8, 8, 1), 0.25, np.float32)
  varied = np.random.default_rng(11).uniform(size=(30, 8, 8, 1)).astype(np.float32)
  for samples, images in ((alike, varied), (varied, alike), (alike, alike)):
    found = curves.find_curves(KEY, samples, images, 4)
    assert all(np.isfinite(x).all() for x in found) and (np.asarray(found.step) > 0).all()
    changed = np.asarray(curves.with_curves(jnp.asarray(samples), found))
    if samples is alike:  # Nothing tells them apart.
      np.testing.assert_array_equal(changed, samples)
    elif count > 1:  # One image has fewer windows than they have directions.
      assert changed.std() < 0.6 * samples.std()


def test_curves_end_where_the_images_range_and_its_share_have_it(monkeypatch):
  # Within the middle half of the images' range, which the images' own quantiles are beyond.
  monkeypatch.setattr(curves, "_BEYOND", -0.25)
  noise = np.random.default_rng(14).uniform(-0.5, 0.5, (600, 12, 12, 1)).astype(np.float32)
  found = curves.find_curves(KEY, 0.5 + 0.1 * noise[:300], 0.5 + noise[300:], 4)
  size = len(found.step)
  # All windows at the places that quantiles are of.
  cut = np.lib.stride_tricks.sliding_window_view(0.5 + noise[300:], (4, 4), (1, 2))
  along = cut[:, ::2, ::2].reshape(-1, size) @ np.asarray(found.directions).reshape(size, size).T
  low, high = np.quantile(along, (5e-4, 1 - 5e-4), axis=0)
  knots = np.asarray(found.first + found.step * np.arange(found.shift.shape[1])[:, None]).T
  values = knots + np.asarray(found.shift)
  # Quantiles are the same but for rounding.
  assert (values[:, 0] > low + 0.25 * (high - low) - 1e-3).all()
  assert (values[:, -1] < high - 0.25 * (high - low) + 1e-3).all()


def test_a_window_may_be_the_whole_image():
  images, samples = _edges(200, 12, 6), _weave(200, 13, 6)
  found = curves.find_curves(KEY, samples, images, 6)
  assert found.directions.shape == (72, 6, 6, 2)
  assert _off(images, curves.in_parts(samples, found), found).mean() < 0.3 * (
    _off(images, samples, found).mean()
  )


# in a network


@pytest.fixture(scope="module")
def with_windows(decoded_digits):
  nsn, images = decoded_digits
  config = dataclasses.replace(nsn.config, contrast_directions=20, contrast_windows=(5, 2))
  nsn = dataclasses.replace(nsn, config=config)
  return dataclasses.replace(nsn, contrast=contrast.find_contrast(KEY, nsn, images)), images


def test_a_networks_curves_are_of_samples_with_their_gains(with_windows):
  nsn, images = with_windows
  first, second = nsn.contrast.curves
  channels = images.shape[-1]
  assert first.directions.shape == (25 * channels, 5, 5, channels)
  assert second.directions.shape == (4 * channels, 2, 2, channels)
  one = dataclasses.replace(nsn, contrast=nsn.contrast._replace(curves=None))
  samples = np.asarray(nsn_jax.sample(KEY, one, 600))
  changed = np.asarray(nsn_jax.sample(KEY, nsn, 600))
  by_hand = curves.in_parts(curves.in_parts(samples, first), second)
  np.testing.assert_allclose(changed, by_hand, atol=1e-5)
  assert _off(images, changed, second).mean() < 0.7 * _off(images, samples, second).mean()
  # Gains are those that are found without curves.
  config = dataclasses.replace(nsn.config, contrast_windows=())
  alone = contrast.find_contrast(KEY, dataclasses.replace(nsn, config=config), images)
  assert alone.curves is None
  np.testing.assert_array_equal(alone.gains.gain, nsn.contrast.gains.gain)


@pytest.mark.parametrize("directions", [0, 20])
def test_images_of_any_kind_have_the_same_curves(with_windows, directions):
  nsn, images = with_windows
  config = dataclasses.replace(nsn.config, contrast_directions=directions, contrast_windows=(3,))
  nsn = dataclasses.replace(nsn, config=config)
  pixels = np.round(255 * np.asarray(images)).astype(np.uint8)
  kinds = (pixels, jnp.asarray(pixels), pixels.astype(np.float32) / np.float32(255))
  found = [contrast.find_contrast(KEY, nsn, x) for x in kinds]
  assert (found[0].gains is None) == (directions == 0)
  for other in found[1:]:
    for a, b in zip(found[0].curves[0], other.curves[0], strict=True):
      np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_is_no_whole_image_has_no_curves(with_windows):
  nsn, images = with_windows
  plain = nsn.contrast._replace(gains=None, curves=None)
  whole = jnp.asarray(images[:2])
  for decoded, same in ((whole, False), (whole[:, 1:7, 1:7], True)):
    found, expected = (sampler.with_contrast(decoded, x) for x in (nsn.contrast, plain))
    assert np.array_equal(found, expected) == same


def test_curves_are_saved_and_checked(with_windows, tmp_path):
  nsn, _ = with_windows
  nsn_jax.save(tmp_path / "model", nsn)
  found = nsn_jax.load(tmp_path / "model")
  few = nsn_jax.sample(KEY, nsn, 3)
  np.testing.assert_array_equal(nsn_jax.sample(KEY, found, 3), few)
  # A sample depends on its own number alone. Products of other sizes round otherwise.
  np.testing.assert_allclose(nsn_jax.sample(KEY, nsn, 600)[:3], few, atol=1e-5)
  first, second = nsn.contrast.curves
  for bad in (
    (),
    [first, second],
    (first, tuple(second)),
    (first._replace(directions=first.directions[1:]),),
    (first._replace(directions=first.directions[:, 1:]),),
    (first._replace(directions=jnp.tile(first.directions, (1, 3, 3, 1))),),
    (first._replace(shift=first.shift[:, :1]),),
    (first._replace(first=first.first[1:]),),
    (first._replace(step=first.step.at[2].set(0.0)),),
    (second, first._replace(shift=first.shift.at[0, 0].set(jnp.nan))),
  ):
    wrong = dataclasses.replace(nsn, contrast=nsn.contrast._replace(curves=bad))
    with pytest.raises(ValueError, match=r"^nsn\.contrast"):
      nsn_jax.save(tmp_path / "wrong", wrong)


@pytest.mark.parametrize("windows", [8, (0,), (2.5,), ("8",), "8", (True,), None])
def test_windows_that_are_none(windows, decoded_digits):
  with pytest.raises(ValueError, match="contrast_windows"):
    dataclasses.replace(decoded_digits[0].config, contrast_windows=windows)


def test_windows_larger_than_the_images_are_refused_before_training(decoded_digits):
  nsn, images = decoded_digits
  side = images.shape[1] + 1
  config = dataclasses.replace(nsn.config, contrast_windows=(2, side))
  expected = f"contrast_windows: expected at most the images' {side - 1} pixels a side, got {side}"
  with pytest.raises(ValueError, match=expected):
    nsn_jax.fit(KEY, images, config, on_begin=lambda _: pytest.fail("training began"))
  with pytest.raises(ValueError, match=expected):
    contrast.find_contrast(KEY, dataclasses.replace(nsn, config=config), images)
