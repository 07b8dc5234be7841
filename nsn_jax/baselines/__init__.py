"""Models that NSN is compared with: GANs, VAEs, DRAW, PixelCNNs, PixelRNNs, Boltzmann machines.

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
from nsn_jax.baselines.auto_encoders.conv_auto_encoder import ConvAutoEncoder
from nsn_jax.baselines.auto_encoders.encoding_model import EncodingModel, EncodingState
from nsn_jax.baselines.auto_encoders.pixelcnn_auto_encoder import PixelCNNAutoEncoder
from nsn_jax.baselines.autoregressive.autoregressive_model import (
  AutoregressiveModel,
  AutoregressiveState,
)
from nsn_jax.baselines.autoregressive.completing_model import CompletingModel
from nsn_jax.baselines.autoregressive.cond_pixelcnn import CondPixelCNN
from nsn_jax.baselines.autoregressive.multi_scale import MultiScale, MultiScaleParams
from nsn_jax.baselines.autoregressive.pixel_rnn import DiagonalBiLSTM, PixelRNN, RowLSTM
from nsn_jax.baselines.autoregressive.pixelcnn import PixelCNN
from nsn_jax.baselines.baseline import Baseline, Density, Family, State, num_parameters, sample
from nsn_jax.baselines.checkpoints import Checkpoints
from nsn_jax.baselines.class_labels import training_labels
from nsn_jax.baselines.energy_based.boltzmann_machine import BoltzmannMachine
from nsn_jax.baselines.energy_based.dbm import DBM, DBMState
from nsn_jax.baselines.energy_based.rbm import RBM, RBMState
from nsn_jax.baselines.few_labels import choose_few, repeat_few
from nsn_jax.baselines.registry import MODELS, make
from nsn_jax.baselines.training import DivergedError, Epoch, EpochProgress, train
from nsn_jax.baselines.variational.conv_draw import ConvDRAW
from nsn_jax.baselines.variational.conv_vae import ConvVAE
from nsn_jax.baselines.variational.draw import DRAW
from nsn_jax.baselines.variational.drawing import Drawing
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
  "AutoregressiveModel",
  "AutoregressiveState",
  "Baseline",
  "BoltzmannMachine",
  "Checkpoints",
  "Codes",
  "CompletingModel",
  "CondPixelCNN",
  "ConvAutoEncoder",
  "ConvDRAW",
  "ConvVAE",
  "DBMState",
  "Density",
  "DiagonalBiLSTM",
  "DivergedError",
  "Drawing",
  "EncodingModel",
  "EncodingState",
  "Epoch",
  "EpochProgress",
  "Family",
  "GANState",
  "ImprovedGAN",
  "InfoGAN",
  "MultiScale",
  "MultiScaleParams",
  "PixelCNN",
  "PixelCNNAutoEncoder",
  "PixelRNN",
  "RBMState",
  "RowLSTM",
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
