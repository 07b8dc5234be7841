"""scikit-learn's handwritten digits, made to look like MNIST: a real data set with no download."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from nsn_jax.data import decoding
from nsn_jax.data.dataset import Dataset, Request, Source

__all__ = ["source"]

#: MNIST's layout: the digit in a box of 20 pixels, centred in a black frame of 28.
_BOX, _FRAME = 20, 28
#: One image in this many is a test image, label by label.
_TEST_SHARE = 5


def source(request: Request) -> Source:
  """The 1,797 digits as [N, 28, 28, 1], or [N, image_size, image_size, 1]."""
  return Source(lambda: _read(request))


def _read(request: Request) -> Dataset:
  from sklearn import datasets  # Here, because it takes a second to import.

  values, labels = datasets.load_digits(return_X_y=True)
  positions = _split(labels, request.split)[: request.limit]
  small = np.rint(values[positions].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
  images = np.zeros((len(small), _FRAME, _FRAME, 1), np.uint8)
  inside = slice((_FRAME - _BOX) // 2, (_FRAME + _BOX) // 2)
  for image, out in zip(small, images, strict=True):
    enlarged = Image.fromarray(image).resize((_BOX, _BOX), Image.Resampling.BICUBIC)
    out[inside, inside, 0] = np.asarray(enlarged)
  return Dataset(decoding.resize(images, request.image_size), labels[positions].astype(np.int32))


def _split(labels: npt.NDArray[np.int64], split: str) -> npt.NDArray[np.int64]:
  """Positions of the split's images in ascending order: int [n]."""
  random = np.random.RandomState(0)  # Unlike default_rng, its streams are frozen for all time.
  is_test = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    members = random.permutation(np.flatnonzero(labels == label))
    is_test[members[: round(len(members) / _TEST_SHARE)]] = True
  return np.flatnonzero(is_test == (split == "test"))
