"""The search for the sampler's settings."""

import jax
import pytest

import nsn_jax
from experiments import tune_sampler
from experiments.common import judging


def test_the_search_never_ends_below_its_start(
  nsn: nsn_jax.NSN, judge: judging.Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(tune_sampler, "_GAMMA_FACTORS", (0.5,))
  monkeypatch.setattr(tune_sampler, "_BETAS", (2.0,))
  monkeypatch.setattr(tune_sampler, "_ALPHAS", ())
  monkeypatch.setattr(tune_sampler, "_DRAWS", (1,))
  key = jax.random.key(1)
  start, _ = judging.score_samples(key, judge, nsn, 200)
  best, score = tune_sampler.search(key, judge, nsn, num_samples=200, rounds=1)
  assert (-judging.unfairness(score), score.inception_score) >= (
    -judging.unfairness(start),
    start.inception_score,
  )
  again, _ = judging.score_samples(key, judge, nsn, 200, best)
  assert again == score
