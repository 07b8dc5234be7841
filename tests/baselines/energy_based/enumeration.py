"""Small Boltzmann machines, all of whose states are gone through in numpy's float64."""

import itertools

import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from nsn_jax.baselines.energy_based.boltzmann import Parameters


def states(number: int) -> np.ndarray:
  """All of this many binary units, [2^number, number]."""
  return np.array(list(itertools.product((0, 1), repeat=number)), np.float64)


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def machine(seed: int, num_visible: int, num_hidden: int, spread: float = 1.0) -> Parameters:
  """One whose units depend on each other a good deal, and are not 1 half of the time."""
  rng = np.random.default_rng(seed)
  shapes = (num_visible, num_hidden), (num_visible,), (num_hidden,)
  return Parameters(*(jnp.asarray(spread * rng.normal(size=s), jnp.float32) for s in shapes))


def float64(parameters: Parameters) -> Parameters:
  return Parameters(*(np.asarray(x, np.float64) for x in parameters))


def log_joint(parameters: Parameters) -> np.ndarray:
  """v.b + h.c + v W h of all binary states, [2^V, 2^H], one by one."""
  weights, b, c = float64(parameters)
  return np.array(
    [[v @ b + h @ c + v @ weights @ h for h in states(len(c))] for v in states(len(b))]
  )


def log_partition(parameters: Parameters, *, gaussian: bool = False) -> float:
  """Log Z; of normal units the hidden ones alone are gone through, the others are an integral."""
  if not gaussian:
    return float(logsumexp(log_joint(parameters)))
  weights, b, c = float64(parameters)
  # Of exp(x v - v^2 / 2) over a real v: sqrt(2 pi) exp(x^2 / 2).
  found = [
    h @ c + ((b + weights @ h) ** 2 / 2).sum() + len(b) * np.log(2 * np.pi) / 2
    for h in states(len(c))
  ]
  return float(logsumexp(found))


def probabilities(parameters: Parameters) -> np.ndarray:
  """Of all binary visible states, [2^V]."""
  joint = log_joint(parameters)
  return np.exp(logsumexp(joint, axis=1) - logsumexp(joint))


def contrast_of_one_step(
  parameters: Parameters, weight: np.ndarray, *, up: float = 1.0, down: float = 1.0
) -> Parameters:
  """The expected gradient of CD-1 where data are all states with these weights, [2^V]."""
  weights, b, c = float64(parameters)
  seen, above = states(len(b)), states(len(c))
  hidden = sigmoid(up * (seen @ weights + c))
  back = sigmoid(down * (above @ weights.T + b))

  def chance(of: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.array([[np.prod(np.where(s, q, 1 - q)) for s in of] for q in p])

  after = weight @ chance(above, hidden) @ chance(seen, back)

  def means(weight: np.ndarray) -> tuple[np.ndarray, ...]:
    return (seen * weight[:, None]).T @ hidden, weight @ seen, weight @ hidden

  return Parameters(*(m - d for m, d in zip(means(after), means(weight), strict=True)))
