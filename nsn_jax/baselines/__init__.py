"""Models that NSN is compared with: GANs, VAEs, DRAW, a PixelCNN and Boltzmann machines.

All are one kind of thing, a `Baseline`: pure functions over a state, hyper-parameters static. One
loop trains them, one function samples them.

>>> import jax
>>> from nsn_jax import baselines
>>> model = baselines.make("vae", (28, 28, 1), hidden=8)
>>> state = model.init(jax.random.key(0))
>>> baselines.sample(jax.random.key(1), model, state, 3).shape
(3, 28, 28, 1)
"""

from nsn_jax import extras

extras.require(__name__, "baselines", ("flax", "optax", "orbax"))

from nsn_jax.baselines.adversarial import AdversarialModel, GANState
from nsn_jax.baselines.baseline import Baseline, Density, Family, State, num_parameters, sample
from nsn_jax.baselines.boltzmann_machine import BoltzmannMachine
from nsn_jax.baselines.checkpoints import Checkpoints
from nsn_jax.baselines.conv_vae import ConvVAE
from nsn_jax.baselines.dbm import DBM, DBMState
from nsn_jax.baselines.dcgan import DCGAN
from nsn_jax.baselines.draw import DRAW
from nsn_jax.baselines.gan import GAN
from nsn_jax.baselines.improved_gan import ImprovedGAN
from nsn_jax.baselines.info_gan import Codes, InfoGAN
from nsn_jax.baselines.ls_gan import LSGAN
from nsn_jax.baselines.matching import matched_accuracy
from nsn_jax.baselines.pixelcnn import PixelCNN, PixelCNNState
from nsn_jax.baselines.rbm import RBM, RBMState
from nsn_jax.baselines.registry import MODELS, make
from nsn_jax.baselines.training import DivergedError, Epoch, EpochProgress, train
from nsn_jax.baselines.vae import VAE, VAEState
from nsn_jax.baselines.variational import Variational
from nsn_jax.baselines.wgan import WGAN
from nsn_jax.pixel_range import to_signed

__all__ = [
  "DBM",
  "DCGAN",
  "DRAW",
  "GAN",
  "LSGAN",
  "MODELS",
  "RBM",
  "VAE",
  "WGAN",
  "AdversarialModel",
  "Baseline",
  "BoltzmannMachine",
  "Checkpoints",
  "Codes",
  "ConvVAE",
  "DBMState",
  "Density",
  "DivergedError",
  "Epoch",
  "EpochProgress",
  "Family",
  "GANState",
  "ImprovedGAN",
  "InfoGAN",
  "PixelCNN",
  "PixelCNNState",
  "RBMState",
  "State",
  "VAEState",
  "Variational",
  "make",
  "matched_accuracy",
  "num_parameters",
  "sample",
  "to_signed",
  "train",
]
