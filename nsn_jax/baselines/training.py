"""The one loop that trains all baselines."""

import functools
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.baselines import baseline
from nsn_jax.baselines.baseline import Baseline, Metrics, State
from nsn_jax.baselines.class_labels import training_labels
from nsn_jax.pixel_range import to_signed

__all__ = ["DivergedError", "Epoch", "EpochProgress", "train"]

#: Steps between two looks at the metrics: each look waits for the device.
_REPORT_STEPS = 20
#: Samples that collapse is judged by.
_PROBE = 128
#: Below this share of the real images' diversity samples are all alike.
_COLLAPSED = 0.1


class EpochProgress(NamedTuple):
  """How far training is.

  Attributes:
    epoch: the one under way, from 0.
    step: steps done in it.
    num_steps: in an epoch.
    metrics: means over the last steps.
  """

  epoch: int
  step: int
  num_steps: int
  metrics: dict[str, float]


class Epoch(NamedTuple):
  """A finished epoch, plain values.

  Attributes:
    epoch: its number, from 0.
    metrics: means over its steps.
    diversity: mean distance of two samples over that of two real images: near 1 where samples
      differ as real images do, near 0 where all are alike.
    collapsed: whether all samples are alike.
    seconds: that it took.
  """

  epoch: int
  metrics: dict[str, float]
  diversity: float
  collapsed: bool
  seconds: float


class DivergedError(FloatingPointError):
  """A loss became NaN or infinite; training cannot go on from there."""


def train(
  key: jax.Array,
  model: Baseline,
  images: npt.NDArray[np.uint8],
  *,
  num_epochs: int,
  labels: npt.NDArray[np.integer] | None = None,
  state: State | None = None,
  first_epoch: int = 0,
  report: Callable[[EpochProgress], None] | None = None,
  on_epoch: Callable[[Epoch, State], None] | None = None,
) -> State:
  """Trains a baseline.

  Each epoch draws its order and its noise from a key of its own, so that training that goes on ends
  as if it had never stopped. An epoch leaves out what its order has left over from whole batches.

  Args:
    key: PRNG key.
    model: the baseline.
    images: uint8 [N, H, W, C] of the model's shape, at least one batch. They stay on the host.
    num_epochs: the epoch before which training ends.
    labels: classes of the images, integers [N], -1 where unknown; None where all are. A model that
      uses none is trained as without.
    state: to go on from; None to begin. It is copied.
    first_epoch: the epoch to go on with, where a state is given.
    report: called now and then.
    on_epoch: called after each epoch with its record and the state, whose memory the next epoch
      takes: what is to be kept must be copied or written.

  Returns:
    The trained state.

  Raises:
    ValueError: for arguments that are not as above.
    DivergedError: where a loss is not finite.
  """
  key = checks.key("key", key)
  checks.integer("num_epochs", num_epochs, 1)
  checks.integer("first_epoch", first_epoch, 0)
  images = checks.images("images", images)
  if images.dtype != np.uint8 or images.shape[1:] != model.image_shape:
    raise ValueError(
      f"images: expected uint8 [N, {', '.join(map(str, model.image_shape))}], "
      f"got {images.dtype} {images.shape}"
    )
  if len(images) < model.batch_size:
    raise ValueError(
      f"images: expected at least one batch of {model.batch_size}, got {len(images)}"
    )
  labels = training_labels(model, labels, len(images))
  if state is None and first_epoch:
    raise ValueError(f"first_epoch: expected 0 where no state is given, got {first_epoch}")
  init_key, epochs_key = jax.random.split(key)
  if state is None:
    state = model.informed(_init(model, init_key), images)
  else:
    state = jax.tree.map(jnp.copy, state)  # A step takes its memory, which is the caller's.
  real = _diversity(images[: _PROBE * 2 : 2])
  for epoch in range(first_epoch, num_epochs):
    start = time.perf_counter()
    step_key, probe_key = jax.random.split(jax.random.fold_in(epochs_key, epoch))
    state, metrics = _epoch(step_key, model, images, labels, state, epoch, report)
    probe = baseline.sample(probe_key, model, state, _PROBE)
    diversity = _diversity(probe) / max(real, 1e-6)
    record = Epoch(epoch, metrics, diversity, diversity < _COLLAPSED, time.perf_counter() - start)
    if on_epoch is not None:
      on_epoch(record, state)
  return state


@functools.partial(jax.jit, static_argnums=0)
def _init(model: Baseline, key: jax.Array) -> State:
  return model.init(key)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=2)
def _step(
  model: Baseline,
  key: jax.Array,
  state: State,
  batch: jax.Array,
  labels: jax.Array | None,
  step: jax.Array,
) -> tuple[State, Metrics]:
  key, images = jax.random.fold_in(key, step), to_signed(batch)
  if labels is None:
    return model.step(key, state, images)
  return model.step_with_labels(key, state, images, labels)


def _epoch(
  key: jax.Array,
  model: Baseline,
  images: npt.NDArray[np.uint8],
  labels: npt.NDArray[np.int32] | None,
  state: State,
  epoch: int,
  report: Callable[[EpochProgress], None] | None,
) -> tuple[State, dict[str, float]]:
  """One epoch: the state after it and the means of its metrics."""
  order_key, step_key = jax.random.split(key)
  # The order is the host's: the images lie there.
  order = np.asarray(jax.random.permutation(order_key, len(images)))
  num_steps = len(images) // model.batch_size
  kept: list[dict[str, float]] = []
  waiting: list[Metrics] = []
  for step, rows in enumerate(order[: num_steps * model.batch_size].reshape(num_steps, -1)):
    classes = None if labels is None else labels[rows]
    state, metrics = _step(model, step_key, state, images[rows], classes, jnp.int32(step))
    waiting.append(metrics)
    if len(waiting) == _REPORT_STEPS or step + 1 == num_steps:
      found = _means(jax.device_get(waiting))
      if not all(map(math.isfinite, found.values())):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        raise DivergedError(
          f"training diverged in epoch {epoch + 1}, before step {step + 1} of {num_steps}: {shown}"
        )
      kept += [found] * len(waiting)
      waiting = []
      if report is not None:
        report(EpochProgress(epoch, step + 1, num_steps, found))
  return state, _means(kept)


def _means(rows: list) -> dict[str, float]:
  return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _diversity(images: npt.NDArray[np.uint8]) -> float:
  """Root mean square distance of a pixel from its mean over the images."""
  return float(np.sqrt(images.astype(np.float64).var(axis=0).mean()))
