"""Rows of one process: its shards hold each once, so do passes, and any are taken by number."""

import jax
import numpy as np
import pytest

from nsn_jax import placement, processes, rows

NUM_SHARDS = 4


def _rows(count):
  where = placement.place(None, NUM_SHARDS)
  return rows.Rows(100 + np.arange(count), count, where)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 203])
def test_shards_hold_each_row_once_in_order(count):
  found = _rows(count)
  shards = found.shards()
  assert len(shards) == NUM_SHARDS
  assert [row for shard in shards for row in shard] == list(range(count))
  assert max(map(len, shards)) == found.most
  assert max(map(len, shards)) - min(map(len, shards)) <= 1
  assert found.shape == (count,) and len(found) == count


@pytest.mark.parametrize(("count", "size"), [(1, 2), (7, 2), (203, 16), (12, 3), (12, 100)])
def test_a_pass_sees_each_row_once(count, size):
  found, seen, ends = _rows(count), [], 0
  for batch in found.batches(size):
    assert batch.base.shape == (size,)
    (shard,) = batch.shards
    values = np.asarray(batch.base)[: batch.counts[0]]
    np.testing.assert_array_equal(
      values, 100 + np.asarray(found.shards()[shard][batch.start : batch.start + size])
    )
    assert not np.asarray(batch.base)[batch.counts[0] :].any()
    seen.append(values)
    ends += batch.ends
  np.testing.assert_array_equal(np.concatenate(seen), found.local)
  assert ends == NUM_SHARDS


def test_a_pass_over_chosen_rows():
  chosen = [np.asarray([0, 2]), np.asarray([3]), np.asarray([], int), np.asarray([9, 10, 11])]
  counts, seen = [], []
  for batch in _rows(12).batches(2, chosen, most=3):
    counts.append((batch.shards[0], batch.start, int(batch.counts[0]), batch.ends))
    seen += np.asarray(batch.base)[: batch.counts[0]].tolist()
  assert seen == [100, 102, 103, 109, 110, 111]
  assert counts[:2] == [(0, 0, 2, False), (0, 2, 0, True)]
  assert counts[-2:] == [(3, 0, 2, False), (3, 2, 1, True)]


def test_take():
  numbers = np.asarray([5, 0, 5, 11, 3])
  np.testing.assert_array_equal(_rows(12).take(numbers), 100 + numbers)
  assert _rows(12).take(np.asarray([], int)).shape == (0,)


def test_count_rows():
  assert rows.count_rows(placement.place(None, NUM_SHARDS), 7) == 7


def test_of_one_process_all_is_as_it_was_given():
  array = np.arange(6).reshape(3, 2)
  assert processes.joined(array) is array
  np.testing.assert_array_equal(processes.across(array), array)
  assert processes.of_first(b"abc") == b"abc"
  assert processes.arrays_of_first([array])[0] is array
  assert processes.agreed(lambda: array, lambda _: {"any": "fact"}) is array
  with pytest.raises(KeyError), processes.losses_told():
    raise KeyError("gloo")
  with pytest.raises(ValueError, match=r"^gloo$"), processes.losses_told():
    raise ValueError("gloo")


def test_a_lost_process_is_told_of_whoever_says_it(monkeypatch):
  monkeypatch.setattr(jax, "process_count", lambda: 2)
  for said in (
    ValueError("UNKNOWN: Gloo AllGather failed: [pair.cc:547] Connection closed by peer [::1]"),
    jax.errors.JaxRuntimeError("INTERNAL: NCCL operation failed: remote process exited"),
    RuntimeError("UNAVAILABLE: Failed to send RPC to coordination service"),
  ):
    with pytest.raises(processes.LostProcessError, match="all 2 to go on"), processes.losses_told():
      raise said
  with pytest.raises(ValueError, match=r"^images: "), processes.losses_told():
    raise ValueError("images: expected uint8")
