"""What ends a training: factors and prior, decoders, contrast. Closed forms, no layer changes."""

import dataclasses

import jax

from nsn_jax import contrast, decoder_training
from nsn_jax.network import NSN
from nsn_jax.progress import Log
from nsn_jax.rows import Rows

__all__ = ["complete"]


def complete(key: jax.Array, nsn: NSN, images: Rows, log: Log) -> NSN:
  """Fits decoders and contrast of a network whose layers and prior are there."""
  exact_key, fed_key, contrast_key = (jax.random.fold_in(key, purpose) for purpose in range(3))
  if nsn.config.exact_decoders:
    exact = decoder_training.train_exact(exact_key, nsn, images, log.preparing("exact"))
    nsn = dataclasses.replace(nsn, exact=exact)
  fed = decoder_training.train_fed(fed_key, nsn, images, log.preparing("fed"))
  nsn = dataclasses.replace(nsn, fed=fed)
  some = images.take(contrast.compared_rows(len(images)))
  nsn = dataclasses.replace(nsn, contrast=contrast.find_contrast(contrast_key, nsn, some))
  log.preparing("contrast")(1.0)
  return nsn
