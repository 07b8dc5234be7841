"""All scores of a set of images by one network: a row of Table 2, a point of a training's curve.

Every row is made the same way: uint8 images in, the network's outputs, numbers. The reference is
the training images; real data's own row is the held-out images against them.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import data, metrics

#: Images of each set that precision and recall are taken of: they cost N * M distances.
_MANIFOLD_SIZE = 10_000
#: Images of a subset of KID, as its authors take them.
_SUBSET_SIZE = 1_000


class Reference(NamedTuple):
  """Real images as a network sees them.

  Attributes:
    network: that judges.
    train: the training images; what copies would be of.
    held_out_distances: of real images that no model saw to the nearest training image.
    features: of the training images, [N, D].
    statistics: of those features.
  """

  network: metrics.Network
  train: npt.NDArray[np.uint8]
  held_out_distances: npt.NDArray[np.float64]
  features: npt.NDArray[np.float32]
  statistics: metrics.FeatureStatistics


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """Scores of a set of images.

  Attributes:
    num_images: how many were scored.
    inception_score: exp of the mean KL divergence, over 10 splits; higher is better.
    inception_score_deviation: over the splits.
    fid: Fréchet distance of the features to the training images'; lower is better.
    kid: kernel distance, unbiased; lower is better.
    kid_deviation: over its subsets.
    precision: share of the images within the real manifold (k = 5).
    recall: share of the real images within theirs.
    copy_ratio: median pixel distance to the nearest training image, over held-out images' own.
    suspected_copies: share of images nearer to one than 99% of the held-out images are.
  """

  num_images: int
  inception_score: float
  inception_score_deviation: float
  fid: float
  kid: float
  kid_deviation: float
  precision: float
  recall: float
  copy_ratio: float
  suspected_copies: float

  def row(self) -> str:
    """One line for a person."""
    return (
      f"IS {self.inception_score:.2f} +- {self.inception_score_deviation:.2f}  "
      f"FID {self.fid:.2f}  KID {self.kid:.4f}  precision {self.precision:.3f}  "
      f"recall {self.recall:.3f}  nearest x{self.copy_ratio:.2f}  "
      f"suspected copies {self.suspected_copies:.1%}"
    )

  def as_dict(self) -> Mapping[str, float]:
    """Plain values for JSON."""
    return dataclasses.asdict(self)


def of(row: Mapping[str, Any]) -> Evaluation:
  """The scores in a row of plain values that holds more than them."""
  return Evaluation(**{field.name: row[field.name] for field in dataclasses.fields(Evaluation)})


def reference(network: metrics.Network, train: data.Dataset, held_out: data.Dataset) -> Reference:
  """What images of a data set are compared with, by one network."""
  features = network.outputs(train.images).features
  statistics = metrics.feature_statistics(features)
  distances = metrics.nearest(train.images, held_out.images).distance
  return Reference(network, train.images, distances, features, statistics)


def evaluate(key: jax.Array, against: Reference, images: npt.NDArray[np.uint8]) -> Evaluation:
  """Scores uint8 images [N, H, W, C], at least 10.

  Args:
    key: PRNG key; decides KID's subsets and which images precision and recall are taken of.
    against: the real images.
    images: to score.

  Returns:
    All scores. Of precision and recall both sets are cut to 10,000, or to the smaller of the two.
  """
  kid_key, real_key, found_key = jax.random.split(key, 3)
  outputs = against.network.outputs(images)
  score = metrics.inception_score(outputs.probabilities)
  fid = metrics.frechet_distance(against.statistics, metrics.feature_statistics(outputs.features))
  most = min(len(images), len(against.features))
  kid = metrics.kernel_distance(
    kid_key, against.features, outputs.features, subset_size=min(_SUBSET_SIZE, most)
  )
  size = min(_MANIFOLD_SIZE, most)
  shares = metrics.precision_recall(
    _some(real_key, against.features, size), _some(found_key, outputs.features, size)
  )
  # The same images as above.
  found = metrics.nearest(against.train, _some(found_key, images, size))
  copies = metrics.compare_distances(against.held_out_distances, found.distance)
  return Evaluation(
    num_images=len(images),
    inception_score=score.mean,
    inception_score_deviation=score.deviation,
    fid=fid,
    kid=kid.mean,
    kid_deviation=kid.deviation,
    precision=shares.precision,
    recall=shares.recall,
    copy_ratio=copies.ratio,
    suspected_copies=copies.suspected,
  )


def _some(key: jax.Array, rows: npt.NDArray, size: int) -> npt.NDArray:
  """So many of the rows, without replacement."""
  return rows[np.asarray(jax.random.permutation(key, len(rows)))[:size]]
