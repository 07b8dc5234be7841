"""Images to patches and back: "valid" windows, and stitching by averaging the overlaps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from nsn_jax import checks

__all__ = [
  "covered_size",
  "extract_patches",
  "num_positions",
  "overlap_count",
  "stitch_patches",
  "sum_patches",
]

#: Slices that patches are cut by at once. More of them are cut in two steps, columns then rows:
#: one look more at part of the values, but XLA takes a tenth of the time to compile it.
_MAX_SLICES = 64


def num_positions(size: int, kernel: int, stride: int) -> int:
  """Number of window positions along one side of `size` values ("valid" windows)."""
  return (size - kernel) // stride + 1


def covered_size(positions: int, kernel: int, stride: int) -> int:
  """Number of values that `positions` windows cover along one side."""
  return (positions - 1) * stride + kernel


def _check_window(kernel: int, stride: int) -> None:
  whole = all(isinstance(side, int | np.integer) for side in (kernel, stride))
  if not whole or kernel < 1 or stride < 1:
    raise ValueError(
      f"kernel and stride: expected positive integers, got kernel={kernel!r}, stride={stride!r}"
    )


def extract_patches(images: jax.Array, kernel: int, stride: int) -> jax.Array:
  """Cuts images, or feature maps, into patches.

  Args:
    images: [N, H, W, C], any dtype.
    kernel: side of the square window, at most H and W.
    stride: step between windows. Rows and columns beyond the last window are left out.

  Returns:
    Patches [N, h, w, kernel, kernel, C] with h = (H - kernel) // stride + 1, likewise w.

  Raises:
    ValueError: for a wrong rank, or a window that does not fit.

  >>> extract_patches(jnp.zeros([2, 28, 28, 1]), kernel=4, stride=2).shape
  (2, 13, 13, 4, 4, 1)
  """
  _check_window(kernel, stride)
  shape = getattr(images, "shape", None)
  if shape is None or len(shape) != 4:
    given = type(images).__name__ if shape is None else f"shape {tuple(shape)}"
    raise ValueError(f"images: expected [N, H, W, C], got {given}")
  height, width = shape[1:3]
  if kernel > min(height, width):
    raise ValueError(
      f"images: expected at least kernel={kernel} pixels a side, got {height} x {width}"
    )
  return _extract(jnp.asarray(checks.native(images)), kernel, stride)


@functools.partial(jax.jit, static_argnames=("kernel", "stride"))
def _extract(images: jax.Array, kernel: int, stride: int) -> jax.Array:
  h = num_positions(images.shape[1], kernel, stride)
  w = num_positions(images.shape[2], kernel, stride)
  if h == w == 1:  # the window is the whole map: a view, no copy
    return images[:, None, None, :kernel, :kernel]
  # One strided slice per offset in the window: a gather, or a convolution with the identity, gives
  # the same patches several times slower on CPU.
  if kernel**2 <= _MAX_SLICES:
    rows = [
      _stack_slices(images[:, i : i + (h - 1) * stride + 1 : stride], 2, w, kernel, stride)
      for i in range(kernel)
    ]
    return jnp.stack(rows, axis=3)
  columns = _stack_slices(images, 2, w, kernel, stride)
  return _stack_slices(columns, 1, h, kernel, stride)


def _stack_slices(x: jax.Array, axis: int, positions: int, kernel: int, stride: int) -> jax.Array:
  """Windows along one axis: for each offset in the window a strided slice, stacked as axis 3."""
  last = (positions - 1) * stride + 1
  slices = [jax.lax.slice_in_dim(x, i, i + last, stride, axis) for i in range(kernel)]
  return jnp.stack(slices, axis=3)


def sum_patches(patches: jax.Array, stride: int) -> jax.Array:
  """Adds patches into the images that they were cut from: the transpose of `extract_patches`.

  Args:
    patches: [N, h, w, kh, kw, C].
    stride: step between windows.

  Returns:
    Images [N, H, W, C] of the covered size; where windows overlap, their sum.
  """
  n, h, w, kh, kw, c = patches.shape
  if h == w == 1:  # one window overlaps none; a large one's tiles would take XLA half a minute
    return patches[:, 0, 0]
  blocks_h, blocks_w = -(-kh // stride), -(-kw // stride)
  # Tiles of stride x stride pixels never overlap between windows, so a window is the sum of
  # blocks_h x blocks_w shifted tile maps. This is pad-and-add, no scatter.
  padded = jnp.pad(
    patches,
    [(0, 0)] * 3 + [(0, blocks_h * stride - kh), (0, blocks_w * stride - kw), (0, 0)],
  )
  total = jnp.zeros([n, h + blocks_h - 1, w + blocks_w - 1, stride, stride, c], patches.dtype)
  for i in range(blocks_h):
    for j in range(blocks_w):
      tile = padded[:, :, :, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
      total = total.at[:, i : i + h, j : j + w].add(tile)
  images = total.transpose(0, 1, 3, 2, 4, 5).reshape(
    n, (h + blocks_h - 1) * stride, (w + blocks_w - 1) * stride, c
  )
  return images[:, : covered_size(h, kh, stride), : covered_size(w, kw, stride)]


def overlap_count(h: int, w: int, kernel: tuple[int, int], stride: int) -> jax.Array:
  """Number of windows over each covered value: [1, H, W, 1] float32; 0 where a stride skips it."""
  return sum_patches(jnp.ones([1, h, w, *kernel, 1], jnp.float32), stride)


def stitch_patches(patches: jax.Array, stride: int) -> jax.Array:
  """Puts patches back into images, averaging where they overlap (NSN-Gen's last step, after Eq 5).

  The inverse of `extract_patches` on its own output, as far as the windows cover the image; values
  between windows (stride > kernel) come back as 0.

  Args:
    patches: [N, h, w, kh, kw, C] floats.
    stride: step between windows.

  Returns:
    Images [N, (h - 1) * stride + kh, (w - 1) * stride + kw, C].

  Raises:
    ValueError: for a wrong rank.
  """
  _check_window(1, stride)
  patches = checks.floats("patches", patches, "N, h, w, kh, kw, C")
  return _stitch(jnp.asarray(patches), stride)


@functools.partial(jax.jit, static_argnames="stride")
def _stitch(patches: jax.Array, stride: int) -> jax.Array:
  h, w, kh, kw = patches.shape[1:5]
  count = overlap_count(h, w, (kh, kw), stride)
  return sum_patches(patches, stride) / jnp.maximum(count, 1.0)
