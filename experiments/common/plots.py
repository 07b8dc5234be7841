"""Curves and histograms, written to files: growth, scores, pixel values."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import nsn_jax
from nsn_jax import files

__all__ = ["Curve", "growth_curve", "histograms", "lines", "score_curve"]

Images = npt.NDArray | jax.Array

_PHASES = {"growth": "growth", "exchange": "exchange", "em": "EM"}
_PHASE_COLOURS = {"growth": "#dbe9f6", "exchange": "#e5f5e0", "em": "#fee8d3"}
_DPI = 120


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
  # A canvas of its own: pyplot, and whatever backend the caller uses, are left alone.
  FigureCanvasAgg(figure)
  # By its format, as the place that it is written to has another suffix.
  with files.replacing(path) as temporary:
    figure.savefig(temporary, dpi=_DPI, format=pathlib.Path(path).suffix[1:] or "png")


def growth_curve(history: Sequence[Sequence[nsn_jax.Record]], path: str | os.PathLike[str]) -> None:
  """Draws how the filters of each layer were found: their number K, and the share below tau.

  Args:
    history: the records of each layer, pixels first.
    path: of the picture.

  Raises:
    ValueError: where there is no layer.
    OSError: where `path` cannot be written.
  """
  if not history:
    raise ValueError("history: expected the records of at least one layer, got none")
  # An axis is narrow for one layer and would hide its labels.
  figure = Figure(figsize=(max(3.4 * len(history), 5.5), 5.6), layout="constrained")
  axes = figure.subplots(2, len(history), sharex="col", squeeze=False)
  # A share of exactly 0 has no place on a logarithmic axis: it is drawn at the axis' foot.
  least = min((r.below_share for rows in history for r in rows if r.below_share > 0), default=0.01)
  foot = min(max(10.0 ** math.floor(math.log10(least)), 1e-5), 0.01)
  for layer, records in enumerate(history):
    upper, lower = axes[:, layer]
    steps = np.arange(1, len(records) + 1)
    _shade_phases(upper, lower, records)
    # Growth begins with a single filter.
    upper.plot([0, *steps], [1, *(r.num_filters for r in records)], color="#1f4e79")
    upper.yaxis.set_major_locator(MaxNLocator(integer=True))
    shares = np.array([r.below_share for r in records])
    lower.semilogy(steps, np.maximum(shares, foot), color="#a63603", clip_on=False)
    lower.set_ylim(foot, 1.3)
    upper.set_ylim(bottom=0)
    upper.set_xlim(0, len(records) + 0.5)
    found = records[-1].num_filters if records else 0
    upper.set_title(f"layer {layer}: K = {found}")
    lower.set_xlabel("step")
    for axis in (upper, lower):
      axis.grid(alpha=0.3)
  axes[0, 0].set_ylabel("filters K")
  axes[1, 0].set_ylabel("share of patches\nbelow threshold τ")
  handles, labels = axes[0, 0].get_legend_handles_labels()
  if handles:
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False)
  _save(figure, path)


def _shade_phases(upper: Axes, lower: Axes, records: Sequence[nsn_jax.Record]) -> None:
  """A band a phase behind both curves."""
  start = 0
  for phase, name in _PHASES.items():
    end = start + sum(r.phase == phase for r in records)
    if end > start:
      colour = _PHASE_COLOURS[phase]
      upper.axvspan(start and start + 0.5, end + 0.5, color=colour, linewidth=0, label=name)
      lower.axvspan(start and start + 0.5, end + 0.5, color=colour, linewidth=0)
    start = end


def histograms(
  real: Images,
  generated: Images,
  path: str | os.PathLike[str],
  bins: int = 64,
) -> tuple[float, float]:
  """Draws the pixel values of real and of generated images side by side, on the same scales.

  Args:
    real: [N, H, W, C], uint8, or float, which is clipped to [0, 1].
    generated: the same, of any number.
    path: of the picture.
    bins: bins of [0, 1].

  Returns:
    The mean pixel of either, after clipping.

  Raises:
    ValueError: where either has no pixels.
    OSError: where `path` cannot be written.
  """
  edges = np.linspace(0.0, 1.0, bins + 1)
  counts, means = [], []
  for name, images in (("real", real), ("generated", generated)):
    array = np.asarray(images)
    if not array.size:
      raise ValueError(f"{name}: expected at least one pixel, got shape {array.shape}")
    # Without a copy in float64, which for 60,000 images is gigabytes.
    unit = array / np.float32(255) if array.dtype == np.uint8 else np.clip(array, 0.0, 1.0)
    counts.append(np.histogram(unit, edges)[0])
    means.append(float(unit.mean(dtype=np.float64)))
  shares = [count / count.sum() for count in counts]
  figure = Figure(figsize=(8, 3.2), layout="constrained")
  axes = figure.subplots(1, 2, sharex=True, sharey=True)
  for axis, name, share, mean in zip(
    axes, ("real images", "generated images"), shares, means, strict=True
  ):
    axis.stairs(share, edges, fill=True, color="#1f4e79")
    axis.set_yscale("log")
    axis.set_title(f"{name}: mean pixel {mean:.3f}")
    axis.set_xlabel("pixel value")
    axis.grid(alpha=0.3)
  axes[0].set_ylabel("share of pixels")
  _save(figure, path)
  return means[0], means[1]


#: Of a plot's title, x values and y values; several lines of one plot have a name each.
Curve = tuple[str, Sequence[float], Sequence[float] | Mapping[str, Sequence[float]]]


def lines(
  curves: Sequence[Curve],
  ylabel: str,
  path: str | os.PathLike[str],
  *,
  xlabel: str = "",
  logarithmic: Sequence[bool] = (),
) -> None:
  """Draws curves side by side, each from 0 up.

  Args:
    curves: title, x and y of each; y may be several by name.
    ylabel: of all, which then have one scale; empty where each is something else.
    path: of the picture.
    xlabel: of all; by default the titles stand there.
    logarithmic: whether each one's x axis is; by default none is.

  Raises:
    OSError: where `path` cannot be written.
  """
  figure = Figure(figsize=(3.4 * len(curves), 3.2), layout="constrained")
  (axes,) = figure.subplots(1, len(curves), sharey=bool(ylabel), squeeze=False)
  for index, (axis, (title, x, y)) in enumerate(zip(axes, curves, strict=True)):
    named = y if isinstance(y, Mapping) else {"": y}
    for (name, values), colour in zip(named.items(), ("#1f4e79", "#a63603"), strict=False):
      axis.plot(x, values, marker="o", markersize=3, color=colour, label=name)
    if len(named) > 1:
      axis.legend(frameon=False)
    if xlabel:
      axis.set_title(title)
    axis.set_xlabel(xlabel or title)
    axis.grid(alpha=0.3)
    if all(isinstance(value, int) for value in x):
      axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if logarithmic and logarithmic[index]:
      axis.set_xscale("log")
    if index == 0:
      axis.set_ylabel(ylabel)
  for axis in axes:
    axis.set_ylim(bottom=0)  # When all are drawn: it fixes the top, which they may share.
  _save(figure, path)


def score_curve(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
  """Draws a training's scores by epoch: inception score, FID, precision and recall.

  Args:
    rows: one an epoch with `epoch` and, where it was scored, `scores`.
    path: of the picture. Nothing is drawn of fewer than two scored epochs.

  Raises:
    OSError: where `path` cannot be written.
  """
  scored = [row for row in rows if "scores" in row]
  if len(scored) < 2:
    return
  epochs = [row["epoch"] + 1 for row in scored]

  def values(name: str) -> list[float]:
    return [row["scores"][name] for row in scored]

  both = {name: values(name) for name in ("precision", "recall")}
  lines(
    [
      ("inception score", epochs, values("inception_score")),
      ("FID", epochs, values("fid")),
      ("precision and recall", epochs, both),
    ],
    "",
    path,
    xlabel="epoch",
  )
