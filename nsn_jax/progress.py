"""How training tells what it does: records of its steps, and callbacks as it goes on."""

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

from nsn_jax.filters import Filters
from nsn_jax.origin import Origin

__all__ = [
  "LayerState",
  "Log",
  "OnFraction",
  "OnProgress",
  "OnState",
  "Progress",
  "Record",
  "TrainingState",
]


class Record(NamedTuple):
  """One step of training, plain values.

  Attributes:
    phase: "growth", "exchange" or "em".
    step: number of the step within its phase, from 0.
    num_filters: born filters after it.
    below_share: share of the patches below the threshold.
    mean_similarity: mean best similarity; in phase "em" over the full data.
    num_patches: patches that one pass of this phase looks at.
    seconds: since the layer's start.
  """

  phase: str
  step: int
  num_filters: int
  below_share: float
  mean_similarity: float
  num_patches: int
  seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
  """What a `report` callback gets: a finished step, or a part of a pass over the full data.

  Attributes:
    layer: index of the layer.
    record: the last finished step.
    phase: the phase under way: one of a record's, or what goes before them: "whitening" is fitted,
      "maps" that it sees are made, "patches" are drawn for growth.
    step: the step under way, of `num_steps` at most.
    num_steps: upper bound of the phase's steps; 0 where nobody knows it (growth).
    patches: patches passed through since the layer's start, each pass counted.
    fraction: share of the step under way that is done.
  """

  layer: int
  record: Record | None
  phase: str
  step: int
  num_steps: int
  patches: int
  fraction: float


class LayerState(NamedTuple):
  """Where the training of a layer is, between two steps.

  Attributes:
    phase: "growth", "exchange", "sample" or "em".
    step: steps of it that are finished.
    filters: the filters; in "growth" a bank, unborn ones last. Where a layer grows on coordinates,
      of these, until "em".
    info: born filters, share of the patches below the threshold, and mean best similarity.
    stalled: growth steps in a row that found hardly a filter more.
    done: whether the phase has ended by itself.
  """

  phase: str
  step: int
  filters: Filters
  info: tuple[int, float, float]
  stalled: int = 0
  done: bool = False


class TrainingState(NamedTuple):
  """Where a training is within a layer: what `fit` goes on from beside the layers below.

  Attributes:
    layer: index of the layer.
    state: of the layer.
    history: its records so far.
    patches: patches passed through, each pass counted.
    basis: digest of the basis that the filters are coordinates in; empty where there is none.
    origin: what the training was: `fit` goes on from states of the same one alone.
  """

  layer: int
  state: LayerState
  history: tuple[Record, ...]
  patches: int
  basis: str
  origin: Origin


#: Told of the state after each step: the `on_state` of `fit`.
OnState = Callable[[TrainingState], None]
#: Told of progress: the `report` of `fit` and `fit_layer`.
OnProgress = Callable[[Progress], None]
#: Told of the share of a pass that is done.
OnFraction = Callable[[float], None]


def _ignore(_: Progress) -> None:
  pass


class Log:
  """Keeps the history and tells the callback. Host-side bookkeeping only.

  Attributes:
    layer: index of the layer.
    report: the callback.
    on_state: told of the state after each step.
    history: one record a finished step.
    patches: patches passed through, each pass counted.
    basis: digest of the layer's basis.
    start: when the layer began, in seconds of `time.perf_counter`.
  """

  def __init__(
    self,
    layer: int,
    report: OnProgress | None,
    on_state: OnState | None = None,
    resumed: TrainingState | None = None,
    origin: Origin | None = None,
  ):
    self.layer, self.report, self.on_state = layer, report or _ignore, on_state
    self.basis, self._origin = "", origin
    self.history: list[Record] = list(resumed.history) if resumed else []
    self.patches = resumed.patches if resumed else 0
    before = self.history[-1].seconds if self.history else 0.0
    self.start = time.perf_counter() - before

  def keep(self, state: LayerState) -> None:
    """Tells of the state after a step."""
    if self.on_state is None or self._origin is None:
      return
    history = tuple(self.history)
    told = TrainingState(self.layer, state, history, self.patches, self.basis, self._origin)
    self.on_state(told)

  def step(
    self, phase: str, step: int, num_steps: int, info: tuple[int, float, float], size: int
  ) -> None:
    """Keeps a finished step: `info` is its number of filters, share below and similarity."""
    seconds = time.perf_counter() - self.start
    self.history.append(Record(phase, step, *info, size, seconds))
    self.partial(phase, step, num_steps, 1.0)

  def partial(self, phase: str, step: int, num_steps: int, fraction: float) -> None:
    """Tells the callback how far the step under way is."""
    last = self.history[-1] if self.history else None
    self.report(Progress(self.layer, last, phase, step, num_steps, self.patches, fraction))

  def preparing(self, phase: str) -> OnFraction:
    """A callback that tells of a pass that is no training step and leaves no record."""
    return lambda fraction: self.partial(phase, 0, 1, fraction)
