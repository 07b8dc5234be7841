"""Virtual batch normalisation (Salimans et al. 2016, arXiv:1606.03498, section 3.5)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from nsn_jax.baselines import networks

__all__ = ["VirtualBatchNorm", "VirtualGenerator"]


class VirtualBatchNorm(nn.Module):
  """Normalises each sample by the moments of a reference batch and of itself, [N, ..., C].

  The first rows are the reference batch, which its own moments normalise. A sample counts in its
  moments as one of so many rows and one more, as in the authors' code; so it does not depend on
  the samples beside it.
  """

  reference_rows: int
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalises, per channel."""
    reference, samples = x[: self.reference_rows], x[self.reference_rows :]
    mean, variance = _moments(reference, tuple(range(x.ndim - 1)))
    # One row each: [n, 1, ..., C].
    own_mean, own_variance = _moments(samples, tuple(range(1, x.ndim - 1)))
    own = 1.0 / (self.reference_rows + 1)
    joint_mean = (1 - own) * mean + own * own_mean
    joint_variance = (1 - own) * (variance + (mean - joint_mean) ** 2)
    joint_variance += own * (own_variance + (own_mean - joint_mean) ** 2)
    y = jnp.concatenate(
      [
        (reference - mean) * jax.lax.rsqrt(variance + self.epsilon),
        (samples - joint_mean) * jax.lax.rsqrt(joint_variance + self.epsilon),
      ]
    )
    scale = self.param("scale", networks.near_one, (x.shape[-1],), jnp.float32)
    bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
    return scale * y + bias


def _moments(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
  """Mean and variance over these axes, which stay."""
  mean = x.mean(axis=axes, keepdims=True)
  return mean, ((x - mean) ** 2).mean(axis=axes, keepdims=True)


class VirtualGenerator(nn.Module):
  """DCGAN's generator, normalised by a reference batch: noise [N, latent] to images [N, H, W, C].

  The reference is noise, drawn as the parameters are and kept in `batch_stats`, where other
  generators have running moments.
  """

  image_shape: tuple[int, int, int]
  width: int
  reference_rows: int

  @nn.compact
  def __call__(self, noise: jax.Array, *, is_training: bool) -> jax.Array:
    """Generates, in training and after it alike."""
    del is_training
    shape = (self.reference_rows, noise.shape[-1])

    def draw() -> jax.Array:
      return jax.random.uniform(self.make_rng("params"), shape, jnp.float32, minval=-1.0)

    reference = self.variable("batch_stats", "reference", draw).value
    norm = functools.partial(VirtualBatchNorm, self.reference_rows)
    rows = jnp.concatenate([reference, noise])
    return networks.generated(rows, self.image_shape, self.width, norm)[self.reference_rows :]
