"""Baselines by name."""

from typing import Any

from nsn_jax.baselines.adversarial.dcgan import DCGAN
from nsn_jax.baselines.adversarial.gan import GAN
from nsn_jax.baselines.adversarial.improved_gan import ImprovedGAN
from nsn_jax.baselines.adversarial.info_gan import InfoGAN
from nsn_jax.baselines.adversarial.lapgan import LAPGAN
from nsn_jax.baselines.adversarial.ls_gan import LSGAN
from nsn_jax.baselines.adversarial.semi_supervised_gan import SemiSupervisedGAN
from nsn_jax.baselines.adversarial.wgan import WGAN
from nsn_jax.baselines.auto_encoders.conv_auto_encoder import ConvAutoEncoder
from nsn_jax.baselines.auto_encoders.pixelcnn_auto_encoder import PixelCNNAutoEncoder
from nsn_jax.baselines.autoregressive.cond_pixelcnn import CondPixelCNN
from nsn_jax.baselines.autoregressive.multi_scale import MultiScale
from nsn_jax.baselines.autoregressive.pixel_rnn import DiagonalBiLSTM, RowLSTM
from nsn_jax.baselines.autoregressive.pixelcnn import PixelCNN
from nsn_jax.baselines.baseline import Baseline
from nsn_jax.baselines.energy_based.dbm import DBM
from nsn_jax.baselines.energy_based.rbm import RBM
from nsn_jax.baselines.variational.conv_draw import ConvDRAW
from nsn_jax.baselines.variational.conv_vae import ConvVAE
from nsn_jax.baselines.variational.draw import DRAW
from nsn_jax.baselines.variational.vae import VAE

__all__ = ["MODELS", "make"]

#: A new baseline is an entry here.
MODELS: dict[str, type[Baseline]] = {
  "gan": GAN,
  "dcgan": DCGAN,
  "wgan": WGAN,
  "lsgan": LSGAN,
  "infogan": InfoGAN,
  "lapgan": LAPGAN,
  "improvedgan": ImprovedGAN,
  "semigan": SemiSupervisedGAN,
  "vae": VAE,
  "convvae": ConvVAE,
  "draw": DRAW,
  "convdraw": ConvDRAW,
  "pixelcnn": PixelCNN,
  "rowlstm": RowLSTM,
  "diagonalbilstm": DiagonalBiLSTM,
  "multiscale": MultiScale,
  "condpixelcnn": CondPixelCNN,
  "autoencoder": ConvAutoEncoder,
  "pixelcnnae": PixelCNNAutoEncoder,
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
