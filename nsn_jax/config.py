"""Hyper-parameters: frozen, hashable, plain values, so that jit takes them as static."""

import dataclasses

from nsn_jax import numerics


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerConfig:
  """One layer: its window, its threshold, and how it is trained.

  Attributes:
    kernel: side of the square window, in values of the map below.
    stride: step between windows.
    threshold: tau. The one knob that decides how many filters are found: a patch whose best
      similarity (Eq 1) is below it asks for a new filter.
    growth_patches: most patches that growth looks at, drawn at random from the training set.
    seeds_per_step: new filters tried at a growth step.
    em_steps: EM iterations between two growth steps.
    min_patches: a filter that holds fewer of the growth patches is dropped.
    tolerated_share: growth ends when at most this share of the patches is below the threshold.
    patience: growth ends after as many steps in a row that found no filter more.
    exchange_steps: steps that move the least useful filters to where they raise the mean best
      similarity most, their number unchanged; 0 for growth alone.
    max_filters: upper bound of the number of filters.
    max_passes: most EM iterations over the full data, the number of filters fixed.
    tolerance: those end when an iteration raises the mean best similarity by less.
    variance_floor: least variance of a filter.
  """

  kernel: int
  stride: int
  threshold: float = -1.0
  growth_patches: int = 60_000
  seeds_per_step: int = 16
  em_steps: int = 3
  min_patches: int = 8
  tolerated_share: float = 0.005
  patience: int = 4
  exchange_steps: int = 40
  max_filters: int = 4096
  max_passes: int = 8
  tolerance: float = 1e-3
  variance_floor: float = numerics.VARIANCE_FLOOR

  def __post_init__(self) -> None:
    """Checks every field.

    Raises:
      ValueError: with the field's name, what is expected and what came.
    """
    for name, low in (
      ("kernel", 1), ("stride", 1), ("growth_patches", 2), ("seeds_per_step", 1), ("em_steps", 1),
      ("min_patches", 1), ("patience", 1), ("exchange_steps", 0), ("max_filters", 1),
      ("max_passes", 0),
    ):  # fmt: skip
      value = getattr(self, name)
      if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected an integer of at least {low}, got {value!r}")
    if self.stride > self.kernel:
      raise ValueError(
        f"stride: expected at most kernel={self.kernel}, got {self.stride}, "
        "which leaves pixels that no window covers"
      )
    if not self.threshold == self.threshold or abs(self.threshold) == float("inf"):
      raise ValueError(f"threshold: expected a finite number, got {self.threshold!r}")
    for name in ("tolerated_share", "tolerance"):
      if not 0 <= getattr(self, name) < 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {getattr(self, name)!r}")
    if not self.variance_floor > 0:
      raise ValueError(f"variance_floor: expected a positive number, got {self.variance_floor!r}")
