"""Who finds settings: a classifier of its own, which has no part in any score.

A setting that was found by a judge's scores fits that judge, and says little to another one. So
settings are found by the *finder*: of another architecture than the judge, from another seed,
trained on half of the training images. It takes FID, precision and recall against that half; the
judge then scores what was found.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from experiments.common import judging, runs
from experiments.common.halves import halves
from nsn_jax import data, metrics

__all__ = ["Finder", "Found", "Likeness", "find", "finder", "likeness"]

#: Fewer and larger windows than the judges have, and half of their features.
_SMALL = metrics.Architecture(channels=(16, 64), kernels=(7, 5), num_features=128)
_PHOTOGRAPHS = metrics.Architecture(
  channels=(24, 64, 128), kernels=(7, 5, 5), num_features=128, dropout=0.5
)
#: The judge's is 0.
_SEED = 1

#: Training images at the least: precision and recall need a few neighbours in the half of them.
_LEAST_IMAGES = 20
#: Images of each set that precision and recall are taken of at most.
_MANIFOLD_SIZE = 10_000
#: What real images have in precision and recall, or nearly: below it a setting pays.
_REACHED = 0.9


class Likeness(NamedTuple):
  """How like the real images samples are, to the finder.

  Attributes:
    fid: Fréchet distance of the features; lower is better.
    precision: share of the samples within the real manifold (k = 5).
    recall: share of the real images within the samples' manifold.
  """

  fid: float
  precision: float
  recall: float

  @property
  def cost(self) -> float:
    """What settings are ranked by, the lower the better.

    It is FID, raised by as many hundredths as precision and recall are below 0.9 each: at equal FID
    a setting that reaches none of the real images costs nearly twice what one does that reaches
    all. FID alone hardly sees the rare images that recall counts, and a bound on recall would
    decide alone where a network cannot come up to it.

    >>> round(Likeness(10.0, 0.95, 0.4).cost, 6), round(Likeness(10.0, 0.8, 0.95).cost, 6)
    (15.0, 11.0)
    """
    missed = sum(max(_REACHED - share, 0.0) for share in (self.precision, self.recall))
    return self.fid * (1.0 + missed)

  def row(self) -> str:
    """One line for a person."""
    return (
      f"cost {self.cost:.2f}  FID {self.fid:.2f}  precision {self.precision:.3f}  "
      f"recall {self.recall:.3f}"
    )

  def as_dict(self) -> dict[str, float]:
    """Plain values for JSON."""
    return {"cost": self.cost, **self._asdict()}


@dataclasses.dataclass(frozen=True, eq=False)
class Finder:
  """A classifier, and the real images as it sees them.

  Attributes:
    classifier: trained on half of the labelled images.
    test_accuracy: on the test images.
    features: of half of the real images, in a random order, [N, D].
    statistics: of those features.
  """

  classifier: metrics.Classifier
  test_accuracy: float
  features: npt.NDArray[np.float32]
  statistics: metrics.FeatureStatistics


def finder(
  judging_set: str,
  images: npt.NDArray[np.uint8],
  *,
  data_dir: str | None = None,
  image_size: int | None = None,
) -> Finder:
  """The finder, trained once and kept in the cache.

  Args:
    judging_set: the labelled data set whose judge will score, of which it learns half.
    images: uint8 [N, H, W, C], all training images that samples are to be like, N >= 20; of the
      size of the labelled ones. It compares with half of them.
    data_dir: see `nsn_jax.data.load`.
    image_size: see there.

  Raises:
    ValueError: for a data set without labels, or too few images.
  """
  if len(images) < _LEAST_IMAGES:
    raise ValueError(
      f"images: expected at least {_LEAST_IMAGES} training images, as settings are found by half "
      f"of them, got {len(images)}"
    )
  train, test = judging.labelled(judging_set, data_dir=data_dir, image_size=image_size)
  assert train.labels is not None
  part = halves(len(train.images)).first
  found = judging.trained(
    "finder",
    judging_set,
    jax.random.key(_SEED),
    data.Dataset(train.images[part], train.labels[part]),
    test,
    # Of all labels: the half may lack the last of them.
    {**_recipe(judging_set), "num_classes": int(train.labels.max()) + 1},
  )
  features = found.classifier.outputs(images[halves(len(images)).first]).features
  return Finder(
    found.classifier, found.test_accuracy, features, metrics.feature_statistics(features)
  )


class Found(NamedTuple):
  """A data set's finder, and what it was made of.

  Attributes:
    finder: who ranks.
    title: what it is, for a person.
    judging_set: the labelled data set that it learned half of, and whose judge scores.
    train: all training images, whatever a model's limit: as Table 2 scores.
    test: the held-out ones.
  """

  finder: Finder
  title: str
  judging_set: str
  train: data.Dataset
  test: data.Dataset


def find(spec: runs.DataSpec, scenes: str | None) -> Found:
  """The finder of a data set.

  Args:
    spec: whose images samples are to be like.
    scenes: folder of labelled scenes, for what has no labels.

  Raises:
    ValueError: for a data set without labels and no scenes, or too few images.
  """
  train, test = (spec.replace(limit=None).load(split) for split in ("train", "test"))
  judging.check_held_out(spec.name, test.images)
  judging_set = judging.judging_set(spec.name, train.labels, scenes)
  if judging_set is None:
    raise judging.no_judge(spec.name)
  found = finder(judging_set, train.images, data_dir=spec.data_dir, image_size=spec.image_size)
  title = judging.title(spec.name, judging_set, found.test_accuracy)
  return Found(found, title, judging_set, train, test)


def likeness(found_by: Finder, images: npt.NDArray[np.uint8]) -> Likeness:
  """Compares uint8 images [N, H, W, C], N > 5, with the finder's half of the real ones.

  Returns:
    The scores; precision and recall of the first 10,000 of both sets, or of as many as the smaller
    has.

  Raises:
    ValueError: for fewer images, or of another shape.
  """
  features = found_by.classifier.outputs(images).features
  size = min(len(features), len(found_by.features), _MANIFOLD_SIZE)
  shares = metrics.precision_recall(found_by.features[:size], features[:size])
  fid = metrics.frechet_distance(found_by.statistics, metrics.feature_statistics(features))
  return Likeness(fid, shares.precision, shares.recall)


def _recipe(judging_set: str) -> dict[str, Any]:
  is_photographs = judging_set.startswith("folder:")
  architecture = _PHOTOGRAPHS if is_photographs else _SMALL
  return judging.recipe(judging_set) | {"architecture": architecture}
