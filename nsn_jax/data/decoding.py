"""Decoding and resizing of images with Pillow."""

import concurrent.futures
import io
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import tqdm
from PIL import Image, ImageOps

from nsn_jax.data.dataset import DataError

__all__ = ["decode", "resize", "stack"]

#: Large images are first shrunk by whole factors to not less than this many times the size asked
#: for; Pillow calls the result of 3 hardly distinguishable from resizing at once.
_REDUCING_GAP = 3.0

_Item = TypeVar("_Item")


def decode(
  source: bytes | pathlib.Path, mode: str, size: int | None, title: str
) -> npt.NDArray[np.uint8]:
  """Decodes one image, upright; with a size, its centre square resized.

  Args:
    source: an encoded image, or the file that holds it; of an animation, the first frame counts.
    mode: "L" or "RGB".
    size: side of the result in pixels; None keeps the image as it is.
    title: names the image in errors.

  Returns:
    uint8 [H, W, C], C = 1 for "L" and 3 for "RGB".

  Raises:
    DataError: the image cannot be decoded.
  """
  try:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
      if size is not None:
        # Lets the JPEG decoder leave out detail that the resizing would.
        gap = int(_REDUCING_GAP * size)
        image.draft(None, (gap, gap))
      ImageOps.exif_transpose(image, in_place=True)
      converted = _to_8_bit(image).convert(mode)
  except Exception as error:  # Pillow's plugins raise what they like: OSError, SyntaxError, ...
    first_line = str(error).partition("\n")[0]
    raise DataError(f"{title}: expected an image that Pillow can decode, got: {first_line}") from (
      error
    )
  array = np.asarray(converted if size is None else _fit(converted, size))
  return array.reshape(*array.shape[:2], -1)


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


def stack(
  batches: Iterable[Sequence[_Item]],
  count: int,
  decode_item: Callable[[_Item], npt.NDArray[np.uint8]],
  title: str,
) -> npt.NDArray[np.uint8]:
  """Decodes items in threads into one array, with a progress bar on a terminal.

  Args:
    batches: items in order, in pieces: only one piece is held undecoded.
    count: number of items in all, >= 1.
    decode_item: gives uint8 [H, W, C] of the same shape for each item.
    title: names the data set in the bar and in errors.

  Returns:
    uint8 [count, H, W, C].

  Raises:
    DataError: images of different shapes, or fewer of them than `count`.
  """
  images = np.empty((count, 0, 0, 0), np.uint8)
  done = 0
  # disable=None: off where stderr is no terminal. delay: no bar for what takes a moment.
  bar = tqdm.tqdm(total=count, desc=title, unit="image", disable=None, delay=1.0)
  with bar, concurrent.futures.ThreadPoolExecutor() as pool:
    for batch in batches:
      for image in pool.map(decode_item, batch):
        if done == 0:
          images = np.empty((count, *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
          raise DataError(
            f"{title}: expected images of one shape (or an image_size), "
            f"got {images.shape[1:]} and {image.shape}"
          )
        images[done] = image
        done += 1
      bar.update(len(batch))
  if done != count:
    raise DataError(f"{title}: expected {count} images, got {done}")
  return images


def _to_8_bit(image: Image.Image) -> Image.Image:
  """Scales 16-bit grey to 8 bits: Pillow's own conversion clips it to white."""
  if not image.mode.startswith("I;16"):
    return image
  return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


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
