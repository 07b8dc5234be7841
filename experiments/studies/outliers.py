"""Densities as outlier scores: the network's, a VAE's bound, and a normal mixture on PCA.

    python -m experiments.studies.outliers --model=runs/mnist/model.safetensors --data_dir=... \
        --others=fashion_mnist --workdir=runs/outliers

Test images of the network's own data set stand against as many outliers: test images of other data
sets of the same shape, own ones shifted by some pixels to one of eight sides, background filled
with zeros, and own ones inverted. The score is minus the log-density, its AUROC the share of pairs
of an own image and an outlier in which the outlier has the higher one. The VAE is trained on the
network's training images in `vae/` below the workdir or, where it is there, found; the mixture is
scikit-learn's, on 50 principal components, of full covariances, one for 200 of the first 20,000
training images, and blind to what lies outside of these components. `outliers.json` holds the
numbers, with the mean log-density of the own images, which are held out: each is of something else,
and no two can be compared.
"""

import itertools
import math
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from absl import flags
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

import nsn_jax
from experiments.common import baseline_training, command_line, provenance, runs, tables, workdir
from experiments.paper import contenders, layouts
from nsn_jax import baselines, density
from nsn_jax.pixel_range import to_signed

__all__ = ["Scorer", "auroc", "compare", "mixture", "network", "outlier_sets", "shifted", "vae"]

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

#: Of the mixture: images at most, the first ones, principal components, images a normal.
_FITTED_ON, _COMPONENTS, _IMAGES_EACH = 20_000, 50, 200
#: Added to its variances, of pixels in [0, 1]: the 50th component of digits has a hundred times it.
_FLOOR = 1e-3
#: Of an image's bound, as that of one draw is noisy.
_DRAWS = 8
_SIDES = tuple(side for side in itertools.product((-1, 0, 1), repeat=2) if any(side))


class Scorer(NamedTuple):
  """A density that images are scored by.

  Attributes:
    name: of its row.
    of: what it is a density of.
    log_density: from images, uint8 [N, H, W, C], to [N], in nats a value.
  """

  name: str
  of: str
  log_density: Callable[[Images], Floats]


def network(nsn: nsn_jax.NSN) -> Scorer:
  """The mixture that a network's last layer is."""
  return Scorer("NSN", "the last layer's map", lambda images: density.log_density(nsn, images))


def vae(key: jax.Array, model: baselines.VAE, state: baselines.State) -> Scorer:
  """A VAE's lower bound, the mean of eight draws an image."""
  bits = jax.jit(model.bits)

  def bound(images: Images) -> Floats:
    signed = to_signed(images)
    draws = [np.asarray(bits(one, state, signed)) for one in jax.random.split(key, _DRAWS)]
    return -math.log(2) * np.mean(draws, axis=0)

  return Scorer("VAE", "pixels as probabilities of white, a bound", bound)


def mixture(images: Images, seed: int) -> Scorer:
  """scikit-learn's mixture of normals on principal components of pixels in [0, 1].

  Args:
    images: uint8 [N, H, W, C], to fit it on; of more than 20,000 the first ones.
    seed: of both fits.
  """

  def flat(images: Images) -> Floats:
    return images.reshape(len(images), -1).astype(np.float32) / 255

  fitted_on = flat(images[:_FITTED_ON])
  pca = PCA(min(_COMPONENTS, *fitted_on.shape), random_state=seed).fit(fitted_on)

  def coordinates(images: Images) -> Floats:
    return pca.transform(flat(images)).astype(np.float64)

  count = max(1, len(fitted_on) // _IMAGES_EACH)
  normals = GaussianMixture(count, reg_covar=_FLOOR, random_state=seed)
  normals.fit(coordinates(images[:_FITTED_ON]))
  return Scorer(
    "mixture on PCA",
    f"{pca.n_components_} principal components, by {count} normals",
    lambda images: normals.score_samples(coordinates(images)) / pca.n_components_,
  )


def shifted(key: jax.Array, images: Images, pixels: int) -> Images:
  """Images moved to a random one of eight sides; zeros come in, what goes out is lost.

  Args:
    key: PRNG key, of the sides.
    images: uint8 [N, H, W, C].
    pixels: along each axis that an image moves along: to a corner it moves along both.

  Returns:
    uint8 [N, H, W, C].

  Raises:
    ValueError: where nothing would be left of an image.
  """
  height, width = images.shape[1:3]
  if not 1 <= pixels < min(height, width):
    raise ValueError(
      f"shift: expected 1 to {min(height, width) - 1} pixels, as images are {height}x{width}, "
      f"got {pixels}"
    )
  padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
  found = np.empty_like(images)
  sides = np.asarray(jax.random.randint(key, (len(images),), 0, len(_SIDES)))
  for index, (down, right) in enumerate(_SIDES):
    top, left = pixels * (1 - down), pixels * (1 - right)
    moved = sides == index
    found[moved] = padded[moved, top : top + height, left : left + width]
  return found


def outlier_sets(
  key: jax.Array, own: Images, data: runs.DataSpec, others: Iterable[str], pixels: int
) -> dict[str, Images]:
  """Outliers of each kind, as many as there are own images, or as there are at all.

  Args:
    key: PRNG key, of the shifts.
    own: uint8 [N, H, W, C].
    data: whose they are: the others are read from its folder, in its size.
    others: names of other data sets.
    pixels: of the shifts.

  Raises:
    ValueError: for others that are not others, or of another shape.
    DataError: for others that are not there.
  """
  found = {}
  for name in others:
    if name == data.name:
      raise ValueError(f"others: expected data sets other than the network's own, got {name!r}")
    images = data.replace(name=name, limit=len(own)).load("test").images
    if images.shape[1:] != own.shape[1:]:
      raise ValueError(
        f"others: expected images of shape {list(own.shape[1:])}, as those of {data.name}, got "
        f"{list(images.shape[1:])} of {name}"
      )
    found[name] = images
  return found | {f"shifted by {pixels}": shifted(key, own, pixels), "inverted": 255 - own}


def auroc(own: npt.ArrayLike, others: npt.ArrayLike) -> float:
  """The share of pairs in which the outlier has the lower log-density; ties count half.

  Args:
    own: log-densities of images that are none, [N].
    others: of outliers, [M].
  """
  outlying = np.repeat([0, 1], [np.size(own), np.size(others)])
  return float(roc_auc_score(outlying, -np.concatenate([own, others])))


def compare(
  scorers: Iterable[Scorer],
  own: Images,
  outliers: Mapping[str, Images],
  report: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
  """Scores all images by each density.

  Args:
    scorers: the densities; each may be made when its turn comes.
    own: uint8 [N, H, W, C].
    outliers: of each kind, likewise.
    report: told of each row.

  Returns:
    Plain values, a row a density.
  """
  rows = []
  for scorer in scorers:
    held_out = scorer.log_density(own)
    found = {kind: auroc(held_out, scorer.log_density(them)) for kind, them in outliers.items()}
    mean = float(np.mean(held_out, dtype=np.float64))
    rows.append({"density": scorer.name, "of": scorer.of, "held_out": mean, "auroc": found})
    report(f"{scorer.name}: " + ", ".join(f"{kind} {area:.3f}" for kind, area in found.items()))
  return rows


def _scorers(
  key: jax.Array,
  nsn: nsn_jax.NSN,
  data: runs.DataSpec,
  folder: pathlib.Path,
  num_epochs: int | None,
  seed: int,
) -> Iterator[Scorer]:
  """The network first, so that what is wrong with it is told before anything is trained."""
  yield network(nsn)
  contenders.find("vae", folder / "vae", data, num_epochs=num_epochs, seed=seed)
  model, state, _ = baseline_training.load(folder / "vae")
  assert isinstance(model, baselines.VAE)  # As asked for.
  yield vae(key, model, state)
  yield mixture(data.load().images, seed)


def _define_flags() -> None:
  command_line.define_figure("Seed of shifts, of the VAE and its draws, and of the mixture.")
  flags.DEFINE_list("others", [], "Other data sets, of the same shape, as fashion_mnist.")
  flags.DEFINE_integer(
    "num_images", 2_000, "Test images, and outliers of each kind.", lower_bound=1
  )
  flags.DEFINE_integer("shift", 4, "Pixels by which own images are shifted.", lower_bound=1)
  flags.DEFINE_integer("num_epochs", None, "Of the VAE; by default its own.", lower_bound=1)


def _main() -> None:
  """Prints the table and writes it."""
  given = flags.FLAGS
  folder = workdir.open_folder(command_line.required("workdir", "a folder"))
  data, path, nsn = command_line.judged()
  if nsn.prior is None:
    raise ValueError(
      f"model: expected a network with a prior, got one without, {str(path)!r}: it was trained in "
      "part, or before there were priors; train it anew"
    )
  shift_key, vae_key = jax.random.split(jax.random.key(given.seed))
  own = data.replace(limit=given.num_images).load("test").images
  outliers = outlier_sets(shift_key, own, data, given.others, given.shift)
  scorers = _scorers(vae_key, nsn, data, folder, given.num_epochs, given.seed)
  found: dict[str, Any] = {
    "dataset": data.name,
    "num_images": len(own),
    "num_outliers": {kind: len(images) for kind, images in outliers.items()},
    "rows": compare(scorers, own, outliers),
  }
  print(f"{path}: {layouts.outliers.caption(found)}")
  print(tables.aligned(layouts.outliers.cells(found["rows"])))
  provenance.write_result(folder / "outliers.json", found)


if __name__ == "__main__":
  _define_flags()
  command_line.run(_main)
