"""Curves and histograms: what they measure, and that they are whole."""

import numpy as np
import pytest

import nsn_jax
from experiments.common import plots
from tests.experiments import helpers


def test_histograms(tmp_path):
  real = np.full((2, 4, 4, 1), 51, np.uint8)
  generated = np.array([-3.0, 0.0, 1.0, 5.0], np.float32).reshape(1, 2, 2, 1)
  assert plots.histograms(real, generated, tmp_path / "h.png") == pytest.approx((0.2, 0.5))
  assert helpers.picture_size(tmp_path / "h.png")[0] > 800
  with pytest.raises(ValueError, match="generated: expected"):
    plots.histograms(real, real[:0], tmp_path / "h.png")


def test_growth_curve_of_few_records(tmp_path):
  record = nsn_jax.Record("growth", 0, 3, 0.0, -1.0, 10, 0.1)
  plots.growth_curve([[record], []], tmp_path / "g.png")
  assert helpers.picture_size(tmp_path / "g.png")[0] > 500
  with pytest.raises(ValueError, match="history"):
    plots.growth_curve([], tmp_path / "g.png")


@pytest.mark.parametrize("ylabel", ["score", ""])
def test_curves_are_drawn_whole_and_those_of_one_measure_on_one_scale(ylabel, monkeypatch):
  drawn = []
  monkeypatch.setattr(plots, "_save", lambda figure, _: drawn.append(figure))
  plots.lines([("a", (1, 2), (0.5, 1.0)), ("b", (1.0, 2.5), (3.0, 9.0))], ylabel, "none")
  limits = [axis.get_ylim() for axis in drawn[0].axes]
  assert all(low == 0 for low, _ in limits)
  assert limits[0][1] >= 1.0 and limits[1][1] >= 9.0
  assert (limits[0] == limits[1]) == bool(ylabel)
