"""Fig 7: occluded images of the test part filled in, and how well, beside three simple fillings.

    python -m experiments.paper.filling --dataset=mnist --model=... --workdir=runs/filling

For each mask the folder holds a picture (a row an image: original, occluded, several draws of NSN,
four rounds, the mean, and the others' fillings) and `filling.json` holds, for each mask and method,
PSNR and SSIM inside the mask over held-out images. "NSN" is as in the paper; "4 rounds" begins with
the hidden pixels' mean given the visible ones, and "mean" is that, as the first layer decodes it:
the least error, and the least detail. The others: the mean training image, the
training image that is nearest by its visible pixels, and scikit-image's biharmonic inpainting,
which continues the border smoothly.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from skimage import metrics as skimage_metrics
from skimage import restoration

import nsn_jax
from experiments.common import command_line, pictures, provenance, workdir
from nsn_jax import applications, metrics

__all__ = ["fillings", "masks", "occlude", "scores"]

Pixels = npt.NDArray[np.uint8]
Images = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Draws shown, and draws whose mean PSNR and SSIM are taken: each draw is judged alone.
_NUM_DRAWS = 3
_NUM_ROUNDS = 4
_SHOWN = 10
#: Side of SSIM's window.
_WINDOW = 7
_WHITE = np.float32(255)


def masks(height: int, width: int) -> dict[str, Mask]:
  """Masks by name, True where an image is occluded: several shapes and sizes."""
  y, x = np.mgrid[:height, :width]
  y, x = (y + 0.5) / height, (x + 0.5) / width

  def square(side: float) -> Mask:
    return (abs(y - 0.5) < side / 2) & (abs(x - 0.5) < side / 2)

  return {
    "small square": square(0.25),
    "square": square(0.43),
    "large square": square(0.6),
    "disc": (y - 0.5) ** 2 + (x - 0.5) ** 2 < 0.25**2,
    "lower half": y > 0.5,
    "right half": x > 0.5,
    "stripes": np.floor(y * 7).astype(int) % 2 == 1,
  }


def fillings(
  key: jax.Array, nsn: nsn_jax.NSN, training: Pixels, images: Pixels, mask: Mask
) -> dict[str, npt.NDArray]:
  """Each method's fillings of the images, float [M, N, H, W, C] in [0, 1]; M draws of NSN."""
  visible = ~mask[..., None]
  unit = images.astype(np.float32) / _WHITE
  mean = (training.mean(axis=0) / _WHITE).astype(np.float32)
  paper = applications.fill(key, nsn, unit, mask, _NUM_DRAWS, background=0.0)
  rounds = applications.fill(key, nsn, unit, mask, num_rounds=_NUM_ROUNDS)
  mean_given = applications.fill(key, nsn, unit, mask, layer=0)
  nearest = metrics.nearest(training[:, ~mask], images[:, ~mask])
  inpainted = np.stack(
    [restoration.inpaint_biharmonic(image, mask, channel_axis=-1) for image in unit * visible]
  )
  return {
    "NSN": np.clip(paper, 0.0, 1.0),
    "NSN, 4 rounds": np.clip(rounds, 0.0, 1.0),
    "NSN, mean": np.clip(mean_given, 0.0, 1.0),
    "mean image": np.where(visible, unit, mean)[None],
    "nearest image": np.where(visible, unit, training[nearest.position] / _WHITE)[None],
    "biharmonic": np.clip(inpainted, 0.0, 1.0)[None],
  }


def scores(original: Images, filled: npt.NDArray, mask: Mask) -> tuple[float, float]:
  """Mean PSNR in dB and mean SSIM, inside the mask, of [N, H, W, C] in [0, 1]."""
  error = ((original - filled)[:, mask] ** 2).mean(axis=(1, 2))
  psnr = -10 * np.log10(np.maximum(error, 1e-10))
  ssim = [
    skimage_metrics.structural_similarity(
      one, other, data_range=1.0, channel_axis=-1, full=True, win_size=_WINDOW
    )[1][mask].mean()
    for one, other in zip(original, filled, strict=True)
  ]
  return float(psnr.mean()), float(np.mean(ssim))


def occlude(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  training: Pixels,
  images: Pixels,
  folder: pathlib.Path,
  report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
  """Fills images behind every mask, draws them, and returns the scores, a row a mask and method.

  Args:
    key: PRNG key.
    nsn: the network.
    training: uint8 [N, H, W, C], of which the others take the mean and the nearest.
    images: held-out, uint8 [M, H, W, C].
    folder: of the pictures.
    report: told of each row.

  Returns:
    Plain values: mask, method, psnr, ssim, share of pixels occluded.
  """
  unit = images.astype(np.float32) / _WHITE
  rows = []
  for index, (name, mask) in enumerate(masks(*images.shape[1:3]).items()):
    filled = fillings(jax.random.fold_in(key, index), nsn, training, images, mask)
    for method, draws in filled.items():
      found = np.mean([scores(unit, draw, mask) for draw in draws], axis=0)
      rows.append(
        {
          "mask": name,
          "occluded": float(mask.mean()),
          "method": method,
          "psnr": float(found[0]),
          "ssim": float(found[1]),
          "num_images": len(images),
        }
      )
      report(f"{name:13} {method:14} PSNR {found[0]:5.2f} dB  SSIM {found[1]:.3f}")
    # Grey where it is occluded: black is a pixel value.
    hidden = np.where(mask[..., None], np.float32(0.5), unit)
    columns = [unit, hidden, *(draw for draws in filled.values() for draw in draws)]
    shown = np.stack(columns, axis=1)[:_SHOWN].reshape(-1, *images.shape[1:])
    pictures.grid(
      shown,
      folder / f"filling_{name.replace(' ', '_')}.png",
      columns=len(columns),
      title=f"original, occluded, {_NUM_DRAWS} draws of NSN, four rounds, mean given the rest, "
      "mean image, nearest image, biharmonic",
    )
  return rows


def _define_flags() -> None:
  command_line.define_figure("Seed of the draws.")
  flags.DEFINE_integer("num_images", 200, "Held-out images, at least 1.", lower_bound=1)


def _main() -> None:
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  data, _, nsn = command_line.judged()
  training = data.load().images
  images = data.replace(limit=given.num_images).load("test").images
  rows = occlude(jax.random.key(given.seed), nsn, training, images, folder)
  provenance.write_result(folder / "filling.json", {"rows": rows})


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
