"""Grids of images, written to files."""

import math
import os
import pathlib

import jax
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from nsn_jax import files
from nsn_jax.pixel_range import to_uint8

__all__ = ["Images", "grid"]

Images = npt.NDArray | jax.Array

#: A grid is enlarged to about this width, so that a README shows its pixels as they are,
_WIDTH = 800
#: but an image to no more than this, where there are few.
_TILE = 200
#: A title has at least this width.
_TITLE_WIDTH = 480
_GAP = 3
_TITLE_SIZE = 18


def _coloured(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
  """[N, H, W, C] to [N, H, W, 3]: one channel is grey, of any other number but 3 the mean is."""
  if images.shape[-1] == 3:
    return images
  grey = np.rint(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
  return np.repeat(grey, 3, axis=-1)


def grid(
  images: Images,
  path: str | os.PathLike[str],
  title: str | None = None,
  columns: int | None = None,
  limits: tuple[float, float] = (0.0, 1.0),
) -> tuple[int, int]:
  """Draws images side by side, row by row, all on the same scale.

  Each pixel becomes a square of so many pixels that the grid is about 800 wide, or somewhat more;
  few images make a narrower one. Where writing is broken off, `path` is as it was.

  Args:
    images: [N, H, W, C], uint8, or float, which is clipped to `limits`.
    path: of the picture; its suffix says the format.
    title: a line above, or none; it is wrapped at the grid's width.
    columns: images a row; by default about as many as rows.
    limits: float values that are black and white.

  Returns:
    Width and height of the picture.

  Raises:
    ValueError: where there are no images, or no columns, or the suffix is of no picture.
    OSError: where `path` cannot be written.
  """
  if getattr(images, "ndim", 0) != 4 or 0 in images.shape:
    raise ValueError(f"images: expected [N, H, W, C] with none of them 0, got {np.shape(images)}")
  kind = _format(path)
  count, height, width = images.shape[:3]
  if columns is None:
    columns = math.ceil(math.sqrt(count))
  if columns < 1:
    raise ValueError(f"columns: expected an integer of at least 1, got {columns!r}")
  columns = min(columns, count)
  rows = -(-count // columns)
  scale = max(1, min(math.ceil((_WIDTH / columns - _GAP) / width), _TILE // width))
  enlarged = _coloured(to_uint8(images, limits)).repeat(scale, axis=1).repeat(scale, axis=2)
  height, width = height * scale, width * scale
  total_width = max(columns * (width + _GAP) + _GAP, _TITLE_WIDTH if title else 0)
  lines = _wrapped(title, total_width - 2 * _GAP) if title else []
  top = len(lines) * (_TITLE_SIZE + 6) + (6 if lines else 0)
  sheet = np.full((top + rows * (height + _GAP) + _GAP, total_width, 3), 255, np.uint8)
  for index, image in enumerate(enlarged):
    row, column = divmod(index, columns)
    y, x = top + _GAP + row * (height + _GAP), _GAP + column * (width + _GAP)
    sheet[y : y + height, x : x + width] = image
  picture = Image.fromarray(sheet)
  draw = ImageDraw.Draw(picture)
  for number, line in enumerate(lines):
    draw.text((_GAP, 4 + number * (_TITLE_SIZE + 6)), line, fill="black", font=_font())
  # By its format, as the place that it is written to has another suffix.
  with files.replacing(path) as temporary:
    picture.save(temporary, format=kind)
  return picture.size


def _format(path: str | os.PathLike[str]) -> str:
  """What Pillow calls the format of a suffix; raises ValueError for one that it cannot write."""
  kind = Image.registered_extensions().get(pathlib.Path(path).suffix.lower())
  if kind is None or kind not in Image.SAVE:
    raise ValueError(f"path: expected a picture's name, as x.png, got {os.fspath(path)!r}")
  return kind


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  return ImageFont.load_default(_TITLE_SIZE)


def _wrapped(text: str, width: int) -> list[str]:
  lines = [""]
  for word in text.split():
    longer = f"{lines[-1]} {word}".strip()
    if lines[-1] and _font().getlength(longer) > width:
      lines.append(word)
    else:
      lines[-1] = longer
  return lines
