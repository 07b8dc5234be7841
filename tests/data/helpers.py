"""What the tests of several sources build their data of."""

import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from nsn_jax.data import decoding, pieces
from nsn_jax.data.dataset import Progress


def save(path, image):
  """Writes an image file, and its folder."""
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(np.asarray(image, np.uint8)).save(path)


def flat(value, height=8, width=8):
  """A uniform RGB image, which stays what it is under any crop and resize."""
  return np.full((height, width, 3), value, np.uint8)


def decoded(batches, decode_item, count=None, begun=None, **options):
  """All images of `pieces.decoded` in one array; the first broken one is an error."""
  found = pieces.decoded(
    batches,
    decode_item,
    title="x",
    count=sum(map(len, batches)) if count is None else count,
    begun=begun or Progress(),
    **options,
  )
  kept = []
  for piece in found:
    for _, told in piece.broken:
      raise decoding.BrokenImageError(told)
    kept.append(piece.images.copy())
  return np.concatenate([images for images in kept if len(images)])


class Records(list):
  """What `tfds.data_source` gives: items by a list of plain integers."""

  def __getitems__(self, positions):
    assert type(positions) is list and all(type(p) is int for p in positions)
    return [self[p] for p in positions]


def npy(header, values=b"", version=1):
  """A `.npy` file of any header, and of values that need not be its."""
  text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
  length = struct.pack("<H" if version == 1 else "<I", len(text))
  return b"\x93NUMPY" + bytes([version, 0]) + length + text + values


def described(dtype, shape, values=None):
  """A `.npy` file that says of itself what it likes; without values, as many zeros as it says."""
  if values is None:
    values = bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
  return npy(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}", values)


def write_zip(path, members, method=zipfile.ZIP_STORED):
  """A zip archive of these files."""
  with zipfile.ZipFile(path, "w", method) as archive:
    for name, content in members.items():
      archive.writestr(name, content)


def _chunk(kind, content):
  checksum = zlib.crc32(kind + content)
  return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def black_png(width, height, channels=3, rows=None):
  """A PNG file of few bytes and any number of pixels, all of them zero.

  Args:
    width: of the image.
    height: of the image.
    channels: 1 to 4.
    rows: that the file really has; None for all.
  """
  colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
  packing = zlib.compressobj(1)
  packed = b""
  for _ in range(height if rows is None else rows):
    packed += packing.compress(bytes(1 + width * channels))
  header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
  body = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed + packing.flush())
  return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")
