"""A row of Table 2, a point of a training's curve: images are drawn, scored, and compared.

Every row is made the same way: uint8 images in, the network's outputs, numbers. The reference is
the training images; real data's own row is the held-out images against them. Whatever order images
come in, class by class or mixed, is no part of a score.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from nsn_jax import checks
from nsn_jax.metrics.copies import compare_distances, nearest
from nsn_jax.metrics.frechet import FeatureStatistics, feature_statistics, frechet_distance
from nsn_jax.metrics.inception_score import inception_score
from nsn_jax.metrics.kernel_distance import kernel_distance
from nsn_jax.metrics.outputs import Network
from nsn_jax.metrics.precision_recall import precision_recall

__all__ = [
  "LEAST_IMAGES",
  "MEASURES",
  "Comparison",
  "Drawn",
  "Evaluation",
  "Measure",
  "Reference",
  "check_count",
  "compare",
  "draw",
  "evaluate",
  "reference",
]

#: Draws so many images by a key, uint8 [N, H, W, C].
Sampler = Callable[[jax.Array, int], npt.NDArray[np.uint8]]

#: Images that can be scored at the least: one in each split of the inception score.
LEAST_IMAGES = 10

#: Samples that are drawn once before the clock starts, so that programs are compiled.
_WARM_UP = 1_000
#: Images of each set that precision and recall are taken of: they cost N * M distances.
_MANIFOLD_SIZE = 10_000
#: Of the order in which all sets are split: always the same one.
_ORDER_SEED = 0
#: Images of a subset of KID, as its authors take them.
_SUBSET_SIZE = 1_000


class Drawn(NamedTuple):
  """Samples and what they cost.

  Attributes:
    images: uint8 [N, H, W, C].
    seconds: of all N, without compilation.
  """

  images: npt.NDArray[np.uint8]
  seconds: float


class Reference(NamedTuple):
  """Real images as a network sees them.

  Attributes:
    network: that judges.
    train: the training images; what copies would be of.
    held_out_distances: of real images that no model saw to the nearest training image.
    features: of the training images, [N, D].
    statistics: of those features.
  """

  network: Network
  train: npt.NDArray[np.uint8]
  held_out_distances: npt.NDArray[np.float64]
  features: npt.NDArray[np.float32]
  statistics: FeatureStatistics


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

  def as_dict(self) -> dict[str, float]:
    """Plain values for JSON."""
    return dataclasses.asdict(self)

  @classmethod
  def from_row(cls, row: Mapping[str, Any]) -> "Evaluation":
    """The scores in a row of plain values that may hold more than them."""
    return cls(**{field.name: row[field.name] for field in dataclasses.fields(cls)})


class Measure(NamedTuple):
  """A score by which models are compared: a field of `Evaluation`, and which way is better."""

  field: str
  more_is_better: bool


#: What decides between models.
MEASURES = (
  Measure("inception_score", True),
  Measure("fid", False),
  Measure("kid", False),
  Measure("precision", True),
  Measure("recall", True),
)


class Comparison(NamedTuple):
  """How a model stands by one measure against the best of its opponents.

  Attributes:
    field: the measure's.
    own: the model's score.
    best: name of the best opponent by this measure.
    gain: by how much the model is better than that one; negative where it is worse.
  """

  field: str
  own: float
  best: str
  gain: float


def check_count(name: str, count: int) -> None:
  """Raises ValueError where there are too few images to score; `name` is what says how many."""
  if count < LEAST_IMAGES:
    raise ValueError(
      f"{name}: expected at least {LEAST_IMAGES}, one for each split of the inception score, "
      f"got {count}"
    )


def draw(key: jax.Array, sampler: Sampler, num_samples: int) -> Drawn:
  """Draws the samples of a row and takes the time, programs compiled before.

  Args:
    key: PRNG key.
    sampler: draws so many images by a key, uint8 [N, H, W, C].
    num_samples: N, at least 1.

  Returns:
    The samples and their time.

  Raises:
    ValueError: for a number of samples that is not as above.
  """
  key = checks.key("key", key)
  checks.integer("num_samples", num_samples, 1)
  sampler(key, min(num_samples, _WARM_UP))
  start = time.perf_counter()
  images = sampler(key, num_samples)
  return Drawn(images, time.perf_counter() - start)


def reference(
  network: Network,
  train: npt.NDArray[np.uint8],
  held_out: npt.NDArray[np.uint8],
  *,
  mesh: jax.sharding.Mesh | None = None,
) -> Reference:
  """What images are compared with, by one network.

  Args:
    network: that judges.
    train: uint8 [N, H, W, C], what the models were trained on.
    held_out: uint8 [M, H, W, C], real images that none of them saw.
    mesh: devices of this process that share what the network does; None for the default one.
  """
  features = network.outputs(train, mesh=mesh).features
  distances = nearest(train, held_out).distance
  return Reference(network, train, distances, features, feature_statistics(features))


def evaluate(
  key: jax.Array,
  against: Reference,
  images: npt.NDArray[np.uint8],
  *,
  mesh: jax.sharding.Mesh | None = None,
) -> Evaluation:
  """Scores uint8 images [N, H, W, C], at least 10.

  Args:
    key: PRNG key; decides KID's subsets and which images precision and recall are taken of.
    against: the real images.
    images: to score.
    mesh: as of `reference`.

  Returns:
    All scores. Of precision and recall both sets are cut to 10,000, or to the smaller of the two.

  Raises:
    ValueError: for fewer images.
  """
  key = checks.key("key", key)
  check_count("images", len(images))
  kid_key, real_key, found_key = jax.random.split(key, 3)
  outputs = against.network.outputs(images, mesh=mesh)
  score = inception_score(
    outputs.probabilities, num_splits=LEAST_IMAGES, key=jax.random.key(_ORDER_SEED)
  )
  fid = frechet_distance(against.statistics, feature_statistics(outputs.features))
  most = min(len(images), len(against.features))
  kid = kernel_distance(
    kid_key, against.features, outputs.features, subset_size=min(_SUBSET_SIZE, most)
  )
  size = min(_MANIFOLD_SIZE, most)
  shares = precision_recall(
    _some(real_key, against.features, size), _some(found_key, outputs.features, size)
  )
  # The same images as above.
  found = nearest(against.train, _some(found_key, images, size))
  copies = compare_distances(against.held_out_distances, found.distance)
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


def compare(own: Evaluation, others: Mapping[str, Evaluation]) -> list[Comparison]:
  """A model against the best of its opponents, measure by measure.

  Args:
    own: its scores.
    others: its opponents' by name; at least one.

  Returns:
    One comparison for each of `MEASURES`. The best opponent may be another by each.

  Raises:
    ValueError: where there is no opponent.
  """
  if not others:
    raise ValueError("others: expected at least one opponent, got none")
  found = []
  for field, more_is_better in MEASURES:
    sign = 1 if more_is_better else -1
    best = max(others, key=lambda name: sign * getattr(others[name], field))
    value = getattr(own, field)
    gain = sign * (value - getattr(others[best], field))
    found.append(Comparison(field, value, best, gain))
  return found


def _some(key: jax.Array, rows: npt.NDArray, size: int) -> npt.NDArray:
  """So many of the rows, without replacement."""
  return rows[np.asarray(jax.random.permutation(key, len(rows)))[:size]]
