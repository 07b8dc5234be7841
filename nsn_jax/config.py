"""Hyper-parameters: frozen, hashable, plain values, so that jit takes them as static."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from nsn_jax import checks, numerics
from nsn_jax.placement import NUM_SHARDS

__all__ = ["DECODERS", "PRIORS", "LayerConfig", "NetworkConfig", "SamplerConfig"]

#: What sampling may start from.
PRIORS = ("noise", "mixture")
#: What decodes a layer when sampling, and how a layer's own is fitted.
DECODERS = ("fed", "exact", "drawn")
FITTED_DECODERS = ("drawn", "corrected", "linear", "found")

_LEAST_VARIANCE = float(np.finfo(np.float32).tiny)


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
    min_patches: a filter that holds fewer of the growth patches is dropped during growth.
    tolerated_share: growth ends when at most this share of the patches is below the threshold.
    patience: growth ends after as many steps in a row that found hardly a filter more,
    min_growth: which is fewer than this share of those that are there, or none.
    max_growth_steps: most growth steps.
    exchange_steps: steps that move the least useful filters to where they raise the mean best
      similarity most, their number unchanged; 0 for growth alone.
    max_filters: upper bound of the number of filters.
    max_passes: most EM iterations over the full data, the number of filters fixed.
    tolerance: those end when an iteration raises the mean best similarity by less.
    variance_floor: least variance of a filter.
    use_basis: where patches have thousands of values, to grow and iterate on their coordinates in
      a basis of the layer, several times as fast, and on the patches themselves in one last pass;
      see `nsn_jax.basis`. False: on the patches themselves all along.
    sample_patches: most patches that are iterated on before that last pass.
    rank: r, factors of each filter (`nsn_jax.factors`), or num_directions if that is fewer; 0 for
      the paper's filters. The mixture draws those of the last layer; below it they are part of the
      density alone.
    pooled: whether factors lean on what varies in all filters together, as far as the evidence says
      (`nsn_jax.pooling`); False: each filter's maximum likelihood. Pooled, more factors than a
      filter has patches are no overfitting.
    decoder: how the sampler decodes the layer (`nsn_jax.decoders`): "drawn", filters' means, as the
      paper does; "corrected", these moved by a linear map of each filter; "linear", by one of all;
      "found", whichever of them makes images like held-out ones (`nsn_jax.decoder_choice`).
    context: positions a side of the feature map that such a map sees, odd.
    num_features: of them, at most.
    num_directions: leading directions of what patches leave about their filters, at most, which
      factors and corrected decoders speak of.
    position_features: leading directions of each position's similarities that a map of several
      positions sees; 0 for all. Fewer sample large images faster, and cost quality: on MNIST 96 of
      129 raised the FID by the finder from 3.7 to 4.6.
  """

  kernel: int
  stride: int
  threshold: float = -1.0
  growth_patches: int = 30_000
  seeds_per_step: int = 16
  em_steps: int = 3
  min_patches: int = 8
  tolerated_share: float = 0.005
  patience: int = 4
  min_growth: float = 0.01
  max_growth_steps: int = 2_000
  exchange_steps: int = 20
  max_filters: int = 4096
  max_passes: int = 8
  tolerance: float = 1e-3
  variance_floor: float = numerics.VARIANCE_FLOOR
  use_basis: bool = True
  sample_patches: int = 200_000
  rank: int = 0
  pooled: bool = False
  decoder: str = "drawn"
  context: int = 1
  num_features: int = 48
  num_directions: int = 256
  position_features: int = 0

  def __post_init__(self) -> None:
    """Checks every field.

    Raises:
      ValueError: with the field's name, what is expected and what came.
    """
    for name, low in (
      ("kernel", 1),
      ("stride", 1),
      ("growth_patches", 2),
      ("seeds_per_step", 1),
      ("em_steps", 1),
      ("min_patches", 1),
      ("patience", 1),
      ("max_growth_steps", 1),
      ("exchange_steps", 0),
      ("max_filters", 1),
      ("max_passes", 0),
      ("sample_patches", 2),
      ("rank", 0),
      ("context", 1),
      ("num_features", 1),
      ("num_directions", 1),
      ("position_features", 0),
    ):
      value = getattr(self, name)
      checks.integer(name, value, low)
      object.__setattr__(self, name, int(value))
    if self.stride > self.kernel:
      raise ValueError(
        f"stride: expected at most kernel={self.kernel}, got {self.stride}, "
        "which leaves pixels that no window covers"
      )
    for name in ("use_basis", "pooled"):
      checks.instance(name, getattr(self, name), bool)
    _choice("decoder", self.decoder, FITTED_DECODERS)
    if self.context % 2 == 0:
      raise ValueError(f"context: expected an odd number of positions, got {self.context}")
    plain = {
      "threshold": checks.number("threshold", self.threshold, float("-inf")),
      # Below, its inverse is no float32.
      "variance_floor": checks.number("variance_floor", self.variance_floor, _LEAST_VARIANCE),
    }
    for name in ("min_growth", "tolerated_share", "tolerance"):
      plain[name] = checks.number(name, getattr(self, name), 0.0)
      if plain[name] >= 1:
        raise ValueError(f"{name}: expected a number in [0, 1), got {plain[name]!r}")
    for name, value in plain.items():  # plain values, also where numpy's came: files hold them
      object.__setattr__(self, name, value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SamplerConfig:
  """NSN-Gen's knobs (Eq 4-5). Each is one number, or one per layer, pixels first.

  Attributes:
    gamma: dynamic range of the similarities, in p = softmax(gamma * h). Large: uniform and sharp
      images; too large: no diversity.
    num_draws: T, draws with replacement from p (Eq 4). 1 is sharpest.
    alpha: pixel randomness, the share of each filter's deviation that is drawn (Eq 5).
    beta: contrast of the decoded patches, relative to the network's own (`NSN.contrast`), which is
      found at 1.
    prior: what sampling starts from: "noise", N(0, I) over the last layer's filters, as the paper
      does; or "mixture", these in proportion to the images that they hold, and their factors.
    temperature: of the factors that the mixture draws; 0 for none.
    decoder: "fed", the network's decoders for sampling where it has any, or else filters' means;
      "exact", that for maps of real images where such a map is decoded, and filters' means below;
      "drawn", filters' means alone, as the paper does.
  """

  gamma: float | tuple[float, ...] = 200.0
  num_draws: int | tuple[int, ...] = 1
  alpha: float | tuple[float, ...] = 0.0
  beta: float | tuple[float, ...] = 1.0
  prior: str = "noise"
  temperature: float = 1.0
  decoder: str = "fed"

  def __post_init__(self) -> None:
    """Checks every field.

    Raises:
      ValueError: with the field's name, what is expected and what came.
    """
    for name, low in (("gamma", 0.0), ("num_draws", 1), ("alpha", 0.0), ("beta", float("-inf"))):
      value = getattr(self, name)
      several = isinstance(value, tuple | list)
      if several and not value:
        raise ValueError(f"{name}: expected one number or one per layer, got {value!r}")
      plain = tuple(_knob(name, number, low) for number in (value if several else (value,)))
      object.__setattr__(self, name, plain if several else plain[0])
    _choice("prior", self.prior, PRIORS)
    _choice("decoder", self.decoder, DECODERS)
    temperature = checks.number("temperature", self.temperature, 0.0)
    object.__setattr__(self, "temperature", temperature)

  def per_layer(self, name: str, num_layers: int) -> tuple[float, ...]:
    """The knob `name` for each layer.

    Raises:
      ValueError: where a tuple's length is not the number of layers.
    """
    value = getattr(self, name)
    if not isinstance(value, tuple):
      return (value,) * num_layers
    if len(value) != num_layers:
      raise ValueError(
        f"{name}: expected one number or one per layer ({num_layers}), got {len(value)}: {value}"
      )
    return value


def _choice(name: str, value: Any, known: tuple[str, ...]) -> None:
  """Raises ValueError for what is none of the names."""
  if not isinstance(value, str) or value not in known:
    raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


def _knob(name: str, value: Any, low: float) -> float:
  """A sampler's knob as a plain value."""
  if name != "num_draws":
    return checks.number(name, value, low)
  checks.integer(name, value, int(low))
  return int(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkConfig:
  """A whole network.

  Attributes:
    layers: from the pixels up; the last must end at 1x1.
    whitening_epsilon: epsilon of the channel-wise ZCA whitening; None for plain images.
    sampler: the sampler's defaults for this network.
    exact_decoders: whether decoders for real images' maps are fitted, as filling uses them.
    contrast_directions: B, leading directions of the training images that have a contrast each
      (`nsn_jax.gains`); 0 for one contrast of all.
    contrast_windows: sides of windows whose directions have a curve each (`nsn_jax.curves`), one
      after the other, at most the images' own; () for none. For photographs.
    num_shards: S, logical shards that training cuts the images into, whatever the number of devices
      (`nsn_jax.placement`). What is found depends on it to the bit, on the devices not. A device
      holds at least two.
  """

  layers: tuple[LayerConfig, ...]
  whitening_epsilon: float | None = None
  sampler: SamplerConfig = SamplerConfig()
  exact_decoders: bool = True
  contrast_directions: int = 0
  contrast_windows: tuple[int, ...] = ()
  num_shards: int = NUM_SHARDS

  def __post_init__(self) -> None:
    """Checks every field.

    Raises:
      ValueError: with the field's name, what is expected and what came.
    """
    if not isinstance(self.layers, tuple) or not self.layers:
      raise ValueError(f"layers: expected a tuple of at least one LayerConfig, got {self.layers!r}")
    for layer in self.layers:
      if not isinstance(layer, LayerConfig):
        raise ValueError(f"layers: expected LayerConfig only, got {layer!r}")
    if self.whitening_epsilon is not None:
      epsilon = checks.number("whitening_epsilon", self.whitening_epsilon, 0.0, above=True)
      object.__setattr__(self, "whitening_epsilon", epsilon)
    checks.instance("sampler", self.sampler, SamplerConfig)
    checks.instance("exact_decoders", self.exact_decoders, bool)
    checks.integer("contrast_directions", self.contrast_directions, 0)
    object.__setattr__(self, "contrast_directions", int(self.contrast_directions))
    windows = self.contrast_windows
    if not isinstance(windows, tuple | list):
      raise ValueError(f"contrast_windows: expected a tuple of whole numbers, got {windows!r}")
    for side in windows:
      checks.integer("contrast_windows", side, 1)
    object.__setattr__(self, "contrast_windows", tuple(int(side) for side in windows))
    checks.integer("num_shards", self.num_shards, 2)
    object.__setattr__(self, "num_shards", int(self.num_shards))
    for name in ("gamma", "num_draws", "alpha", "beta"):
      self.sampler.per_layer(name, len(self.layers))

  @classmethod
  def from_plain(cls, plain: Mapping[str, Any]) -> "NetworkConfig":
    """A configuration of `dataclasses.asdict`'s values; fields that are not there have defaults.

    Raises:
      LookupError: where layers or sampler are missing.
      TypeError: for an unknown field.
      ValueError: for a value that is not as above.
    """
    layers = tuple(LayerConfig(**layer) for layer in plain["layers"])
    return cls(**{**plain, "layers": layers, "sampler": SamplerConfig(**plain["sampler"])})
