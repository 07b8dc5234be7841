"""The epsilon strip: its numbers of filters are given, so that only epsilon differs."""

import dataclasses

import jax

from experiments.common import finding, judging
from experiments.studies import epsilon
from nsn_jax import data


def test_epsilon(nsn, judge: judging.Judge, finder: finding.Finder, tmp_path, monkeypatch):
  monkeypatch.setattr(epsilon, "EPSILONS", (1.0,))
  monkeypatch.setattr(epsilon, "_BETAS", (1.0, 2.0))
  images = data.load("digits", limit=150).images
  lines: list[str] = []
  judges = (finder, judge)
  rows = epsilon.vary(jax.random.key(0), nsn, images, judges, tmp_path, 50, lines.append)
  assert [row["epsilon"] for row in rows] == [None, 1.0] and len(lines) == 2
  # The numbers are given: only epsilon differs.
  assert [row["num_filters"] for row in rows] == [list(nsn.num_filters)] * 2
  # The finder chooses, relative to the contrast that each network has found. The judge scores.
  assert all(row["sampler"]["beta"] in (1.0, 2.0) for row in rows)
  assert all(row["likeness"]["cost"] > 0 and row["score"]["inception_score"] > 1 for row in rows)
  assert (tmp_path / "epsilon.png").stat().st_size > 0
  without = epsilon.vary(jax.random.key(0), nsn, images, None, tmp_path, 50, lines.append)
  assert "score" not in without[0]
  assert without[0]["sampler"] == dataclasses.asdict(nsn.config.sampler)
