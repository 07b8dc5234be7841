"""Decoding and resizing of single images with Pillow, whoever made them."""

import contextlib
import functools
import io
import math
import os
import pathlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from nsn_jax.data.dataset import DataError

__all__ = [
  "MAX_SIDE",
  "BrokenImageError",
  "LargeImageError",
  "begin_thread",
  "decode",
  "fitted",
  "resize",
  "without_pillows_warnings",
]

#: Large images are first shrunk by whole factors to not less than this many times the size asked
#: for; Pillow calls the result of 3 hardly distinguishable from resizing at once.
_REDUCING_GAP = 3.0
#: Pixels of an image at most, by its header: 50 megapixels, as the larger phones' cameras have. A
#: few kilobytes can claim any number. Pillow takes up to 12 bytes for each on the way.
_MAX_PIXELS = 8192 * 6144
#: Bytes of an encoded image at most: so many pixels unpacked, in four channels of 16 bits.
_MAX_BYTES = 8 * _MAX_PIXELS
#: Images above one of these, in pixels as they are decoded or in encoded bytes, are decoded by one
#: thread, one after the other: each thread keeps memory of the largest that it has had.
_SMALL_PIXELS = 2**21
_SMALL_BYTES = 16 * 2**20
#: Side of an image that can be asked for at most.
MAX_SIDE = math.isqrt(_MAX_PIXELS)
#: What is looked for in a file, whatever its ending: others have Pillow run other programs, or are
#: decoded without bounds.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
#: What is seen through transparent pixels.
_BACKGROUND = 255


class BrokenImageError(DataError):
  """An image that cannot be decoded, or has too many pixels."""


class LargeImageError(Exception):
  """An image that is not to be decoded in one of several threads, but by one alone."""


class _Thread(threading.local):
  """Whether this thread is one of several that decode."""

  is_one_of_several = False


_THREAD = _Thread()


def begin_thread() -> None:
  """Makes the calling thread one of several: `decode` raises LargeImageError in it."""
  _THREAD.is_one_of_several = True


def decode(
  source: bytes | pathlib.Path, mode: str, size: int | None, title: str
) -> npt.NDArray[np.uint8]:
  """Decodes one image, upright and on white; with a size, its centre square resized.

  Args:
    source: an encoded image, or the file that holds it; of an animation, the first frame counts.
    mode: "L" or "RGB".
    size: side of the result in pixels; None keeps the image as it is.
    title: names the image in errors.

  Returns:
    uint8 [H, W, C], C = 1 for "L" and 3 for "RGB".

  Raises:
    BrokenImageError: the image cannot be decoded, or is larger than 50 megapixels.
    DataError: its file cannot be read, or the memory is too small.
    LargeImageError: in one of several threads.
  """
  try:
    file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
  except OSError as error:
    raise DataError(f"{title}: expected a file that can be read, got: {error.strerror}") from error
  with file:
    return _decoded(file, mode, size, title, lambda image: _fit(image, size) if size else image)


def fitted(path: pathlib.Path, mode: str, longer_side: int, title: str) -> npt.NDArray[np.uint8]:
  """Decodes an image file, upright and on white, scaled down as a whole.

  Args:
    path: of the file.
    mode: "L" or "RGB".
    longer_side: of the result in pixels, at most.
    title: names the image in errors.

  Returns:
    uint8 [H, W, C], C = 1 for "L" and 3 for "RGB".

  Raises:
    DataError: the image cannot be decoded, or is larger than 50 megapixels.
    OSError: its file cannot be read.
  """

  def scaled(image: Image.Image) -> Image.Image:
    image.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS, _REDUCING_GAP)
    return image

  with path.open("rb") as file, without_pillows_warnings():
    return _decoded(file, mode, longer_side, title, scaled)


def resize(images: npt.NDArray[np.uint8], size: int | None) -> npt.NDArray[np.uint8]:
  """Resizes the centre squares of uint8 [N, H, W, C] to [N, size, size, C]; None does nothing."""
  if size is None or images.shape[1:3] == (size, size):
    return images
  result = np.empty((len(images), size, size, images.shape[-1]), np.uint8)
  for image, out in zip(images, result, strict=True):
    for channel in range(images.shape[-1]):  # Pillow has no image of, say, two channels.
      plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
      out[..., channel] = np.asarray(_fit(plane, size))
  return result


@contextlib.contextmanager
def without_pillows_warnings() -> Iterator[None]:
  """Pillow warns of large images, which are an error here, and of damage that it reads around.

  Once around all threads: the filters of warnings belong to the process.
  """
  with warnings.catch_warnings():
    warnings.filterwarnings("ignore", module=r"PIL\.")
    yield


@functools.cache
def _formats() -> tuple[str, ...]:
  """Those of the formats that this Pillow has."""
  Image.init()
  return tuple(name for name in _FORMATS if name in Image.OPEN)


def _decoded(
  file: BinaryIO,
  mode: str,
  size: int | None,
  title: str,
  finish: Callable[[Image.Image], Image.Image],
) -> npt.NDArray[np.uint8]:
  """Decodes an image, and finishes it.

  Args:
    file: holds the encoded image.
    mode: "L" or "RGB".
    size: to which `finish` shrinks it; None for not.
    title: names the image in errors.
    finish: takes the upright image in its mode.

  Returns:
    uint8 [H, W, C].
  """
  try:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if length > _MAX_BYTES:
      raise ValueError(f"{length:,} bytes, more than {_MAX_BYTES:,}")
    _check_thread(length > _SMALL_BYTES)
    with Image.open(file, formats=_formats()) as image:
      if image.width * image.height > _MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, more than {_MAX_PIXELS:,}")
      is_whole = bool(image.info.get("progressive"))  # Of a JPEG: held whole, whatever is left out.
      _check_thread(is_whole and image.width * image.height > _SMALL_PIXELS)
      if size is not None:
        # Lets the JPEG decoder leave out detail that the resizing would.
        gap = int(_REDUCING_GAP * size)
        image.draft(None, (gap, gap))
      _check_thread(image.width * image.height > _SMALL_PIXELS)
      ImageOps.exif_transpose(image, in_place=True)
      array = np.array(finish(_plain(image, mode)))
    return array.reshape(*array.shape[:2], -1)
  except LargeImageError:
    raise
  except MemoryError as error:
    raise DataError(f"{title}: expected memory to decode it in, got too little") from error
  except Exception as error:  # Pillow's plugins raise what they like: OSError, SyntaxError, ...
    if isinstance(error, Image.DecompressionBombError):
      said = f"more than {_MAX_PIXELS:,} pixels"
    elif isinstance(error, UnidentifiedImageError):
      said = f"none of {', '.join(_formats())}"
    else:
      said = str(error).partition("\n")[0]
    raise BrokenImageError(
      f"{title}: expected an image that Pillow can decode, got: {said}"
    ) from error


def _check_thread(is_large: bool) -> None:
  if is_large and _THREAD.is_one_of_several:
    raise LargeImageError


def _plain(image: Image.Image, mode: str) -> Image.Image:
  """The image in 8 bits and without transparency, in a mode."""
  if image.mode.startswith("I"):
    # Scales 16-bit grey to 8 bits: Pillow's own conversion clips it to white.
    values = np.array(image)
    hidden = values == image.info.get("transparency", -1)
    values.clip(0, 2**16 - 1, out=values)
    values >>= 8
    values[hidden] = _BACKGROUND
    image = Image.fromarray(values.astype(np.uint8))
  elif image.mode == "F":
    raise ValueError("floating-point values, of no known range")
  elif image.has_transparency_data:
    # Whatever colour is hidden below: a viewer does not show it either.
    opaque = Image.new("RGB", image.size, (_BACKGROUND,) * 3)
    shown = image if image.mode == "RGBA" else image.convert("RGBA")
    opaque.paste(shown, mask=shown)
    image = opaque
  return image if image.mode == mode else image.convert(mode)


def _fit(image: Image.Image, size: int) -> Image.Image:
  """The centre square of the image, antialiased, `size` pixels a side."""
  side = min(image.size)
  left, top = (image.width - side) // 2, (image.height - side) // 2
  return image.resize(
    (size, size),
    Image.Resampling.LANCZOS,
    box=(left, top, left + side, top + side),
    reducing_gap=_REDUCING_GAP,
  )
