"""Baselines by name."""

from typing import Any

from nsn_jax.baselines.baseline import Baseline
from nsn_jax.baselines.conv_vae import ConvVAE
from nsn_jax.baselines.dbm import DBM
from nsn_jax.baselines.dcgan import DCGAN
from nsn_jax.baselines.draw import DRAW
from nsn_jax.baselines.gan import GAN
from nsn_jax.baselines.improved_gan import ImprovedGAN
from nsn_jax.baselines.info_gan import InfoGAN
from nsn_jax.baselines.ls_gan import LSGAN
from nsn_jax.baselines.pixelcnn import PixelCNN
from nsn_jax.baselines.rbm import RBM
from nsn_jax.baselines.vae import VAE
from nsn_jax.baselines.wgan import WGAN

__all__ = ["MODELS", "make"]

#: A new baseline is an entry here.
MODELS: dict[str, type[Baseline]] = {
  "gan": GAN,
  "dcgan": DCGAN,
  "wgan": WGAN,
  "lsgan": LSGAN,
  "infogan": InfoGAN,
  "improvedgan": ImprovedGAN,
  "vae": VAE,
  "convvae": ConvVAE,
  "draw": DRAW,
  "pixelcnn": PixelCNN,
  "rbm": RBM,
  "dbm": DBM,
}


def make(name: str, image_shape: tuple[int, int, int], **options: Any) -> Baseline:
  """A baseline of its published recipe.

  Args:
    name: one of `MODELS`.
    image_shape: [H, W, C].
    **options: fields of the model to change.

  Returns:
    The model, without a state.

  Raises:
    ValueError: for an unknown name, or a field's value out of its range.
    TypeError: for an option that is no field of the model.
  """
  if not isinstance(name, str) or name not in MODELS:
    raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {name!r}")
  return MODELS[name](image_shape=image_shape, **options)
