"""PixelRNN (van den Oord et al. 2016, arXiv:1601.06759): Row LSTM and Diagonal BiLSTM."""

import dataclasses
from typing import Any, ClassVar

import jax

from nsn_jax import checks
from nsn_jax.baselines.autoregressive import pixel_values
from nsn_jax.baselines.autoregressive.completing_model import CompletingModel
from nsn_jax.baselines.autoregressive.pixel_network import Kind, PixelNetwork

__all__ = ["DiagonalBiLSTM", "PixelRNN", "RowLSTM"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelRNN(CompletingModel):
  """Each of 256 values has a probability that depends on those before it, row by row, R, G, B.

  A 7x7 convolution under mask A, LSTMs under mask B with the map passed around each, and two layers
  at a pixel that give logits. What a pixel depends on is the kind's. The density is explicit: the
  loss is the negative log-likelihood in bits a value, exact. A sample takes a step a value, and
  costs as much as one pass over an image for each colour: what later pixels need of earlier ones is
  kept, not found anew.

  The recipe is the paper's for MNIST: h = 16, RMSProp, batches of 16. Its pixels there are black or
  white, and here have 256 values, as in colour. We fill in what it leaves open: rate 1e-3,
  gradients longer than 1 are cut to 1, forget gates begin with a bias of 1.

  Attributes:
    kind: of the LSTMs.
    image_shape: [H, W, C].
    hidden: h, units of an LSTM, at least C, as they are dealt out to the colours; maps have 2h
      features, the last hidden layer 4h.
    num_layers: LSTMs.
    batch_size: images a step.
    learning_rate: of RMSProp.

  Raises:
    ValueError: for values that are not as above.
  """

  kind: ClassVar[Kind]
  width_field: ClassVar[str | None] = "hidden"

  hidden: int = 16
  num_layers: int = 7

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("hidden", self.hidden, self.image_shape[-1])
    checks.integer("num_layers", self.num_layers, 1)

  @property
  def _network(self) -> PixelNetwork:
    return PixelNetwork(self.image_shape, self.kind, self.hidden, self.num_layers)

  def first(self, key: jax.Array) -> Any:
    """Weights that training begins with."""
    return self._network.init(key)

  def logits(self, params: Any, images: jax.Array) -> jax.Array:
    """Logits of every value, each from those before it alone.

    Args:
      params: of the network.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      float32 [N, H, W, C, 256].
    """
    return self._network.logits(params, images)

  def value_bits(self, params: Any, images: jax.Array) -> jax.Array:
    """Negative log2-likelihood of each value given those before it: float32 [N, H, W, C]."""
    return pixel_values.bits(self.logits(params, images), images)

  def draw(self, key: jax.Array, params: Any, images: jax.Array, known: jax.Array) -> jax.Array:
    """Images of which some pixels are known: as `complete`, unchecked."""
    return self._network.draw(key, params, images, known)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowLSTM(PixelRNN):
  """PixelRNN whose LSTMs run from row to row, for all of a row at once.

  A pixel depends on a triangle above it, and not on all that came before: on pixels to the right as
  far as the first layer's window reaches, and one more for each row further up. Fields are
  PixelRNN's.
  """

  title: ClassVar[str] = "Row LSTM"
  default_epochs: ClassVar[int] = 3
  kind: ClassVar[Kind] = "row"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagonalBiLSTM(PixelRNN):
  """PixelRNN whose LSTMs run along diagonals, from either side.

  A pixel depends on all that came before. Fields are PixelRNN's. The paper's has 7 layers: three
  cost as much as seven of Row LSTM.
  """

  title: ClassVar[str] = "Diagonal BiLSTM"
  default_epochs: ClassVar[int] = 3
  kind: ClassVar[Kind] = "diagonal"

  num_layers: int = 3
