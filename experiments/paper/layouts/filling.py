"""Fig 7 in numbers: a row a mask, a column a method, and who is best behind which masks."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["cells", "verdicts"]

#: Measures, more of which is better: name, field, digits and unit.
_MEASURES = (("PSNR", "psnr", ".2f", " dB"), ("SSIM", "ssim", ".3f", ""))
#: What the names of the network's own fillings begin with.
_OWN = "NSN"


def cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
  """The head and a line a mask: PSNR in dB and SSIM, inside the mask."""
  methods = list(dict.fromkeys(row["method"] for row in rows))
  lines = [
    [mask, *(f"{row['psnr']:.2f} / {row['ssim']:.3f}" for row in rows if row["mask"] == mask)]
    for mask in dict.fromkeys(row["mask"] for row in rows)
  ]
  return [["PSNR in dB / SSIM inside the mask", *methods], *lines]


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
  """A sentence a measure: who is best behind which masks, and what the network lacks to that."""
  found = []
  for name, field, form, unit in _MEASURES:
    best: dict[str, list[str]] = {}
    short = []
    for mask in dict.fromkeys(row["mask"] for row in rows):
      scores = {row["method"]: row[field] for row in rows if row["mask"] == mask}
      method = max(scores, key=scores.__getitem__)
      best.setdefault(method, []).append(mask)
      own = [score for other, score in scores.items() if other.startswith(_OWN)]
      short += [scores[method] - max(own)] if own else []
    if not best:
      continue
    text = "; ".join(f"{method}, behind {', '.join(masks)}" for method, masks in best.items())
    if max(short, default=0.0) > 0:
      text += (
        f". {_OWN}'s better filling is short of that by {min(short):{form}} to "
        f"{max(short):{form}}{unit}"
      )
    found.append(f"Highest {name}: {text}.")
  return found
