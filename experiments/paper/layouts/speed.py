"""Speed: a row a size, of EM as multiples of the bare matrix product, of reading in images."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells", "end_to_end", "reader_cells", "sampling"]

_HEAD = ["N", "D", "K", "bare, ms", "nsn_jax", "all exact", "faiss", "scikit-learn"]
_READER_HEAD = ["images", "size", "decoded, 1/s", "mapped, 1/s"]


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a size of an EM pass."""
  return [
    _HEAD,
    *(
      [
        f"{row['n']:,}",
        str(row["d"]),
        str(row["k"]),
        f"{row['bare_ms']:.1f}",
        f"{row['nsn_jax']:.2f}",
        f"{row['nsn_jax_exact']:.2f}",
        *("-" if row[peer] is None else f"{row[peer]:.1f}" for peer in ("faiss", "sklearn")),
      ]
      for row in rows
    ),
  ]


def reader_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a size of images that are read."""
  return [
    _READER_HEAD,
    *(
      [
        f"{row['n']:,}",
        f"{row['side']}x{row['side']}",
        *(f"{row[name]:,.0f}" for name in ("decoded", "mapped")),
      ]
      for row in rows
    ),
  ]


def end_to_end(found: Mapping[str, Any]) -> list[str]:
  """What training and sampling cost beside the products that they are made of, two sentences."""
  counts = " / ".join(map(str, found["num_filters"]))
  exact = ""
  if "exact_fit_seconds" in found:  # before there was a basis, all were so
    seconds = found["exact_fit_seconds"]
    exact = f" On the patches themselves all along (`use_basis=False`) {seconds:.0f} s."
  return [
    f"`fit` of `{found['preset']}` ({counts} filters): {found['fit_seconds']:.0f} s, the time of "
    f"{found['fit_in_bare_passes']:.0f} bare products over the full data, for "
    f"{found['passes_made']:.0f} passes made.{exact}",
    sampling(found),
  ]


def sampling(found: Mapping[str, Any]) -> str:
  """What sampling costs beside the products of Eq 4-5, or of the decoders."""
  return (
    f"{found['num_samples']:,} samples: {found['sample_seconds']:.1f} s, "
    f"{found['sample_ratio']:.2f} times the sampler's own products "
    f"({found['sample_products_seconds']:.1f} s in numpy)."
  )
