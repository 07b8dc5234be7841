"""Where the weights of Inception v3 come from: the usual `.pth` port, checked before it is read."""

import os
import pathlib
import sys
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pooch

from nsn_jax import files
from nsn_jax.metrics.inception import network, torch_file
from nsn_jax.metrics.inception.network import Inception

__all__ = ["FILE", "URL", "convolutions", "from_arrays", "load_inception"]

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
#: SHA-256 of the file; its beginning is part of the name, by PyTorch's convention.
_CHECKSUM = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_NORM_FIELDS = ("weight", "bias", "running_mean", "running_var")


def load_inception(path: str | os.PathLike[str] | None = None) -> Inception:
  """Reads Inception v3 of 2015-12-05.

  Args:
    path: a `.pth` file in the layout of the port named in `FILE`. None for the file of that name in
      the cache (`$NSN_JAX_CACHE`, or `~/.cache/nsn_jax`), downloaded if it is not there.

  Returns:
    The network.

  Raises:
    ValueError: if the file is damaged, or is not one of this network.
    OSError: if it can be neither read nor downloaded; the message says what to do.
  """
  source = _downloaded() if path is None else pathlib.Path(path)
  if not source.is_file():
    raise FileNotFoundError(f"inception_weights: expected a file, got {str(source)!r}")
  return from_arrays(torch_file.read_arrays(source), str(source))


def convolutions() -> Iterator[tuple[str, tuple[int, int, int, int]]]:
  """Name and kernel shape [out, in, kh, kw] of every convolution, in the port's names."""
  width = 3
  for block, layers in network.BLOCKS.items():
    outer = width
    made: dict[str, int] = {}
    for name, channels, kernel in layers:
      if block:
        width = made[_BELOW[name]] if name in _BELOW and _BELOW[name] in made else outer
      yield f"{block}.{name}" if block else name, (channels, width, *kernel)
      made[name] = width = channels
    if block:
      width = sum(made[name] for name in made if name not in _BELOW.values())
      width += outer if block in ("Mixed_6a", "Mixed_7a") else 0  # Their pool has no convolution.


#: The convolution that each one within a block stands on; the others stand on the block's input.
_BELOW = {
  "branch5x5_2": "branch5x5_1",
  "branch3x3_2": "branch3x3_1",
  "branch3x3_2a": "branch3x3_1",
  "branch3x3_2b": "branch3x3_1",
  "branch3x3dbl_2": "branch3x3dbl_1",
  "branch3x3dbl_3": "branch3x3dbl_2",
  "branch3x3dbl_3a": "branch3x3dbl_2",
  "branch3x3dbl_3b": "branch3x3dbl_2",
  **{f"branch7x7_{i}": f"branch7x7_{i - 1}" for i in (2, 3)},
  **{f"branch7x7dbl_{i}": f"branch7x7dbl_{i - 1}" for i in (2, 3, 4, 5)},
  **{f"branch7x7x3_{i}": f"branch7x7x3_{i - 1}" for i in (2, 3, 4)},
}


def from_arrays(arrays: dict[str, npt.NDArray], source: str) -> Inception:
  """The network of the port's arrays.

  Args:
    arrays: by the port's names, `Mixed_5b.branch1x1.conv.weight` and so on.
    source: where they come from, for errors.

  Returns:
    The network.

  Raises:
    ValueError: if an array is missing, of another shape, or not finite.
  """

  def array(name: str, shape: tuple[int, ...]) -> npt.NDArray:
    found = arrays.get(name)
    if found is None or found.shape != shape:
      given = "none" if found is None else f"{found.shape}"
      raise ValueError(
        f"inception_weights: expected {name} of shape {shape} in {source}, got {given}"
      )
    if not np.isfinite(found).all():
      raise ValueError(f"inception_weights: expected finite values, got others in {name}")
    return found

  folded = {}
  for name, shape in convolutions():
    norm = (array(f"{name}.bn.{field}", shape[:1]) for field in _NORM_FIELDS)
    folded[name] = network.fold(array(f"{name}.conv.weight", shape), *norm)
  classes = array("fc.weight", (network.NUM_LOGITS, network.NUM_FEATURES))
  return Inception(folded, jnp.asarray(classes.T, jnp.float32))


def _downloaded() -> pathlib.Path:
  """The cached file; fetched where it is not there, checked in any case."""
  try:
    folder = files.cache_dir().expanduser()
    found = pooch.retrieve(
      URL,
      known_hash=f"sha256:{_CHECKSUM}",
      fname=FILE,
      path=folder,
      progressbar=sys.stderr.isatty(),
    )
  except ValueError as error:
    raise OSError(
      f"inception_weights: expected a file of the SHA-256 {_CHECKSUM} from {URL}, got another: "
      f"{error}"
    ) from error
  except (OSError, RuntimeError) as error:  # No way there, or no home to keep it in.
    raise OSError(
      f"inception_weights: {FILE} is not in the cache and cannot be downloaded ({error}): "
      f"fetch {URL} elsewhere and give its path"
    ) from error
  return pathlib.Path(found)
