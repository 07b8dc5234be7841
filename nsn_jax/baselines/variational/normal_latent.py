"""A latent whose prior is the standard normal and whose posterior is a diagonal one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Posterior", "divergence", "drawn", "log_ratio"]


class Posterior(NamedTuple):
  """q(z | x).

  Attributes:
    mean: float32 [N, L].
    log_variance: float32 [N, L].
  """

  mean: jax.Array
  log_variance: jax.Array


def drawn(posterior: Posterior, noise: jax.Array) -> jax.Array:
  """The draw of standard normal noise, [..., N, L]; differentiable in the posterior."""
  return posterior.mean + jnp.exp(posterior.log_variance / 2) * noise


def divergence(posterior: Posterior) -> jax.Array:
  """KL(q(z | x), p(z)), in nats, float32 [N]."""
  mean, log_variance = posterior
  return (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum(axis=1) / 2


def log_ratio(posterior: Posterior, noise: jax.Array) -> jax.Array:
  """Of the draw of this noise, log p(z) - log q(z | x): [..., N, L] to [..., N]."""
  return (noise**2 + posterior.log_variance - drawn(posterior, noise) ** 2).sum(axis=-1) / 2
