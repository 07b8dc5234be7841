"""FractalNet (Larsson, Maire, Shakhnarovich 2016, arXiv:1605.07648): a deep one without residuals.

Drop-path needs no part of its own in training: what it draws comes from dropout's stream.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax import checks, numerics
from nsn_jax.metrics.classifier import layout
from nsn_jax.metrics.classifier.network import Classifier

__all__ = [
  "FractalArchitecture",
  "FractalBlock",
  "FractalNet",
  "Path",
  "RouteNorm",
  "column_alone",
  "kept",
]

_KERNEL = (3, 3)
#: Each one more doubles the network: of so many a block has 63 convolutions.
_MOST_COLUMNS = 6
#: Of the moments that evaluation normalises by. A column has one batch in six, so that the last
#: sixty steps count.
_MOMENTUM = 0.9
#: Added to variances.
_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class FractalArchitecture(layout.Layout):
  """Layout of a FractalNet: blocks of C columns that join and part again, pooled in between.

  With conv(z) a convolution, batch normalisation and ReLU, a block is f_C of
    f_1(z) = conv(z),
    f_{k+1}(z) = join[(f_k o f_k)(z), conv(z)],
  where a join is the mean of what arrives, and joins that follow each other are one. So f_C has
  2^C - 1 convolutions, and C columns of 1, 2, ..., 2^(C-1) of them in series. In training paths are
  dropped, a batch at a time: by `global_share` all but one column, the same in all blocks
  (*global*); else each input of each join with probability `drop_path`, where the last one stays
  (*local*). Evaluation has all paths, or those of `column`. As columns were trained to do alone,
  the deepest one is nearly as good as the whole.

  We depart from the paper, which has five blocks of four columns and 64 to 512 channels, to train
  on a CPU: blocks are four, of three columns and an eighth of the channels, and after the last one
  maps are averaged, where the paper's pooling ends at one position. Training is
  `train_classifier`'s: Adam, where the paper has SGD with momentum. And evaluation normalises by
  the moments of its own route, which are counted apart, as Yu et al. 2018 (arXiv:1812.08928) do for
  networks of several widths: by moments of all routes together, a network of 300 steps is wrong on
  half of the digits that it knows by a batch's own.

  Attributes:
    channels: of each block, >= 1; the last are the features.
    columns: C, from 1 to 6.
    drop_path: share of a join's inputs that local drop-path drops in training, in [0, 1).
    global_share: share of the batches that go through one column, in [0, 1].
    dropout: share of values dropped after the last block in training, in [0, 1); after those before
      it less, from none after the first.
    column: that evaluation goes through alone, from 1, of one convolution a block, to `columns`;
      None for all of them. Training is the same with any.

  Raises:
    ValueError: if a value is out of its range.
  """

  kind: ClassVar[str] = "fractal"

  channels: tuple[int, ...] = (8, 16, 32, 64)
  columns: int = 3
  drop_path: float = 0.15
  global_share: float = 0.5
  dropout: float = 0.2
  column: int | None = None

  def __post_init__(self) -> None:
    layout.check_counts("channels", self.channels)
    if not self.channels:
      raise ValueError("channels: expected those of one block at least, got none")
    checks.integer("columns", self.columns, 1, _MOST_COLUMNS)
    for name in ("drop_path", "dropout"):
      layout.check_share(name, getattr(self, name))
    if not 0 <= self.global_share <= 1:
      raise ValueError(f"global_share: expected a number in [0, 1], got {self.global_share}")
    if self.column is not None:
      checks.integer("column", self.column, 1, self.columns)

  @property
  def num_features(self) -> int:
    """Channels of the last block."""
    return self.channels[-1]

  def network(self, num_classes: int) -> "FractalNet":
    """See `Layout.network`."""
    return FractalNet(self, num_classes)


class Path(NamedTuple):
  """What a batch goes through in training.

  Attributes:
    is_global: whether it goes through one column alone, bool [].
    column: which, from 1, int32 [].
  """

  is_global: jax.Array
  column: jax.Array


#: All paths as they are; a column alone, from 1; or what was drawn for a batch.
Route = Path | int | None


class RouteNorm(nn.Module):
  """Batch normalisation of [N, h, w, C]; evaluation's moments are counted for each route apart.

  Those of all paths, whatever local drop-path leaves of them, come first, then the columns'.
  """

  columns: int

  @nn.compact
  def __call__(self, x: jax.Array, route: Route, *, is_training: bool) -> jax.Array:
    """Normalises, by the batch's own moments in training."""
    width = x.shape[-1:]
    scale = self.param("scale", nn.initializers.ones, width, jnp.float32)
    bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
    counted = (1 + self.columns, *width)
    means = self.variable("batch_stats", "mean", jnp.zeros, counted, jnp.float32)
    variances = self.variable("batch_stats", "var", jnp.ones, counted, jnp.float32)
    row = route or 0 if not isinstance(route, Path) else jnp.where(*route, 0)
    if is_training:
      mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
      for each, value in ((means, mean), (variances, variance)):
        each.value = each.value.at[row].multiply(_MOMENTUM).at[row].add((1 - _MOMENTUM) * value)
    else:
      mean, variance = means.value[row], variances.value[row]
    return (x - mean) * (scale * jax.lax.rsqrt(variance + _EPSILON)) + bias


class FractalBlock(nn.Module):
  """f_C, from [N, h, w, c] to [N, h, w, width]."""

  width: int
  columns: int
  drop_path: float

  @nn.compact
  def __call__(self, z: jax.Array, route: Route, *, is_training: bool) -> jax.Array:
    """Goes through the block; in training the batch's own moments normalise.

    Args:
      z: [N, h, w, c].
      route: where joins let through.
      is_training: what normalises.
    """

    def conv(x: jax.Array) -> jax.Array:
      x = nn.Conv(self.width, _KERNEL, use_bias=False, precision=numerics.PRECISION)(x)
      return nn.relu(RouteNorm(self.columns)(x, route, is_training=is_training))

    def arriving(z: jax.Array, level: int) -> list[jax.Array]:
      """At the join that ends f_level: a map a column, the deepest first."""
      own = conv(z)
      if level == 1:
        return [own]
      middle = self._join(arriving(z, level - 1), route)
      return [*arriving(middle, level - 1), own]

    return self._join(arriving(z, self.columns), route)

  def _join(self, maps: Sequence[jax.Array], route: Route) -> jax.Array:
    """The mean of the maps that a route lets through, of the deepest columns."""
    if len(maps) == 1:
      return maps[0]
    columns = range(self.columns, self.columns - len(maps), -1)
    if isinstance(route, int) and route in columns:
      return maps[columns.index(route)]
    if not isinstance(route, Path):
      return sum(maps[1:], start=maps[0]) / len(maps)
    is_kept = kept(self.make_rng("dropout"), len(maps), self.drop_path)
    is_own = jnp.asarray(list(columns)) == route.column
    # A join that the column passes by leads nowhere, but should stay finite.
    is_kept = jnp.where(route.is_global & is_own.any(), is_own, is_kept)
    weights = is_kept / is_kept.sum()
    return sum(
      (weight * each for weight, each in zip(weights, maps, strict=True)),
      start=jnp.zeros_like(maps[0]),
    )


def kept(key: jax.Array, num_inputs: int, drop_path: float) -> jax.Array:
  """Which inputs of a join local drop-path keeps: bool [num_inputs], never none of them.

  Args:
    key: PRNG key.
    num_inputs: of the join.
    drop_path: probability that one is dropped. Where all are, one of them stays, any as likely.
  """
  drop_key, spare_key = jax.random.split(key)
  is_kept = jax.random.bernoulli(drop_key, 1 - drop_path, (num_inputs,))
  is_spare = jnp.arange(num_inputs) == jax.random.randint(spare_key, (), 0, num_inputs)
  return jnp.where(is_kept.any(), is_kept, is_spare)


class FractalNet(nn.Module):
  """The network as a flax module, from 8-bit images to (logits, features)."""

  architecture: FractalArchitecture
  num_classes: int

  @nn.compact
  def __call__(self, images: jax.Array, *, is_training: bool) -> tuple[jax.Array, jax.Array]:
    """Returns logits [N, classes] and features [N, num_features] of uint8 [N, H, W, C] images."""
    arch = self.architecture
    route = self._drawn() if is_training else arch.column
    last = len(arch.channels) - 1
    x = images.astype(jnp.float32) / 127.5 - 1  # [N, H, W, C] in [-1, 1]
    for number, width in enumerate(arch.channels):
      x = FractalBlock(width, arch.columns, arch.drop_path)(x, route, is_training=is_training)
      # [N, ceil(h / 2), ceil(w / 2), width], and [N, width] after the last.
      x = layout.max_pool(x) if number < last else x.mean(axis=(1, 2))
      if number < last:
        self.sow("intermediates", "maps", x)
      features = x
      x = nn.Dropout(arch.dropout * number / max(last, 1), deterministic=not is_training)(x)
    return nn.Dense(self.num_classes, precision=numerics.PRECISION)(x), features

  def _drawn(self) -> Path:
    """The paths of a batch."""
    kind_key, column_key = jax.random.split(self.make_rng("dropout"))
    arch = self.architecture
    column = jax.random.randint(column_key, (), 1, arch.columns + 1)
    return Path(jax.random.bernoulli(kind_key, arch.global_share), column)


def column_alone(classifier: Classifier, column: int | None) -> Classifier:
  """The same classifier where images go through one column of each block alone.

  Args:
    classifier: of a `FractalArchitecture`.
    column: from 1 to its `columns`, the last the deepest; None for all of them.

  Raises:
    ValueError: for a classifier of another architecture, or a column that it has not.
  """
  checks.instance("classifier", classifier, Classifier)
  checks.instance("architecture", classifier.architecture, FractalArchitecture)
  assert isinstance(classifier.architecture, FractalArchitecture)
  architecture = dataclasses.replace(classifier.architecture, column=column)
  return dataclasses.replace(classifier, architecture=architecture)
