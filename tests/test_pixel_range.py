"""`nsn_jax.pixel_range`: all 256 values there and back, and rounding by hand, in plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nsn_jax import pixel_range

EVERY = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_every_value_survives_the_unit_range(kind):
  unit = pixel_range.to_unit(kind(EVERY))
  assert unit.dtype == np.float32 and unit.shape == EVERY.shape
  # A product by 1 / 255 where XLA has one: an ulp.
  np.testing.assert_allclose(unit, EVERY / 255, rtol=2**-22)
  assert unit.min() == 0 and unit.max() == 1
  found = pixel_range.to_uint8(unit)
  assert isinstance(found, np.ndarray) and found.dtype == np.uint8
  np.testing.assert_array_equal(found, EVERY)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_every_value_survives_the_signed_range(kind):
  signed = pixel_range.to_signed(kind(EVERY))
  assert signed.dtype == np.float32 and signed.shape == EVERY.shape
  # float32, of values up to 2 before 1 is taken away.
  np.testing.assert_allclose(signed, EVERY / 127.5 - 1, atol=2**-22)
  assert signed.min() == -1 and signed.max() == 1
  found = pixel_range.from_signed(signed)
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, EVERY)
  np.testing.assert_array_equal(pixel_range.to_uint8(signed, (-1.0, 1.0)), EVERY)
  np.testing.assert_array_equal(jax.jit(pixel_range.from_signed)(signed), EVERY)


@pytest.mark.parametrize(
  ("kind", "dtype"),
  [
    (np.asarray, np.float16),
    (np.asarray, np.float32),
    (np.asarray, np.float64),
    (jnp.asarray, np.float16),
    (jnp.asarray, np.float32),  # The widest that JAX has by default.
  ],
)
def test_floats_of_any_width(kind, dtype):
  unit = kind((EVERY / 255).astype(dtype))
  np.testing.assert_array_equal(pixel_range.to_uint8(unit), EVERY)
  found = pixel_range.to_unit(unit)
  assert found.dtype == np.float32
  np.testing.assert_array_equal(found, np.asarray(unit).astype(np.float32))  # As they are.


def test_8_bits_are_returned_as_they_are():
  assert pixel_range.to_uint8(EVERY) is EVERY
  assert pixel_range.to_uint8(EVERY, (0.2, 0.3)) is EVERY
  found = pixel_range.to_uint8(jnp.asarray(EVERY))
  assert isinstance(found, np.ndarray)
  np.testing.assert_array_equal(found, EVERY)


def test_values_are_clipped():
  given = np.array([-np.inf, -3.0, -1e-7, 0.0, 1.0, 1 + 1e-6, 7.0, np.inf], np.float32)
  assert pixel_range.to_uint8(given).tolist() == [0, 0, 0, 0, 255, 255, 255, 255]
  signed = pixel_range.from_signed(jnp.asarray(given * 2 - 1))
  assert signed.tolist() == [0, 0, 0, 0, 255, 255, 255, 255]


def test_values_are_rounded_to_the_nearest():
  below, above = ((np.arange(1, 255) + by) / 255 for by in (-0.49, 0.49))
  for shifted in (below, above):
    shifted = shifted.astype(np.float32)
    assert pixel_range.to_uint8(shifted).tolist() == list(range(1, 255))
    assert pixel_range.from_signed(jnp.asarray(shifted * 2 - 1)).tolist() == list(range(1, 255))


def test_limits_become_black_and_white():
  given = np.array([-5.0, -2.0, 0.0, 0.5, 3.0, 4.0], np.float32)
  # From -2 to 3: 0 is two fifths of 255, 0.5 is half of it, 127.5, to the even one.
  assert pixel_range.to_uint8(given, (-2.0, 3.0)).tolist() == [0, 0, 102, 128, 255, 255]


def test_equal_limits_part_black_and_white():
  given = np.array([0.0, 0.5, 1.0], np.float32)
  with np.errstate(all="raise"):
    assert pixel_range.to_uint8(given, (0.5, 0.5)).tolist() == [0, 0, 255]


@pytest.mark.parametrize("num_images", [0, 1, 1000, 1001, 2345])
def test_any_number_of_images(num_images):
  given = np.random.default_rng(0).uniform(-0.2, 1.2, (num_images, 3, 2, 1)).astype(np.float32)
  found = pixel_range.to_uint8(given)
  assert found.shape == given.shape and found.dtype == np.uint8
  # All at once, and not in parts.
  np.testing.assert_array_equal(found, np.rint(np.clip(given, 0, 1) * np.float32(255)))
