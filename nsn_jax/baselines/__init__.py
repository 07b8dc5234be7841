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

from nsn_jax.baselines.adversarial.adversarial_model import AdversarialModel, GANState
from nsn_jax.baselines.adversarial.dcgan import DCGAN
from nsn_jax.baselines.adversarial.gan import GAN
from nsn_jax.baselines.adversarial.improved_gan import ImprovedGAN
from nsn_jax.baselines.adversarial.info_gan import Codes, InfoGAN
from nsn_jax.baselines.adversarial.lapgan import LAPGAN
from nsn_jax.baselines.adversarial.ls_gan import LSGAN
from nsn_jax.baselines.adversarial.matching import matched_accuracy
from nsn_jax.baselines.adversarial.semi_supervised_gan import (
  SemiSupervisedGAN,
  SemiSupervisedState,
)
from nsn_jax.baselines.adversarial.wgan import WGAN
from nsn_jax.baselines.autoregressive.pixelcnn import PixelCNN, PixelCNNState
from nsn_jax.baselines.baseline import Baseline, Density, Family, State, num_parameters, sample
from nsn_jax.baselines.checkpoints import Checkpoints
from nsn_jax.baselines.class_labels import training_labels
from nsn_jax.baselines.energy_based.boltzmann_machine import BoltzmannMachine
from nsn_jax.baselines.energy_based.dbm import DBM, DBMState
from nsn_jax.baselines.energy_based.rbm import RBM, RBMState
from nsn_jax.baselines.few_labels import choose_few, repeat_few
from nsn_jax.baselines.registry import MODELS, make
from nsn_jax.baselines.training import DivergedError, Epoch, EpochProgress, train
from nsn_jax.baselines.variational.conv_vae import ConvVAE
from nsn_jax.baselines.variational.draw import DRAW
from nsn_jax.baselines.variational.vae import VAE, VAEState
from nsn_jax.baselines.variational.variational_model import Variational
from nsn_jax.pixel_range import to_signed

__all__ = [
  "DBM",
  "DCGAN",
  "DRAW",
  "GAN",
  "LAPGAN",
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
  "SemiSupervisedGAN",
  "SemiSupervisedState",
  "State",
  "VAEState",
  "Variational",
  "choose_few",
  "make",
  "matched_accuracy",
  "num_parameters",
  "repeat_few",
  "sample",
  "to_signed",
  "train",
  "training_labels",
]
