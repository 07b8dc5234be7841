"""Rendering: turns by numpy, thickness by scipy, bars by hand, and factors that are none."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from nsn_jax import data

_SIDE = 16


def _factors(identities, angles=0.0, widths=1.0, thicknesses=0.0) -> data.Factors:
  identities = np.atleast_1d(identities)
  values = (np.broadcast_to(x, identities.shape) for x in (angles, widths, thicknesses))
  return data.Factors(identities, *values)


@pytest.fixture(scope="module")
def shapes() -> np.ndarray:
  """Three digits, of no symmetry, uint8 [3, 16, 16, 1]."""
  return np.asarray(data.load("digits", image_size=_SIDE, limit=5).images[[2, 3, 4]])


@pytest.fixture(scope="module")
def bar() -> np.ndarray:
  """Eight columns and all but two rows above and below: [1, 16, 16, 1]."""
  image = np.zeros((1, _SIDE, _SIDE, 1), np.uint8)
  image[:, 2:14, 4:12] = 255
  return image


def _columns(images: np.ndarray) -> list[int]:
  """Bright columns of the middle row, which has no greys but the spline's ringing."""
  row = images[0, _SIDE // 2, :, 0].astype(int)
  assert ((row < 40) | (row > 215)).all(), row  # A cubic spline swings by 1/8 at a step, and less.
  return np.flatnonzero(row > 127).tolist()


@pytest.mark.parametrize("kind", ["uint8", "float32", "jax"])
def test_factors_that_leave_a_shape_give_it_back(shapes, kind):
  given = {"uint8": shapes, "float32": shapes.astype(np.float32) / 255, "jax": jnp.asarray(shapes)}
  found = data.render(given[kind], _factors([2, 0, 0]))
  assert found.dtype == np.uint8 and isinstance(found, np.ndarray)
  np.testing.assert_array_equal(found, shapes[[2, 0, 0]])


@pytest.mark.parametrize("side", [_SIDE, _SIDE - 1])  # A middle between pixels, and on one.
def test_quarter_turns_are_numpys(shapes, side):
  shapes = shapes[:, :side, :side]
  colours = np.concatenate([shapes, shapes[::-1], shapes // 2], axis=-1)
  for turns in (1, 2, 3, -1, 5):
    found = data.render(colours, _factors([0, 1, 2], 90.0 * turns))
    np.testing.assert_array_equal(found, np.rot90(colours, turns, axes=(1, 2)))


def test_other_turns_are_scipys(shapes):
  angles = np.array([30.0, 135.0, -20.0])
  found = data.render(shapes, _factors([0, 1, 2], angles))
  for image, shape, angle in zip(found[..., 0], shapes[..., 0], angles, strict=True):
    turned = ndimage.rotate(shape.astype(float), angle, reshape=False, order=3)
    # Linear within quarters of a pixel, and rounded.
    np.testing.assert_allclose(image, np.clip(turned, 0, 255), atol=8)


def test_beyond_the_shape_is_black():
  found = data.render(np.full((1, 9, 9, 1), 255, np.uint8), _factors([0], 45.0))[0, ..., 0]
  assert found[0, 0] == found[0, -1] == found[-1, 0] == 0 and found[4, 4] == found[0, 4] == 255


def test_a_bar_is_made_half_as_wide(bar):
  assert _columns(bar) == list(range(4, 12))
  half = data.render(bar, _factors(0, widths=0.5))
  assert _columns(half) == list(range(6, 10))
  # And as high as it was.
  np.testing.assert_array_equal(half[0, :, 8, 0] > 127, bar[0, :, 8, 0] > 127)
  assert half.sum() / bar.sum() == pytest.approx(0.5, abs=0.03)  # ringing
  # One and a half times is twelve columns.
  assert _columns(data.render(bar, _factors(0, widths=1.5))) == list(range(2, 14))


def test_outlines_move_by_the_thickness(bar):
  assert _columns(data.render(bar, _factors(0, thicknesses=1.0))) == list(range(3, 13))
  assert _columns(data.render(bar, _factors(0, thicknesses=2.0))) == list(range(2, 14))
  assert _columns(data.render(bar, _factors(0, thicknesses=-1.0))) == list(range(5, 11))
  # After it is stretched: by as much, whatever the width.
  thick = data.render(bar, _factors(0, widths=0.5, thicknesses=1.0))
  assert _columns(thick) == list(range(5, 11))
  # And before it is turned.
  turned = data.render(bar, _factors(0, 90.0, 0.5, 1.0))
  np.testing.assert_array_equal(turned, np.rot90(thick, axes=(1, 2)))


def test_thickness_is_dilation_by_a_disc(shapes):
  finer = 16
  shape = shapes[0, ..., 0].astype(float)
  scale = ((_SIDE - 1) * finer + 1) / _SIDE
  fine = np.clip(ndimage.zoom(shape, scale, order=3, mode="mirror"), 0, 255)
  for thickness in (1.25, -0.6):
    reach = round(abs(thickness) * finer)
    across = np.arange(-reach, reach + 1)
    disc = across[:, None] ** 2 + across**2 <= (abs(thickness) * finer) ** 2
    morphed = ndimage.grey_dilation if thickness > 0 else ndimage.grey_erosion
    expected = morphed(fine, footprint=disc, mode="constant")[::finer, ::finer]
    found = data.render(shapes, _factors(0, thicknesses=thickness))[0, ..., 0]
    # Points of circles miss the brightest place by up to a quarter of a pixel.
    difference = found - expected
    assert np.abs(difference).mean() < 3 and np.abs(difference).max() < 40
    assert np.abs(difference).mean() < 0.1 * np.abs(shape - expected).mean()


def test_ink_grows_with_the_thickness(shapes):
  thicknesses = np.linspace(-2, 2, 17)
  for identity in range(3):
    found = data.render(shapes, _factors(np.full(17, identity), 20.0, 0.8, thicknesses))
    ink = found.astype(np.int64).sum(axis=(1, 2, 3))
    assert (np.diff(ink) > 0).all()
    # No pixel loses by more, or gains by less.
    assert (found[8] <= found[9:]).all() and (found[8] >= found[:8]).all()


def test_a_dot_becomes_a_disc():
  dot = np.zeros((1, 9, 9, 1), np.uint8)
  dot[0, 4, 4] = 255
  disc = data.render(dot, _factors(0, thicknesses=2.0))[0, ..., 0]
  assert (disc[4, 2:7] > 250).all() and (disc[2:7, 4] > 250).all()
  # A dot's own edge is a pixel wide; a square would have the corners in full.
  assert disc[2, 2] < 100 and disc[6, 2] < 100 and disc[4, 0] < 60


def test_an_image_depends_on_its_own_factors_alone(shapes):
  one = _factors(1, 77.0, 0.7, 0.3)
  # Beside a thicker one, of which more points are looked at, and in another place.
  others = data.Factors(
    *(np.append(x, y) for x, y in zip(_factors(2, 5.0, 1.2, 2.0), one, strict=True))
  )
  np.testing.assert_array_equal(data.render(shapes, others)[1], data.render(shapes, one)[0])
  # More of them than are made at a time.
  many = data.render(shapes, _factors(np.ones(70, int), 77.0, 0.7, 0.3))
  np.testing.assert_array_equal(many, np.repeat(data.render(shapes, one), 70, axis=0))


def test_no_images_and_the_smallest_image():
  assert data.render(np.zeros((2, 3, 5, 4), np.uint8), _factors(np.zeros(0, int))).shape == (
    0,
    3,
    5,
    4,
  )
  dot = np.full((1, 1, 1, 1), 200, np.uint8)
  np.testing.assert_array_equal(data.render(dot, _factors([0, 0], [0, 33], [1, 0.5], [0, 0])), 200)
  bright = np.full((1, 1, 1, 1), 254.7 / 255, np.float32)
  assert data.render(bright, _factors([0])).item() == 255  # rounded
  tall = np.arange(15, dtype=np.uint8).reshape(1, 5, 3, 1)
  np.testing.assert_array_equal(data.render(tall, _factors(0, 180.0)), tall[:, ::-1, ::-1])


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"identities": [0.0]}, "factors.identities: expected integers [N], got float64 (1,)"),
    ({"identities": [3]}, "factors.identities: expected positions from 0 to 2, got 3 to 3"),
    ({"identities": [-1]}, "factors.identities: expected positions from 0 to 2, got -1 to -1"),
    ({"angles": [np.inf]}, "factors.angles: expected finite numbers, got NaN or infinity"),
    (
      {"angles": [1.0, 2.0]},
      "factors.angles: expected numbers [1], one an image, got float64 (2,)",
    ),
    ({"widths": [0.0]}, "factors.widths: expected numbers above 0, got 0.0"),
    ({"widths": ["1"]}, "factors.widths: expected numbers [1], one an image, got <U1 (1,)"),
    (
      {"thicknesses": [-2.5]},
      "factors.thicknesses: expected pixels from -2 to 2, got -2.5 to -2.5",
    ),
  ],
)
def test_bad_factors(shapes, change, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    data.render(shapes, _factors([0])._replace(**change))


def test_bad_prototypes_and_no_factors(shapes):
  with pytest.raises(ValueError, match=r"prototypes: expected an array \[N, H, W, C\]"):
    data.render(shapes[0], _factors([0]))
  with pytest.raises(ValueError, match="prototypes: expected uint8, or float in"):
    data.render(shapes.astype(np.float32), _factors([0]))
  with pytest.raises(ValueError, match="factors: expected a Factors, got tuple"):
    data.render(shapes, (0, 0, 1, 0))


def test_rows_by_position_and_by_mask():
  factors = _factors([0, 1, 2], [1.0, 2.0, 3.0])
  assert factors.rows(np.array([2, 0])).angles.tolist() == [3, 1]
  assert factors.rows(factors.angles > 1).identities.tolist() == [1, 2]
