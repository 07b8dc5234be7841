"""How a training shows itself: one live line on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Sequence
from typing import TextIO

import tqdm

import nsn_jax

__all__ = ["ProgressLine"]

#: Seconds between lines where there is no terminal, and between refreshes where there is one.
_LOG_SECONDS = 15.0
_REFRESH_SECONDS = 0.1

#: What the phases are called that are no training steps.
_PREPARATIONS = {
  "whitening": "fitting the whitening",
  "maps": "encoding its input",
  "patches": "drawing patches",
}

#: The bar comes last: in a narrow window it is what can be spared.
_BAR = "{desc} |{bar:16}|"
_NO_BAR = "{desc}"


class ProgressLine:
  """A `report` callback for `nsn_jax.fit`, and the line at each layer's end."""

  def __init__(self, num_layers: int, stream: TextIO | None = None):
    self.num_layers = num_layers
    self.stream = sys.stderr if stream is None else stream
    self._bar: tqdm.tqdm | None = None
    if self.stream.isatty():
      self._bar = tqdm.tqdm(total=1, file=self.stream, leave=False, bar_format=_NO_BAR)
    self._phase: tuple[int, str] | None = None
    self._shown = 0.0
    self._begun = (0.0, 0.0, 0)

  def __call__(self, progress: nsn_jax.Progress) -> None:
    """Shows where training is, unless it was shown a moment ago."""
    now = time.monotonic()
    done = progress.step + progress.fraction
    phase = (progress.layer, progress.phase)
    if phase != self._phase:
      # Rates count from the first report on, which follows compilation.
      self._phase, self._begun = phase, (now, done, progress.patches)
      if self._bar is None and self._shown == 0.0:
        self._shown = now
    if now - self._shown < (_LOG_SECONDS if self._bar is None else _REFRESH_SECONDS):
      return
    self._shown = now
    text = self._text(progress)
    left = self._left(progress, now, done)
    if self._bar is None:
      print(text + left, file=self.stream, flush=True)
      return
    self._bar.bar_format = _BAR if progress.num_steps else _NO_BAR
    self._bar.total = progress.num_steps or 1
    self._bar.n = min(done, self._bar.total)
    self._bar.set_description_str(text + left, refresh=True)

  def _text(self, progress: nsn_jax.Progress) -> str:
    of = f"/{progress.num_steps}" if progress.num_steps else ""
    doing = _PREPARATIONS.get(progress.phase, f"{progress.phase} {progress.step + 1}{of}")
    parts = [f"layer {progress.layer} [{progress.layer + 1}/{self.num_layers}] {doing}"]
    if progress.record is not None:
      parts.append(_filters(progress.record.num_filters))
      parts.append(f"{progress.record.below_share:.1%} below threshold")
    start, _, patches = self._begun
    seconds = self._shown - start
    if seconds > 0 and progress.patches > patches:
      parts.append(f"{_short((progress.patches - patches) / seconds)} patches/s")
    return ", ".join(parts)

  def _left(self, progress: nsn_jax.Progress, now: float, done: float) -> str:
    """Time left of the phase: at most, as it may end early; nothing where nobody knows."""
    start, begun, _ = self._begun
    if not progress.num_steps or done <= begun:
      return ""
    seconds = (now - start) / (done - begun) * max(progress.num_steps - done, 0.0)
    return f", phase done in {_clock(seconds)} at most"

  def layer_done(self, layer: int, history: Sequence[nsn_jax.Record]) -> None:
    """Says what a layer found; this line stays."""
    if not history:  # A configuration that allows one filter and no pass over the data.
      return
    last = history[-1]
    self.say(
      f"layer {layer} [{layer + 1}/{self.num_layers}]: {_filters(last.num_filters)}, "
      f"{last.below_share:.2%} of the patches below threshold, "
      f"mean best similarity {last.mean_similarity:.3f}, {_clock(last.seconds)}"
    )
    if self._bar is not None:
      # Maps are encoded and programs compiled now, of which nothing is reported.
      self._bar.bar_format = _NO_BAR
      self._bar.set_description_str("preparing what comes next", refresh=True)

  def say(self, line: str) -> None:
    """Prints a line that stays, above the live one."""
    if self._bar is None:
      print(line, file=self.stream, flush=True)
    else:
      self._bar.write(line, file=self.stream)

  def close(self) -> None:
    """Takes the live line away."""
    if self._bar is not None:
      self._bar.close()


def _filters(count: int) -> str:
  return f"{count} filter{'s' * (count > 1)}"


def _short(number: float) -> str:
  for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
    if number >= factor:
      return f"{number / factor:.3g}{unit}"
  return f"{number:.0f}"


def _clock(seconds: float) -> str:
  whole = round(seconds)
  hours, minutes = divmod(whole // 60, 60)
  tail = f"{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
  return f"{hours}:{tail}" if hours else tail
