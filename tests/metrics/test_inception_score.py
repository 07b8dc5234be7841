"""The Inception score against closed forms, hand-made rows and scipy's entropy."""

import re

import jax
import numpy as np
import pytest
from scipy import special, stats

from nsn_jax import metrics


def _dirichlet(num_rows, num_classes, seed=0):
  return np.random.default_rng(seed).dirichlet(np.full(num_classes, 0.3), num_rows)


@pytest.mark.parametrize("num_classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("num_splits", [1, 3, 10])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_one_hot_and_even_is_the_number_of_classes(num_classes, num_splits, dtype):
  rows = np.tile(np.eye(num_classes, dtype=dtype), (num_splits, 1))
  score = metrics.inception_score(rows, num_splits=num_splits)
  np.testing.assert_allclose(score, (num_classes, 0), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("row", [[1.0], [1.0, 0.0], [0.2, 0.3, 0.5]])
def test_equal_rows_score_one(row):
  score = metrics.inception_score(np.tile(row, (20, 1)))
  np.testing.assert_allclose(score, (1, 0), atol=1e-12)


def test_two_rows_by_hand():
  # p(y) = (5/8, 3/8). Row (1, 0): log(8/5). Row (1/4, 3/4): log(2/5)/4 + 3 log(2)/4.
  # Their sum is 4 log(2) - 5 log(5)/4, their mean's exponential 4 / 5**(5/8).
  expected = 4 / 5 ** (5 / 8)
  score = metrics.inception_score([[1, 0], [0.25, 0.75]], num_splits=1)
  np.testing.assert_allclose(score, (expected, 0), rtol=1e-14)


@pytest.mark.parametrize(("num_rows", "num_splits"), [(1, 1), (2, 2), (50, 10), (53, 10), (200, 1)])
def test_agrees_with_scipy_entropy(num_rows, num_splits):
  rows = _dirichlet(num_rows, 7)
  # Contiguous; the remainder goes to the first splits, one each.
  sizes = [num_rows // num_splits + (i < num_rows % num_splits) for i in range(num_splits)]
  ends = np.cumsum(sizes)
  scores = []
  for start, end in zip(ends - sizes, ends, strict=True):
    part = rows[start:end]
    marginal = sum(part) / len(part)
    scores.append(np.exp(np.mean([stats.entropy(row, marginal) for row in part])))
  mean = sum(scores) / num_splits
  deviation = (sum((score - mean) ** 2 for score in scores) / num_splits) ** 0.5
  score = metrics.inception_score(rows, num_splits=num_splits)
  np.testing.assert_allclose(score, (mean, deviation), rtol=1e-10, atol=1e-12)


def test_deviation_is_the_populations():
  # Splits of score 2 (both classes) and 1 (one class): mean 1.5, deviation 0.5 with divisor 2.
  rows = np.eye(2)[[0, 1, 0, 0]]
  np.testing.assert_allclose(metrics.inception_score(rows, num_splits=2), (1.5, 0.5), rtol=1e-14)


def test_log_score_is_the_mutual_information():
  # mean KL(p(y|x) || p(y)) = H(y) - H(y|x), by entropies alone.
  rows = _dirichlet(300, 12)
  expected = special.entr(rows.mean(axis=0)).sum() - special.entr(rows).sum(axis=1).mean()
  assert np.log(metrics.inception_score(rows, num_splits=1).mean) == pytest.approx(expected)


def test_order_of_classes_does_not_matter():
  rows = _dirichlet(100, 10)
  order = np.random.default_rng(1).permutation(10)
  np.testing.assert_allclose(
    metrics.inception_score(rows[:, order]), metrics.inception_score(rows), rtol=1e-12
  )


def test_order_within_a_split_does_not_matter_but_splits_are_contiguous():
  rows = np.eye(2)[[0, 1, 0, 1]]
  assert metrics.inception_score(rows, num_splits=2).mean == pytest.approx(2)
  assert metrics.inception_score(rows[[1, 0, 2, 3]], num_splits=2).mean == pytest.approx(2)
  assert metrics.inception_score(rows[[0, 2, 1, 3]], num_splits=2).mean == pytest.approx(1)


def test_score_takes_device_arrays_and_returns_floats():
  score = metrics.inception_score(jax.nn.softmax(jax.random.normal(jax.random.key(0), (30, 5))))
  assert isinstance(score.mean, float) and isinstance(score.deviation, float)
  assert 1 < score.mean < 5


@pytest.mark.parametrize(
  ("rows", "num_splits", "message"),
  [
    (
      np.ones(5),
      1,
      "probabilities: expected shape [N, classes] with N and classes of at least 1, got (5,)",
    ),
    (np.ones((0, 5)), 1, "got (0, 5)"),
    (np.ones((5, 0)), 1, "got (5, 0)"),
    (np.ones((4, 2)) / 2, 0, "num_splits: expected an integer of at least 1, got 0"),
    (np.ones((4, 2)) / 2, 2.0, "num_splits: expected an integer of at least 1, got 2.0"),
    (
      np.ones((4, 2)) / 2,
      5,
      "num_splits: expected at most the number of rows of probabilities, 4, got 5",
    ),
    (
      np.array([[0.5, 0.5], [0.5, 0.502]]),
      1,
      "probabilities: expected rows that sum to 1 within 0.001, got 1.002 in row 1",
    ),
    (np.array([[0.5, 0.5], [0.1, 0.1]]), 1, "got 0.2 in row 1"),
    (np.array([[np.nan, 0.5], [0.5, 0.5]]), 1, "expected finite values, got NaN or infinity in 1"),
    (np.array([[np.inf, 0.5], [0.5, -np.inf]]), 1, "got NaN or infinity in 2 rows"),
    (np.array([[1.5, -0.5]]), 1, "probabilities: expected values in [0, 1], got [-0.5, 1.5]"),
    (np.ones((4, 2)) * (0.5 + 0j), 1, "expected real numbers, got dtype complex128"),
  ],
)
def test_bad_probabilities(rows, num_splits, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    metrics.inception_score(rows, num_splits=num_splits)


def test_rows_may_be_off_by_rounding():
  rows = np.array([[0.5, 0.5009], [0.5, 0.4991]])
  assert metrics.inception_score(rows, num_splits=1).mean == pytest.approx(1, abs=2e-3)


def test_a_key_shuffles_what_comes_class_by_class():
  rows = np.repeat(np.eye(10), 100, axis=0)
  assert metrics.inception_score(rows).mean == pytest.approx(1)  # each split is of one class
  mixed = metrics.inception_score(rows, key=jax.random.key(0))
  assert mixed.mean > 9 and mixed == metrics.inception_score(rows, key=jax.random.key(0))
  assert mixed != metrics.inception_score(rows, key=jax.random.key(1))
  with pytest.raises(ValueError, match="key: expected one PRNG key"):
    metrics.inception_score(rows, key=0)


def test_one_split_has_no_order():
  rows = _dirichlet(100, 5)
  shuffled = metrics.inception_score(rows, num_splits=1, key=jax.random.key(0))
  np.testing.assert_allclose(shuffled, metrics.inception_score(rows, num_splits=1), rtol=1e-12)
