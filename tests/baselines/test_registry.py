"""`baselines.make`: models, shapes of images and hyper-parameters that it refuses."""

import pytest

from nsn_jax import baselines
from tests.baselines.helpers import SHAPE


def test_make_errors():
  for name in baselines.MODELS:
    for shape in ((28, 28), (0, 28, 1), [28, 28, 1], (28.0, 28.0, 1)):
      with pytest.raises(ValueError, match=r"image_shape: expected a tuple \(H, W, C\)"):
        baselines.make(name, shape)
  with pytest.raises(ValueError, match=r"model: expected one of gan, .*dbm, got 'agan'"):
    baselines.make("agan", SHAPE)
  for name, field, value in (
    ("dcgan", "width", 0),
    ("gan", "pieces", 0),
    ("gan", "last_momentum", 1.0),
    ("gan", "rate_decay", -1e-6),
    ("wgan", "clip", 0.0),
    ("lsgan", "margin", -1.0),
    ("vae", "latent", 0),
    ("vae", "num_importance", 0),
    ("vae", "binarise", 1),
    ("convvae", "width", 0),
    ("draw", "num_steps", 0),
    ("draw", "write_size", 0),
    ("draw", "attention", "yes"),
    ("rowlstm", "hidden", 1),  # for two colours
    ("diagonalbilstm", "num_layers", 0),
    ("multiscale", "hidden", 1.5),
    ("multiscale", "num_layers", 0),
    ("dcgan", "learning_rate", float("nan")),
    ("wgan", "critic_steps", 0),
  ):
    with pytest.raises(ValueError, match=f"{field}: expected"):
      baselines.make(name, SHAPE, **{field: value})
