"""Mapped arrays: what is such a file, byte by byte, and what a checksum sees."""

import os

import numpy as np
import pytest

from nsn_jax.data import mapped


def _random(*shape):
  return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2, 2, 1)])
def test_it_is_what_numpy_saves(tmp_path, dtype, shape):
  array = _random(*shape).astype(dtype)
  np.save(tmp_path / "x.npy", array)
  found = mapped.opened(tmp_path / "x.npy", dtype, shape)
  np.testing.assert_array_equal(found, array, strict=True)
  assert isinstance(found, np.memmap) and not found.flags.writeable


@pytest.mark.parametrize("rest", [(), (64, 64, 3), (7000, 7000, 3)])
def test_a_header_is_as_long_for_any_number_of_rows(rest):
  """So it can be written over when the rows are counted."""
  lengths = {len(mapped.header(np.uint8, (10**digits, *rest))) for digits in range(13)}
  assert lengths == {len(mapped.header(np.uint8, (0, *rest)))}


@pytest.mark.parametrize("change", [-1, 1, 100])
def test_a_file_of_another_size_is_told_by_both(tmp_path, change):
  np.save(tmp_path / "x.npy", _random(5, 2, 2, 1))
  os.truncate(tmp_path / "x.npy", 148 + change)
  with pytest.raises(ValueError, match=rf"^expected 148 bytes in x\.npy, got {148 + change}$"):
    mapped.opened(tmp_path / "x.npy", np.uint8, (5, 2, 2, 1))


def test_a_file_of_another_array_as_large_is_refused(tmp_path):
  for other in (_random(5, 2, 1, 2), _random(5, 2, 2, 1).view(np.int8), _random(20)):
    np.save(tmp_path / "x.npy", other)
    with pytest.raises(ValueError, match=r"^x\.npy does not begin as uint8 \[5, 2, 2, 1\]$"):
      mapped.opened(tmp_path / "x.npy", np.uint8, (5, 2, 2, 1))
  with pytest.raises(ValueError, match=r"^expected a file none\.npy, got none$"):
    mapped.opened(tmp_path / "none.npy", np.uint8, (5, 2, 2, 1))


# checksums


def test_a_checksum_is_of_dtype_shape_and_values():
  array = _random(6, 4)
  other = array.copy()
  other[5, 3] ^= 1
  of_each = [array, other, array.reshape(4, 6), array.view(np.int8), array[:5]]
  assert len({mapped.digest(one) for one in of_each}) == len(of_each)
  assert mapped.digest(array) == mapped.digest(array.copy())


@pytest.fixture
def blocks(monkeypatch):
  """Has arrays of more than 1,000 bytes be checked by 5 blocks of 10."""
  monkeypatch.setattr(mapped, "_WHOLE_BYTES", 1000)
  monkeypatch.setattr(mapped, "_NUM_BLOCKS", 5)
  monkeypatch.setattr(mapped, "_BLOCK_BYTES", 10)


@pytest.mark.parametrize("size", [1000, 1001, 5003])
def test_of_large_arrays_evenly_spread_blocks_count(blocks, size):
  array = _random(size)
  whole = mapped.digest(array)
  seen = []
  for place in range(size):
    array[place] ^= 1
    if mapped.digest(array) != whole:
      seen.append(place)
    array[place] ^= 1
  if size <= 1000:
    assert seen == list(range(size))
  else:
    starts = [round((size - 10) * part / 4 - 0.499) for part in range(5)]
    assert seen == [place for start in starts for place in range(start, start + 10)]
    assert seen[0] == 0 and seen[-1] == size - 1
