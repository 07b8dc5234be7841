"""Where the weights of Inception v3 come from: the usual `.pth` port, checked before it is read."""

import hashlib
import http.client
import os
import pathlib
import tempfile
import urllib.request
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nsn_jax.data import cache
from nsn_jax.metrics import inception, torch_file
from nsn_jax.metrics.inception import Inception

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
#: The file's SHA-256 begins with it: PyTorch's convention, and part of the file's name.
_CHECKSUM = "6726825d"
_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 30
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
  for block, layers in inception.BLOCKS.items():
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
    folded[name] = inception.fold(array(f"{name}.conv.weight", shape), *norm)
  classes = array("fc.weight", (inception.NUM_LOGITS, inception.NUM_FEATURES))
  return Inception(folded, jnp.asarray(classes.T, jnp.float32))


def _downloaded() -> pathlib.Path:
  """The cached file, which is fetched and checked if it is not there."""
  target = cache.default_dir() / FILE
  if target.is_file():
    return target
  target.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # Gone again, whatever happens.
    partial = pathlib.Path(folder) / FILE
    try:
      checksum = _fetch(partial)
    except (OSError, http.client.HTTPException) as error:
      raise OSError(
        f"inception_weights: {FILE} is not in {target.parent} and cannot be downloaded ({error}): "
        f"fetch {URL} elsewhere and give its path"
      ) from error
    if not checksum.startswith(_CHECKSUM):
      raise OSError(
        f"inception_weights: expected a file whose SHA-256 begins with {_CHECKSUM} from {URL}, "
        f"got {checksum}"
      )
    return partial.replace(target)


def _fetch(path: pathlib.Path) -> str:
  """Downloads the file and returns its SHA-256."""
  digest = hashlib.sha256()
  with (
    path.open("wb") as file,
    urllib.request.urlopen(URL, timeout=_TIMEOUT_SECONDS) as answer,
    tqdm(
      total=int(answer.headers.get("Content-Length", 0)) or None,
      desc=FILE,
      unit="B",
      unit_scale=True,
      disable=None,
    ) as bar,
  ):
    while block := answer.read(_BLOCK):
      file.write(block)
      digest.update(block)
      bar.update(len(block))
  return digest.hexdigest()
