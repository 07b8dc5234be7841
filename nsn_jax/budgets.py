"""How much a backend works on at once: sizes of chunks and batches, all in one place.

On CPU what is looked at several times should stay in a cache; an accelerator is faster on fewer and
larger products.
"""

from typing import NamedTuple

import jax

__all__ = ["IMAGES_AT_ONCE", "Budget", "of_backend"]

#: Images a program whitens, or un-whitens, at least: the matrices of 64x64x3, 200 MB each, are as
#: many bytes as thousands of images, and are read anew for each batch.
IMAGES_AT_ONCE = 64


class Budget(NamedTuple):
  """What fits at once.

  Attributes:
    chunk_bytes: of the patches of a chunk of an E-step: they stay in the last-level cache for the
      second look at them, and the product is large enough to run at full speed.
    chunk_rows: most patches of a chunk.
    batch_bytes: of the patches of a batch of a pass. On CPU about a cache: eight times as much is
      half as fast.
    sample_values: of the largest array of patches of a batch of samples.
    group_values: of the largest array of maps of a group of samples, of several batches. On CPU so
      many that the decoders' weights, hundreds of megabytes, are read once for hundreds of rows.
    flops_a_byte: that a device does while a byte comes from the host: maps that cost fewer to make
      are made again in each pass. Of an accelerator 20 Tflops of full float32 over 50 GB/s of a
      bus; a CPU has no bus between.
  """

  chunk_bytes: int
  chunk_rows: int
  batch_bytes: int
  sample_values: int
  group_values: int
  flops_a_byte: int


_CPU = Budget(
  chunk_bytes=1 << 23,
  chunk_rows=1 << 12,
  batch_bytes=1 << 23,
  sample_values=1 << 20,
  group_values=1 << 25,
  flops_a_byte=1,
)
_ACCELERATOR = Budget(
  chunk_bytes=1 << 28,
  chunk_rows=1 << 17,
  batch_bytes=1 << 30,
  sample_values=1 << 28,
  group_values=1 << 28,
  flops_a_byte=400,
)


def of_backend() -> Budget:
  """The budget of JAX's default backend."""
  return _CPU if jax.default_backend() == "cpu" else _ACCELERATOR
