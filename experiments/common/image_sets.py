"""Anybody's images, as a judge sees them: real ones, some of them held out, and generated ones.

They are resized, antialiased, by `nsn_jax.data`, and turned grey or given three channels.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from experiments.common import runs
from experiments.common.halves import halves
from nsn_jax import data

__all__ = ["Images", "Real", "Shape", "everything", "real", "with_channels"]

Images = npt.NDArray[np.uint8]
#: Height, width, channels.
Shape = tuple[int, int, int]

#: Thousandths of red, green and blue in grey, as Pillow has them (ITU-R 601-2).
_GREY = (299, 587, 114)


class Real(NamedTuple):
  """Real images.

  Attributes:
    train: uint8 [N, H, W, C], that generated ones are compared with.
    held_out: uint8 [M, H, W, C], none of which is among them.
    has_labels: whether a judge can learn from them.
    has_test_split: whether the held-out ones are a split of their own; else a half of all is.
  """

  train: Images
  held_out: Images
  has_labels: bool
  has_test_split: bool


def real(spec: runs.DataSpec, shape: Shape | None) -> Real:
  """The real images of a data set.

  Args:
    spec: which.
    shape: that they are brought to; None for their own, of `spec.image_size` if that is given.

  Raises:
    DataError: where they are not there or damaged.
    ValueError: where they cannot be brought to the shape.
  """
  found = _sized(spec, shape).load()
  train = _brought_to(shape, found.images, spec.name)
  shape = train.shape[1:]
  try:
    held_out = _brought_to(shape, _sized(spec, shape).load("test").images, spec.name)
  except data.MissingSplitError:
    first, second = halves(len(train))
    return Real(train[first], train[second], found.labels is not None, False)
  return Real(train, held_out, found.labels is not None, True)


def everything(spec: runs.DataSpec, shape: Shape) -> Images:
  """All images of a data set, of both splits where it has two, uint8 [N, *shape].

  A plain folder of generated images has no test images, and `data.load` takes some for that.

  Raises:
    DataError: where they are not there or damaged.
    ValueError: where they cannot be brought to the shape.
  """
  parts = []
  for split in ("train", "test"):
    with contextlib.suppress(data.MissingSplitError):  # Of the one; neither is another error.
      parts.append(_brought_to(shape, _sized(spec, shape).load(split).images, spec.name))
  return np.concatenate(parts)


def with_channels(images: Images, channels: int) -> Images:
  """Grey images in three equal channels, colour ones in grey; of as many they stay as they are.

  Args:
    images: uint8 [N, H, W, C].
    channels: of the result.

  Raises:
    ValueError: where this is neither.
  """
  given = images.shape[-1]
  if given == channels:
    return images
  if (given, channels) == (1, 3):
    return np.repeat(images, 3, axis=-1)
  if (given, channels) == (3, 1):
    # Plane by plane: all at once in 32 bits would be four times the images.
    total = np.full(images.shape[:-1], 500, np.uint32)
    for plane, share in enumerate(_GREY):
      total += images[..., plane] * np.uint32(share)
    return (total // 1000).astype(np.uint8)[..., None]
  raise ValueError(f"images: expected {channels} channels, or 1 or 3 for 3 or 1, got {given}")


def _sized(spec: runs.DataSpec, shape: Shape | None) -> runs.DataSpec:
  """The data set at the shape's size, where a size can say that."""
  return spec if shape is None or shape[0] != shape[1] else spec.replace(image_size=shape[0])


def _brought_to(shape: Shape | None, images: Images, name: str) -> Images:
  if shape is None:
    return images
  if images.shape[1:3] != shape[:2]:
    raise ValueError(
      f"image_size: expected images of {shape[0]}x{shape[1]} in {name!r}, as those they are "
      f"compared with, got {images.shape[1]}x{images.shape[2]}: give --image_size=..."
    )
  return with_channels(images, shape[2])
