"""Masks A and B (van den Oord et al. 2016, arXiv:1601.06759): what a value sees of its own pixel.

The colours of a pixel have an order, R, G, B, and each value is drawn given those before it, of its
own pixel, too. So every feature of a map belongs to a colour, dealt out in turn. From a map to the
next a feature sees of its own pixel the features of earlier colours (mask A, of the first layer,
whose features are the image's values), and those of its own as well (mask B, of all others). Of
pixels before its own it sees everything, of those after it nothing.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Colours", "Kind", "colours", "own_pixel", "window"]

Kind = Literal["A", "B"]
#: The colour that each feature of a map belongs to, integers [F] below C.
Colours = npt.NDArray[np.int32]
Mask = npt.NDArray[np.float32]


def colours(num_features: int, num_colours: int) -> Colours:
  """The colours of a map's features: 0, 1, 2, 0, 1, 2 and so on, int32 [num_features]."""
  return np.arange(num_features, dtype=np.int32) % num_colours


def own_pixel(kind: Kind, inputs: Colours, outputs: Colours) -> Mask:
  """1 where an output sees an input of its own pixel, else 0: float32 [inputs, outputs]."""
  before, after = inputs[:, None], outputs[None]
  return np.asarray(before < after if kind == "A" else before <= after, np.float32)


def window(kind: Kind, rows: int, columns: int, inputs: Colours, outputs: Colours) -> Mask:
  """The mask of a convolution that sees no later pixel.

  Args:
    kind: "A" or "B".
    rows: of the window, the last of which is the pixel's own.
    columns: of the window, odd, the middle one of which is the pixel's own.
    inputs: their colours.
    outputs: their colours.

  Returns:
    float32 [rows, columns, inputs, outputs], of 0 and 1.
  """
  mask = np.ones((rows, columns, len(inputs), len(outputs)), np.float32)
  middle = columns // 2
  mask[-1, middle] = own_pixel(kind, inputs, outputs)
  mask[-1, middle + 1 :] = 0.0
  return mask
