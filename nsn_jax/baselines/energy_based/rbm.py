"""The restricted Boltzmann machine (Smolensky 1986; Hinton 2002; Tieleman 2008)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import binary_pixels
from nsn_jax.baselines.baseline import Metrics
from nsn_jax.baselines.energy_based import annealed_importance, boltzmann
from nsn_jax.baselines.energy_based.annealed_importance import Base
from nsn_jax.baselines.energy_based.boltzmann import Parameters, Units
from nsn_jax.baselines.energy_based.boltzmann_machine import BoltzmannMachine, log_odds
from nsn_jax.pixel_range import to_signed

__all__ = ["RBM", "RBMState"]

_UNITS = {"binary": boltzmann.BINARY, "gaussian": boltzmann.GAUSSIAN}
#: Factor of the learning rate: nothing bounds what normal units are.
_GAUSSIAN_RATE = 0.1
#: Least standard deviation of a channel's pixels, in [-1, 1]: half a level of 8 bits.
_LEAST_SCALE = 1 / 255


class RBMState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    parameters: of the machine.
    optimizer: the optimizer's state.
    particles: visible units of the chains that persist, float32 [batch_size, V]; None of a machine
      without.
    mean: of the data's pixels, float32 [V]: of all so far, in [0, 1], where they are binary; of the
      first batch, in [-1, 1], where they are normal.
    scale: standard deviation of a channel in the first batch, float32 [C]; None where pixels are
      binary.
    step: steps done, int32.
  """

  parameters: Parameters
  optimizer: Any
  particles: jax.Array | None
  mean: jax.Array
  scale: jax.Array | None
  step: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class RBM(BoltzmannMachine):
  """Pixels and hidden units that see each other, trained by contrastive divergence.

  A step lowers the free energy of the batch and raises that of what Gibbs chains have come to: from
  the batch itself, CD-k (Hinton 2002), or from where they were after the last step, PCD-k (Tieleman
  2008). What a pixel means to the machine is one of

  - "binary": its value in [0, 1] is the probability of a 1, drawn anew each step. Density is that
    of the pixels so drawn.
  - "gaussian": it is normal of variance 1 given the hidden units, after the mean of the pixel and
    the standard deviation of its channel in the first batch are taken out (Hinton's guide 2010,
    section 13.2). One deviation a channel, as pixels at the border of digits have almost none; and
    not learned, as variances need rates of their own and tend to break training. Density is that of
    8-bit pixels, bounded by noise of one level (Theis et al. 2016, arXiv:1511.01844). The rate
    is a tenth, as the guide has it.

  CD-1 raises the energy near the data alone: on MNIST its machine's chains end with black images,
  those of PCD with digits.

  Biases of binary pixels begin at the first batch's log-odds. We leave the guide where it raises
  momentum along the way, and draws the hidden units alone: pixels are drawn, too, as what a chain
  that persists needs to be one of the model.

  Attributes:
    image_shape: [H, W, C].
    hidden: H, hidden units.
    visible: "binary" or "gaussian".
    persistent: whether chains persist.
    batch_size: images a step, and chains.
    learning_rate: at first; of normal pixels a tenth of it.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "RBM"
  default_epochs: ClassVar[int] = 200
  width_field: ClassVar[str | None] = "hidden"

  hidden: int = 500
  visible: str = "binary"
  persistent: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    checks.integer("hidden", self.hidden, 1)
    if not isinstance(self.visible, str) or self.visible not in _UNITS:
      raise ValueError(f"visible: expected one of {', '.join(_UNITS)}, got {self.visible!r}")
    checks.instance("persistent", self.persistent, bool)

  @property
  def units(self) -> Units:
    """Kind of the pixels."""
    return _UNITS[self.visible]

  def rate(self, step: jax.Array) -> jax.Array:
    """The learning rate at a step, from 0."""
    return super().rate(step) * (1.0 if self._is_binary else _GAUSSIAN_RATE)

  @property
  def _is_binary(self) -> bool:
    return self.visible == "binary"

  def init(self, key: jax.Array) -> RBMState:
    """The state that training begins with; what depends on data is set by the first step."""
    parameters = boltzmann.init(key, self.num_pixels, self.hidden)
    pixels = jnp.zeros(self.num_pixels, jnp.float32)
    return RBMState(
      parameters=parameters,
      optimizer=self.optimizer().init(parameters),
      particles=jnp.zeros((self.batch_size, self.num_pixels), jnp.float32)
      if self.persistent
      else None,
      mean=pixels + 0.5 if self._is_binary else pixels,
      scale=None if self._is_binary else jnp.ones(self.image_shape[-1], jnp.float32),
      step=jnp.zeros((), jnp.int32),
    )

  def step(self, key: jax.Array, state: RBMState, images: jax.Array) -> tuple[RBMState, Metrics]:
    """One step of CD-k or PCD-k.

    Args:
      key: PRNG key of all draws.
      state: before the step.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it; `reconstruction`, the mean squared error of a visible unit's mean given
      the hidden ones' means, and `gap`, the free energy of the fantasies less that of the data, in
      nats an image, both before it.
    """
    begin_key, data_key, chain_key = jax.random.split(key, 3)
    state = jax.lax.cond(
      state.step == 0, lambda: self._begun(begin_key, state, images), lambda: state
    )
    parameters = state.parameters
    data = self._units_of(data_key, state, images)
    fantasies = boltzmann.gibbs(
      chain_key,
      self.units,
      parameters,
      data if state.particles is None else state.particles,
      self.num_gibbs,
    )
    gradient = boltzmann.contrast(parameters, data, fantasies)
    hidden = jax.nn.sigmoid(boltzmann.hidden_logits(parameters, data))
    rebuilt = self.units.mean(boltzmann.visible_logits(parameters, hidden))
    energies = (
      boltzmann.free_energy(self.units, parameters, visible).mean() for visible in (fantasies, data)
    )
    of_fantasies, of_data = energies
    metrics = {"reconstruction": ((rebuilt - data) ** 2).mean(), "gap": of_fantasies - of_data}
    changed, optimizer = self.descend(parameters, gradient, state.optimizer, self.rate(state.step))
    mean = state.mean
    if self._is_binary:
      of_batch = (images.reshape(len(images), -1).mean(axis=0) + 1.0) / 2.0
      mean = mean + (of_batch - mean) / (state.step + 1).astype(jnp.float32)
    return RBMState(
      parameters=changed,
      optimizer=optimizer,
      particles=None if state.particles is None else fantasies,
      mean=mean,
      scale=state.scale,
      step=state.step + 1,
    ), metrics

  def _begun(self, key: jax.Array, state: RBMState, images: jax.Array) -> RBMState:
    """The first state, with what it takes of the first batch."""
    flat = images.reshape(len(images), -1)
    if self._is_binary:
      bias = log_odds((flat.mean(axis=0) + 1.0) / 2.0)
      state = state._replace(parameters=state.parameters._replace(visible_bias=bias))
    else:
      mean = flat.mean(axis=0)
      variance = ((flat - mean).reshape(-1, self.image_shape[-1]) ** 2).mean(axis=0)
      state = state._replace(mean=mean, scale=jnp.maximum(jnp.sqrt(variance), _LEAST_SCALE))
    if state.particles is None:
      return state
    start = Base(state.parameters.visible_bias, state.parameters.hidden_bias)
    drawn = annealed_importance.draw_base(key, self.units, start, len(state.particles))
    return state._replace(particles=drawn)

  def _scales(self, state: RBMState) -> jax.Array:
    """Standard deviation of each pixel, [V], of normal ones."""
    assert state.scale is not None
    return jnp.tile(state.scale, self.num_pixels // self.image_shape[-1])

  def _units_of(self, key: jax.Array, state: RBMState, images: jax.Array) -> jax.Array:
    """Visible units of images in [-1, 1]."""
    flat = images.reshape(len(images), -1)
    if self._is_binary:
      return jax.random.bernoulli(key, (flat + 1.0) / 2.0).astype(jnp.float32)
    return (flat - state.mean) / self._scales(state)

  def draw_visible(
    self, key: jax.Array, state: RBMState, images: npt.NDArray[np.uint8]
  ) -> jax.Array:
    """Visible units of 8-bit images: as `binary_pixels` has them, or with uniform noise."""
    if self._is_binary:
      return binary_pixels.as_probabilities(binary_pixels.held_out(images))
    signed = to_signed(images)
    noise = jax.random.uniform(key, signed.shape, jnp.float32, -0.5, 0.5)
    return self._units_of(key, state, signed + noise / 127.5)

  def machine(self, state: RBMState) -> Parameters:
    """The parameters."""
    return state.parameters

  def base(self, state: RBMState) -> Base:
    """Independent pixels of the data's means; hidden units of probability 1/2."""
    bias = log_odds(state.mean) if self._is_binary else jnp.zeros_like(state.mean)
    return Base(bias, jnp.zeros_like(state.parameters.hidden_bias))

  def particles(self, state: RBMState) -> jax.Array | None:
    """The chains that persist."""
    return state.particles

  def log_density(self, state: RBMState, visible: jax.Array) -> jax.Array:
    """Minus the free energy; of normal pixels, of levels of 8 bits: float32 [N]. Pure."""
    found = -boltzmann.free_energy(self.units, state.parameters, visible)
    if self._is_binary:
      return found
    return found - jnp.log(127.5 * self._scales(state)).sum()

  @property
  def density_kind(self) -> str:
    """What `held_out_density` is."""
    of = "binarised pixels" if self._is_binary else "8-bit pixels, bounded by noise of one level"
    return f"by annealed importance sampling, bits a value, of {of}"

  def to_signed(self, state: RBMState, visible: jax.Array) -> jax.Array:
    """Means of pixels as images in [-1, 1]; normal ones are clipped."""
    if self._is_binary:
      return super().to_signed(state, visible)
    flat = state.mean + self._scales(state) * visible
    return jnp.clip(flat, -1.0, 1.0).reshape(-1, *self.image_shape)
