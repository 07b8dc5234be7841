"""The deep Boltzmann machine of two hidden layers (Salakhutdinov & Hinton 2009)."""

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
from nsn_jax.baselines.energy_based.boltzmann import Parameters
from nsn_jax.baselines.energy_based.boltzmann_machine import BoltzmannMachine, log_odds

__all__ = ["DBM", "DBMState"]


class DBMState(NamedTuple):
  """What a step changes: a pytree.

  Attributes:
    first: of pixels and first layer.
    second: of first and second layer; its visible bias and the first one's hidden bias add up to
      that of the first layer.
    optimizers: their states.
    particles: units of the chains that persist, pixels and then the second layer, float32
      [batch_size, V + H2]: what the first layer sees.
    mean: of all pixels so far, float32 [V] in [0, 1].
    step: steps done, int32.
  """

  first: Parameters
  second: Parameters
  optimizers: tuple[Any, Any]
  particles: jax.Array
  mean: jax.Array
  step: jax.Array


#: What a stage changes of a state, and the error of what it rebuilds.
_Changed = tuple[DBMState, jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DBM(BoltzmannMachine):
  """Binary pixels, and two layers of binary hidden units of which the first sees both others.

      -E(v, h1, h2) = v W1 h1 + h1 W2 h2 + v b + h1 c1 + h2 c2

  Trained in three stages, which the state's step tells apart:

  1. W1 by CD-k as an RBM whose hidden units get twice their input, for what the second layer will
     say to them is missing.
  2. W2 by CD-k as an RBM on the first layer's units, drawn from the first RBM; these get twice
     their input from the second layer, for what the pixels will say to them.
  3. All by stochastic approximation: the data's statistics from a mean-field posterior, the
     model's from chains that persist, and begin by annealing.

  Twice the input means the bias, too: the first layer's is the sum of both RBMs', which had a half
  each. The paper leaves biases out.

  Two layers are one machine of two sides, h1 on one and (v, h2) on the other: chains and annealed
  importance sampling are the RBM's. Density is of pixels drawn by their value in [0, 1], a bound by
  the mean-field posterior.

  We leave the paper where its pretraining lets k grow, and where its annealed importance sampling
  sums (v, h2) out, and ours h1: chains then begin with pixels of the data's means, and their log Z,
  which is rarely too large, was 3 nats larger in as many steps. Many are needed: pretraining leaves
  a mode near the mean image, which chains are slow to leave. See `LogPartition.effective_chains`.

  Attributes:
    image_shape: [H, W, C].
    hidden: H1, units of the first layer.
    top: H2, units of the second.
    first_steps: of stage 1.
    second_steps: of stage 2.
    num_mean_field: updates of the posterior.
    sampling_steps: Gibbs steps of a sample, and of the chains' annealing before stage 3.
    pretraining_gibbs: k.
    pretraining_rate: constant.
    batch_size: images a step, and chains.
    learning_rate: at the beginning of stage 3.
    decay_steps: of stage 3, after which its rate is half.

  Raises:
    ValueError: for values that are not as above.
  """

  title: ClassVar[str] = "DBM"
  default_epochs: ClassVar[int] = 60
  width_field: ClassVar[str | None] = "hidden"

  hidden: int = 500
  top: int = 1_000
  first_steps: int = 6_000
  second_steps: int = 6_000
  num_mean_field: int = 10
  pretraining_gibbs: int = 1
  pretraining_rate: float = 0.05
  decay_steps: int = 1_000
  num_gibbs: int = 5

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ("hidden", "top", "num_mean_field", "pretraining_gibbs"):
      checks.integer(name, getattr(self, name), 1)
    for name in ("first_steps", "second_steps"):
      checks.integer(name, getattr(self, name), 0)
    checks.number("pretraining_rate", self.pretraining_rate, 0.0, above=True)

  def init(self, key: jax.Array) -> DBMState:
    """The state that training begins with; what depends on data is set by the first step."""
    first_key, second_key = jax.random.split(key)
    first = boltzmann.init(first_key, self.num_pixels, self.hidden)
    second = boltzmann.init(second_key, self.hidden, self.top)
    optimizer = self.optimizer()
    return DBMState(
      first=first,
      second=second,
      optimizers=(optimizer.init(first), optimizer.init(second)),
      particles=jnp.zeros((self.batch_size, self.num_pixels + self.top), jnp.float32),
      mean=jnp.full(self.num_pixels, 0.5, jnp.float32),
      step=jnp.zeros((), jnp.int32),
    )

  def stage(self, step: jax.Array) -> jax.Array:
    """0, 1 or 2: which of the three stages a step belongs to."""
    second = (step >= self.first_steps).astype(jnp.int32)
    return second + (step >= self._first_of_both).astype(jnp.int32)

  @property
  def _first_of_both(self) -> int:
    """The first step of stage 3."""
    return self.first_steps + self.second_steps

  def step(self, key: jax.Array, state: DBMState, images: jax.Array) -> tuple[DBMState, Metrics]:
    """One step of the stage whose turn it is.

    Args:
      key: PRNG key of all draws.
      state: before the step.
      images: float32 [N, H, W, C] in [-1, 1].

    Returns:
      The state after it; `stage`, 1, 2 or 3, and `reconstruction`, the mean squared error of a
      unit's mean given the posterior's means of those above, before it: of a pixel, in stage 2 of
      the first layer's.
    """
    begin_key, data_key, stage_key = jax.random.split(key, 3)
    pixels = binary_pixels.as_probabilities(images)
    data = jax.random.bernoulli(data_key, pixels).astype(jnp.float32)
    of_batch = pixels.mean(axis=0)
    state = jax.lax.cond(
      state.step == 0, lambda: self._begun(begin_key, state, of_batch), lambda: state
    )
    stage = self.stage(state.step)
    stages = (self._train_first, self._train_second, self._train_both)
    changed, reconstruction = jax.lax.switch(stage, stages, stage_key, state, data)
    mean = state.mean + (of_batch - state.mean) / (state.step + 1).astype(jnp.float32)
    metrics = {"stage": (stage + 1).astype(jnp.float32), "reconstruction": reconstruction}
    return changed._replace(mean=mean, step=state.step + 1), metrics

  def _begun(self, key: jax.Array, state: DBMState, mean: jax.Array) -> DBMState:
    """The first state, with what it takes of the first batch."""
    first = state.first._replace(visible_bias=log_odds(mean))
    begun = state._replace(first=first, mean=mean)
    # Chains begin with independent units.
    drawn = annealed_importance.draw_base(key, self.units, self.base(begun), self.batch_size)
    return begun._replace(particles=drawn)

  def _pretrain(
    self,
    key: jax.Array,
    parameters: Parameters,
    optimizer: Any,
    data: jax.Array,
    up: float,
    down: float,
  ) -> tuple[Parameters, Any, jax.Array]:
    """A step of CD-k; the last of what it returns is the reconstruction's error."""
    fantasies = boltzmann.gibbs(
      key, self.units, parameters, data, self.pretraining_gibbs, up=up, down=down
    )
    gradient = boltzmann.contrast(parameters, data, fantasies, up=up)
    hidden = jax.nn.sigmoid(up * boltzmann.hidden_logits(parameters, data))
    rebuilt = jax.nn.sigmoid(down * boltzmann.visible_logits(parameters, hidden))
    changed = self.descend(parameters, gradient, optimizer, self.pretraining_rate)
    return *changed, ((rebuilt - data) ** 2).mean()

  def _train_first(self, key: jax.Array, state: DBMState, data: jax.Array) -> _Changed:
    """Stage 1."""
    optimizer, other = state.optimizers
    first, optimizer, error = self._pretrain(key, state.first, optimizer, data, 2.0, 1.0)
    return state._replace(first=first, optimizers=(optimizer, other)), error

  def _train_second(self, key: jax.Array, state: DBMState, data: jax.Array) -> _Changed:
    """Stage 2."""
    draw_key, chain_key = jax.random.split(key)
    other, optimizer = state.optimizers
    hidden = boltzmann.draw_binary(draw_key, 2.0 * boltzmann.hidden_logits(state.first, data))
    found = self._pretrain(chain_key, state.second, optimizer, hidden, 1.0, 2.0)
    second, optimizer, error = found
    return state._replace(second=second, optimizers=(other, optimizer)), error

  def _train_both(self, key: jax.Array, state: DBMState, data: jax.Array) -> _Changed:
    """Stage 3."""
    machine = self.machine(state)
    middle, top = self.posterior(state, data)
    begin_key, chain_key = jax.random.split(key)
    particles = jax.lax.cond(
      state.step == self._first_of_both,
      lambda: self._annealed(begin_key, state, machine),
      lambda: state.particles,
    )
    particles = boltzmann.gibbs(chain_key, self.units, machine, particles, self.num_gibbs)
    # The whole machine's gradient, then each layer's part of it; the first layer's bias is learned
    # as the first RBM's.
    seen = jax.nn.sigmoid(boltzmann.hidden_logits(machine, particles))
    fantasy, above = jnp.split(particles, [self.num_pixels], axis=1)
    gradient = (
      _difference((fantasy, seen), (data, middle)),
      _difference((seen, above), (middle, top))._replace(
        visible_bias=jnp.zeros_like(state.second.visible_bias)
      ),
    )
    rate = self.rate(state.step - self._first_of_both)
    first, first_optimizer = self.descend(state.first, gradient[0], state.optimizers[0], rate)
    second, second_optimizer = self.descend(state.second, gradient[1], state.optimizers[1], rate)
    rebuilt = jax.nn.sigmoid(boltzmann.visible_logits(state.first, middle))
    changed = state._replace(
      first=first,
      second=second,
      optimizers=(first_optimizer, second_optimizer),
      particles=particles,
    )
    return changed, ((rebuilt - data) ** 2).mean()

  def _annealed(self, key: jax.Array, state: DBMState, machine: Parameters) -> jax.Array:
    """Particles where the machine is likely, from independent ones.

    Straight from these they fall into the data's modes and never see those that pretraining left
    elsewhere, which then keep most of the density.
    """
    steps = jnp.linspace(0.0, 1.0, self.sampling_steps + 1, dtype=jnp.float32)
    base = self.base(state)
    return annealed_importance.anneal(key, self.units, machine, base, steps, state.particles)[0]

  def posterior(self, state: DBMState, data: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Means of the mean-field posterior, layer by layer in turn from twice the pixels' input.

    Args:
      state: whose parameters.
      data: binary pixels, float32 [N, V].

    Returns:
      Of both layers, float32 [N, H1] and [N, H2] in [0, 1].
    """
    from_pixels = boltzmann.hidden_logits(state.first, data)

    def update(_: int, means: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      middle = jax.nn.sigmoid(from_pixels + boltzmann.visible_logits(state.second, means[1]))
      return middle, jax.nn.sigmoid(boltzmann.hidden_logits(state.second, middle))

    middle = jax.nn.sigmoid(2.0 * from_pixels)
    begun = middle, jax.nn.sigmoid(boltzmann.hidden_logits(state.second, middle))
    return jax.lax.fori_loop(0, self.num_mean_field, update, begun)

  def machine(self, state: DBMState) -> Parameters:
    """Pixels and second layer on the visible side, the first layer on the hidden one."""
    return Parameters(
      jnp.concatenate([state.first.weights, state.second.weights.T]),
      jnp.concatenate([state.first.visible_bias, state.second.hidden_bias]),
      state.first.hidden_bias + state.second.visible_bias,
    )

  def base(self, state: DBMState) -> Base:
    """Independent pixels of the data's means; hidden units of probability 1/2."""
    top, middle = jnp.zeros(self.top, jnp.float32), jnp.zeros(self.hidden, jnp.float32)
    return Base(jnp.concatenate([log_odds(state.mean), top]), middle)

  def particles(self, state: DBMState) -> jax.Array:
    """The chains that persist."""
    return state.particles

  def log_density(self, state: DBMState, visible: jax.Array) -> jax.Array:
    """The posterior's mean of -E, and its entropy: float32 [N] of [N, V]. Pure."""
    middle, top = self.posterior(state, visible)
    side = jnp.concatenate([visible, top], axis=1)
    entropy = _entropy(middle) + _entropy(top)
    return entropy - boltzmann.energy(self.machine(state), side, middle)

  @property
  def density_kind(self) -> str:
    """What `held_out_density` is."""
    return "bound, by annealed importance sampling, bits a value, of binarised pixels"

  def draw_visible(
    self, key: jax.Array, state: DBMState, images: npt.NDArray[np.uint8]
  ) -> jax.Array:
    """Binarised pixels, the same for all models."""
    del key, state
    return binary_pixels.as_probabilities(binary_pixels.held_out(images))


def _difference(
  model: tuple[jax.Array, jax.Array], data: tuple[jax.Array, jax.Array]
) -> Parameters:
  """The model's statistics of two layers less the data's."""
  return jax.tree.map(jnp.subtract, boltzmann.statistics(*model), boltzmann.statistics(*data))


def _entropy(mean: jax.Array) -> jax.Array:
  """Of independent binary units, in nats: [N] of [N, H]."""
  # x log x is 0 at 0, and xlogy says so.
  found = jax.scipy.special.xlogy(mean, mean) + jax.scipy.special.xlogy(1 - mean, 1 - mean)
  return -found.sum(axis=1)
