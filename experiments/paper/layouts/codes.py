"""What InfoGAN's categories mean: how many test images are of the class of theirs."""

from collections.abc import Mapping
from typing import Any

__all__ = ["cells"]


def cells(found: Mapping[str, Any]) -> list[list[str]] | None:
  """The head and one line; None of a data set without labels."""
  if "accuracy" not in found:
    return None
  return [
    ["test images", "of the class of their category"],
    [f"{found['num_images']:,}", f"{found['accuracy']:.1%}"],
  ]
