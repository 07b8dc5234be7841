"""How a baseline's training shows itself: a bar over an epoch's steps, and a line an epoch."""

from collections.abc import Mapping
from typing import Any

import tqdm

from nsn_jax import baselines
from nsn_jax.metrics import evaluation

__all__ = ["EpochLine"]


class EpochLine:
  """A bar over the steps of a baseline's epoch, and a line that stays for each epoch."""

  def __init__(self, num_epochs: int):
    self.num_epochs = num_epochs
    self._bar: tqdm.tqdm | None = None

  def __call__(self, at: baselines.EpochProgress) -> None:
    """Shows how far the epoch is."""
    if self._bar is None:
      name = f"epoch {at.epoch + 1}/{self.num_epochs}"
      self._bar = tqdm.tqdm(total=at.num_steps, desc=name, unit="step", leave=False, disable=None)
    self._bar.set_postfix({key: f"{value:.3g}" for key, value in at.metrics.items()}, refresh=False)
    self._bar.update(at.step - self._bar.n)

  def epoch_done(self, row: Mapping[str, Any]) -> None:
    """Says what an epoch came to."""
    self.close()
    parts = [f"epoch {row['epoch'] + 1}/{self.num_epochs}: {row['seconds']:.0f} s"]
    parts += [f"{name} {value:.3g}" for name, value in row["metrics"].items()]
    if row["collapsed"]:
      parts.append(f"samples are nearly all alike (diversity {row['diversity']:.2f}): collapsed?")
    print(", ".join(parts), flush=True)
    if "scores" in row:
      print(f"  {evaluation.Evaluation.from_row(row['scores']).row()}", flush=True)

  def close(self) -> None:
    """Takes the bar away."""
    if self._bar is not None:
      self._bar.close()
      self._bar = None
