"""Fig 6: any image file painted anew by the first layer's filters.

    python -m experiments.paper.styling --image=photo.jpg --model=... --out=style.png

    python -m experiments.paper.styling --dataset=lfw --model=...     # a held-out image

The picture shows the image and several draws. Images of any size work; large ones are scaled down
to `--size`. A network of grey images paints a grey one.
"""

import pathlib

import jax
import numpy as np
import numpy.typing as npt
from absl import flags

from experiments.common import command_line, pictures
from nsn_jax import applications, data
from nsn_jax.data import decoding
from nsn_jax.pixel_range import to_uint8

__all__ = ["read_image"]


def read_image(path: str, num_channels: int, size: int) -> npt.NDArray[np.uint8]:
  """An image file as uint8 [H, W, C], its longer side at most `size`, read as data sets are.

  Raises:
    OSError: where it cannot be read.
    ValueError: where it is no image, or too large.
  """
  mode = "L" if num_channels == 1 else "RGB"
  try:
    return decoding.fitted(pathlib.Path(path), mode, size, repr(path))
  except data.DataError as error:
    raise ValueError(f"image: expected an image file, got {error}") from error
  except OSError as error:
    raise OSError(
      f"image: expected an image file, got {path!r}: {error.strerror or error}"
    ) from error


def _define_flags() -> None:
  flags.DEFINE_string("image", None, "Image file.")
  flags.DEFINE_string(
    "dataset", None, "Where no file is given: whose first held-out image is styled, at --size."
  )
  command_line.define_data_dir()
  flags.DEFINE_string("model", None, "Model file.")
  flags.DEFINE_string("out", "style.png", "Picture to write.")
  flags.DEFINE_integer("size", 256, "Longer side at most.", lower_bound=8)
  flags.DEFINE_integer("num_styled", 3, "Styled images, at least 1.", lower_bound=1)
  command_line.define_sampler()
  command_line.define_seed("Seed of the draws.")


def _main() -> None:
  given = flags.FLAGS
  nsn = command_line.judged_model()
  if given.dataset and not given.image:
    name = f"an image of {given.dataset}"
    image = data.load(
      given.dataset, split="test", data_dir=given.data_dir, image_size=given.size, limit=1
    ).images[0]
  else:
    name = command_line.required("image", "an image file, or --dataset,")
    image = read_image(name, nsn.filters[0].mean.shape[-1], given.size)
  styled = applications.style(
    jax.random.key(given.seed),
    nsn,
    image[None],
    given.num_styled,
    sampler=command_line.sampler(nsn.config.sampler),
  )
  shown = np.concatenate([image[None], to_uint8(styled[:, 0])])
  pictures.grid(shown, given.out, columns=len(shown))
  print(f"{name} and {given.num_styled} styled images are in {pathlib.Path(given.out)}")


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
