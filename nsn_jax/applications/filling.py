"""Occluded images filled in (Fig 7 of the paper)."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.applications.conditional import conditional_mean
from nsn_jax.config import SamplerConfig
from nsn_jax.network import NSN, check_trained, encode
from nsn_jax.patches import extract_patches
from nsn_jax.pixel_range import to_unit
from nsn_jax.sampler import decode

__all__ = ["fill"]


def fill(
  key: jax.Array,
  nsn: NSN,
  images: npt.NDArray | jax.Array,
  mask: npt.NDArray[np.bool_] | jax.Array,
  num_draws: int = 1,
  *,
  num_rounds: int = 1,
  background: npt.NDArray | jax.Array | float | None = None,
  layer: int | None = None,
  sampler: SamplerConfig | None = None,
) -> jax.Array:
  """Fills the occluded part of images with what the network makes of the rest.

  The occluded image is encoded, to the last layer, and decoded down to a feature map of the first.
  Positions whose window touches the occlusion are taken from there, the others from the image's own
  map; that is decoded to pixels, and the visible ones are put back as they were. The paper does
  this once; a further round encodes what the last filled in, which fits the visible part better.

  Args:
    key: PRNG key.
    nsn: the network.
    images: [N, H, W, C], uint8, or float in [0, 1]. What lies under the mask is checked, too, and
      has no part in the filling.
    mask: True where the images are occluded, bool [H, W] for all, or [N, H, W].
    num_draws: M, fillings of each image, at least 1.
    num_rounds: how often it is encoded and decoded, at least 1.
    background: what stands in for the occluded pixels in the first round, [H, W, C] or one number,
      in [0, 1]. By default their mean given the visible ones (`applications.conditional`) where
      the network whitens, and else black, as the paper has it.
    layer: how far up images are encoded, 0 nearest the pixels; by default the last layer, as in the
      paper, which draws what a whole image might be. Lower ones stay nearer to the background, and
      the lowest decodes it alone.
    sampler: its settings; by default the network's own, but with the decoders for real images'
      maps and no contrast, as the filling has to match what is visible.

  Returns:
    float32 [M, N, H, W, C]: the visible pixels as given, in [0, 1], the others as they come.

  Raises:
    ValueError: for arguments that are not as above.
  """
  key = checks.key("key", key)
  check_trained(nsn)
  images = checks.images("images", images)
  checks.integer("num_draws", num_draws, 1)
  checks.integer("num_rounds", num_rounds, 1)
  if nsn.num_layers < 2:
    raise ValueError(f"nsn: expected a network of at least two layers, got {nsn.num_layers}")
  count, height, width, _ = images.shape
  given = np.asarray(mask)
  if given.dtype != np.bool_ or given.shape not in ((height, width), (count, height, width)):
    raise ValueError(
      f"mask: expected bool [{height}, {width}] or [{count}, {height}, {width}], "
      f"got {given.dtype} {given.shape}"
    )
  if layer is not None:
    checks.integer("layer", layer, 0, nsn.num_layers - 1)
  hidden = jnp.broadcast_to(given, (count, height, width))[..., None]
  unit = to_unit(jnp.asarray(images))
  behind = _background(nsn, unit, given, background)
  occluded = jnp.where(hidden, behind, unit)
  first = nsn.config.layers[0]
  touched = extract_patches(hidden.astype(jnp.float32), first.kernel, first.stride)
  touched = touched.max(axis=(3, 4))  # [N, h, w, 1]
  if sampler is None:
    sampler = dataclasses.replace(nsn.config.sampler, beta=1.0, decoder="exact")
  top = nsn.num_layers - 1 if layer is None else int(layer)
  found = []
  for draw_key in jax.random.split(key, num_draws):
    current = occluded
    for round_key in jax.random.split(draw_key, num_rounds):
      top_key, pixel_key = jax.random.split(round_key)
      maps = encode(nsn, current)
      below = maps[top]
      if top:
        below = decode(top_key, nsn, below, sampler, layer=top, stop_layer=0)
      mixed = jnp.where(touched > 0, below, maps[0])
      pixels = decode(pixel_key, nsn, mixed, sampler, layer=0)
      filled = jnp.where(hidden, pixels, unit)
      current = jnp.clip(filled, 0.0, 1.0)
    found.append(filled)
  return jnp.stack(found)


def _background(
  nsn: NSN,
  images: jax.Array,
  mask: npt.NDArray[np.bool_],
  given: npt.NDArray | jax.Array | float | None,
) -> npt.NDArray[np.float32]:
  """What stands behind the mask in the first round, float32, a number or images."""
  if given is None:
    if nsn.whitening is None or nsn.config.whitening_epsilon is None:
      return np.zeros((), np.float32)
    checks.same_shape("images", images.shape[1:], nsn.whitening.mean.shape)
    return conditional_mean(images, mask, nsn.whitening, nsn.config.whitening_epsilon)
  behind = np.asarray(given)
  expected = f"background: expected one number in [0, 1], or {list(images.shape[1:])} of them, "
  if behind.shape not in ((), images.shape[1:]) or behind.dtype.kind not in "fiu":
    raise ValueError(f"{expected}got {behind.dtype} {list(behind.shape)}")
  if not (behind.min() >= 0 and behind.max() <= 1):  # Written so that NaN fails.
    raise ValueError(f"{expected}got {behind.min():.4g} to {behind.max():.4g}")
  return behind.astype(np.float32)
