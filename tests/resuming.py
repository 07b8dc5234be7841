"""A training with all that it told on the way, for tests that go on from there."""

from typing import NamedTuple

import jax
import numpy as np

import nsn_jax
from nsn_jax import NSN, NetworkConfig, Record, TrainingState

KEY = jax.random.key(0)


class Trained(NamedTuple):
  """One training, and all that it told on the way."""

  images: np.ndarray
  nsn: NSN
  parts: list[NSN]
  histories: list[list[Record]]
  states: list[TrainingState]


def train(images: np.ndarray, config: NetworkConfig, **given: object) -> Trained:
  parts: list[NSN] = []
  histories: list[list[Record]] = []
  states: list[TrainingState] = []

  def on_layer(nsn: NSN, history: list[Record]) -> None:
    parts.append(nsn)
    histories.append([record._replace(seconds=0.0) for record in history])

  nsn = nsn_jax.fit(
    KEY,
    images,
    config,
    on_begin=parts.append,
    on_layer=on_layer,
    on_state=states.append,
    **given,
  )
  return Trained(images, nsn, parts, histories, states)


def assert_same_bits(a: NSN, b: NSN) -> None:
  assert a.config == b.config and jax.tree.structure(a) == jax.tree.structure(b)
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_array_equal(np.asarray(x).view(np.uint32), np.asarray(y).view(np.uint32))
