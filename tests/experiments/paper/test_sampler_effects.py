"""Fig 5: one knob varied at a time, on the same noise."""

import jax

from experiments.common import judging
from experiments.paper import sampler_effects

KEY = jax.random.key(0)


def test_effects(nsn, judge: judging.Judge, tmp_path, monkeypatch):
  monkeypatch.setattr(sampler_effects, "_GAMMA_FACTORS", (0.01, 1.0))
  monkeypatch.setattr(sampler_effects, "_ALPHAS", (0.0,))
  monkeypatch.setattr(sampler_effects, "_BETAS", (0.5, 2.0))
  found = sampler_effects.vary(KEY, nsn, judge, tmp_path, 60)
  assert {knob: [row["value"] for row in rows] for knob, rows in found.items()} == {
    "gamma": [0.01, 1.0],
    "alpha": [0.0],
    "beta": [0.5, 2.0],
  }
  # Both are the network's own setting, on the same noise.
  assert found["gamma"][1]["inception_score"] == found["alpha"][0]["inception_score"]
  for name in ("effect_gamma", "effect_alpha", "effect_beta", "sampler_effects"):
    assert (tmp_path / f"{name}.png").stat().st_size > 0
